"""The whole system on this machine: broker, ingest, dispatcher, and the sink with the embedded ClickHouse, each a process."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.checks import reconcile, verify
from benchmarks.load import Load
from benchmarks.publishing import ingest
from benchmarks.stack import STORE, Receiver, Stack, receiver, wait
from hookline.analytics.gateway import RemoteQueries
from hookline.analytics.queries import Audit, audit
from hookline.kernel.errors import HooklineError
from hookline.local.kafka_broker import free_port
from hookline.webhooks.store import NewWebhook

SETTINGS = {"HOOKLINE_LANE_CONCURRENCY": "64", "HOOKLINE_LANE_QUEUE": "10000"}
_TOKEN = "bench"  # of a process that lives for a minute on loopback
_HOOK = "hook"
_PATIENCE_S = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running system with one webhook: `load` publishes to it, `to` receives, `log` asks its ClickHouse; `pids` by name."""

    to: Receiver
    load: Load
    secret: str
    log: RemoteQueries
    pids: dict[str, int]

    def audit(self) -> Audit | None:
        """Return what the log has; None while it does not answer."""
        try:
            return audit(self.log, STORE)
        except HooklineError:
            return None

    def written(self) -> int:
        """Return how many rows are in ClickHouse."""
        found = self.audit()
        return found.rows if found is not None else 0

    def check(self, acknowledged: int, direct: int = 0) -> int:
        """Return how many signatures were verified; end the program when a count is off or a signature is none.

        `direct`: posts that were made to the receiver itself.
        """
        wait(lambda: self.written() >= acknowledged, _PATIENCE_S, "all rows in ClickHouse", every_s=0.2)
        wait(lambda: (found := self.audit()) is not None and found.adds_up, 10, "the log to add up")
        counts = {"received": self.to.count() - direct, "different_deliveries": self.to.unique()}
        reconcile(acknowledged=acknowledged, **counts, rows_in_ClickHouse=self.written())
        return verify(self.to.sample(), {_HOOK: self.secret})


def system(on: Stack, event_type: str) -> System:
    """Start it, with one webhook for a type of events."""
    to, port = receiver(on), free_port()
    with on.webhooks() as webhooks:
        secret = webhooks.create(NewWebhook(store_id=STORE, url=to.url(_HOOK), event_types=(event_type,)))[1]
    sink = on.hookline("sink", HOOKLINE_QUERY_PORT=str(port), HOOKLINE_QUERY_TOKEN=_TOKEN, HOOKLINE_METRICS_PORT=str(free_port()))
    dispatcher = on.hookline("dispatch")
    process, load = ingest(on)
    log = RemoteQueries(f"http://127.0.0.1:{port}", _TOKEN)
    pids = {"broker": on.broker.pid, "ingest": process.popen.pid, "dispatcher": dispatcher.popen.pid, "sink": sink.popen.pid}
    return System(to=to, load=load, secret=secret, log=log, pids=pids)
