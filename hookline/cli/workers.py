"""`hookline dispatch --workers N`: the workers as child processes, each started again when it dies, all drained together."""

from __future__ import annotations

from typing import Final

from hookline.dispatcher.process import Settings
from hookline.kernel.config import environment
from hookline.kernel.lifecycle import Stop, run_sync
from hookline.kernel.log import logger
from hookline.local.supervisor import ChildSpec, Notice, Supervisor

_log = logger("workers")
_LEEWAY_S: Final = 30.0
_METRICS_PORT: Final = "HOOKLINE_METRICS_PORT"


def run(command: list[str], count: int) -> None:
    """Run `count` workers until SIGTERM or SIGINT, then drain them; raise `ConfigError` before any of them starts.

    With HOOKLINE_METRICS_PORT set they listen on that port and the following ones.
    """
    settings = Settings.read(environment())
    specs = [_spec(command, number, settings) for number in range(count)]
    run_sync(lambda stop: _supervise(specs, stop))


def _spec(command: list[str], number: int, settings: Settings) -> ChildSpec:
    environ = environment()
    if settings.metrics.port:
        environ[_METRICS_PORT] = str(settings.metrics.port + number)
    # A drain is the calls under way, then Kafka's acknowledgements, then the last commits.
    return ChildSpec(name=f"worker-{number + 1}", command=tuple(command), environ=environ, stop_s=settings.dispatch.drain_s + _LEEWAY_S)


def _supervise(specs: list[ChildSpec], stop: Stop) -> None:
    supervisor = Supervisor(tell)
    try:
        supervisor.start(specs)
        supervisor.watch(stop)
    finally:
        supervisor.stop()


def tell(notice: Notice) -> None:
    """Log what happened to a worker."""
    line = _log.warning if notice.bad else _log.info
    line(f"worker.{notice.what.value}", worker=notice.child, detail=notice.detail)
