"""The sink's process, wired by hand from its parts; what is not there yet is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from hookline.analytics import migrate
from hookline.analytics.auditor import Auditor
from hookline.analytics.client import is_embedded, open_client
from hookline.analytics.config import QueryConfig, SinkConfig
from hookline.analytics.erased import ErasedRows
from hookline.analytics.gateway import Gateway
from hookline.analytics.redaction import Redaction
from hookline.analytics.sink import Sink
from hookline.analytics.warehouse import Warehouse
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError, HooklineError, SchemaError, WarehouseError
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.lifecycle import Stop, spare_collections
from hookline.kernel.log import logger
from hookline.kernel.metrics import Health, MetricsConfig, MetricsServer
from hookline.schemas.erasures import Erasures
from hookline.schemas.registry import SchemaRegistry, open_registry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

_log = logger("sink")
_PAUSE_S: Final = 2.0
_REDACTION_END_S: Final = 30.0
T = TypeVar("T")


class SinkProcess:
    """Opens ClickHouse, serves the named queries and the metrics, and runs the sink in the calling thread.

    As a part of another process, which must hold the sink because chDB takes one process per folder, it is given that process's
    `health` and leaves the metrics port to it; `opened` is called with the client once its tables are in shape.
    """

    def __init__(
        self, environ: Mapping[str, str], *, health: Health | None = None, opened: Callable[[Warehouse], None] | None = None
    ) -> None:
        self._environ = environ
        self._opened = opened
        self._kafka = load(KafkaConfig, environ)
        self._settings = load(SinkConfig, environ)
        self._health = health or Health()
        self._metrics = MetricsServer(load(MetricsConfig, environ), self._health) if health is None else None
        self._waits_for = "starting"

    def run(self, stop: Stop) -> None:
        """Run until `stop`; raise `ConfigError` or `LocalError` at once for what waiting cannot mend."""
        self._health.ready("start", lambda: self._waits_for)
        if self._metrics is not None:
            self._metrics.start()
            _log.info("metrics.listening", port=self._metrics.port)
        client: Warehouse | None = None
        gateway: Gateway | None = None
        registry: SchemaRegistry | None = None
        try:
            client = self._once(stop, lambda: open_client(self._environ))
            if client is None or self._once(stop, lambda: self._shape(client)) is None:
                return
            if self._opened is not None:
                self._opened(client)
            gateway = self._once(stop, lambda: self._serve(client))
            registry = self._once(stop, self._registry)
            if registry is not None and self._once(stop, self._topics):
                self._sink(client, registry, stop)
        finally:
            for part in (gateway, registry):
                if part is not None:
                    part.stop()
            if client is not None:
                client.close()
            if self._metrics is not None:
                self._metrics.stop()

    def _sink(self, client: Warehouse, registry: SchemaRegistry, stop: Stop) -> None:
        topics, codec = Topics(self._kafka.topic_prefix), Codec(registry)
        erasures = Erasures(self._kafka, topics, codec)
        sink = Sink(self._kafka, topics, codec, client, self._settings, ErasedRows(erasures))
        sessions = self._once(stop, lambda: (client.another(), client.another()))
        if sessions is None or self._once(stop, lambda: self._followed(erasures)) is None:
            return
        redaction = threading.Thread(target=Redaction(sessions[0], erasures).run, args=(stop,), name="redaction", daemon=True)
        auditor = Auditor(sessions[1], self._settings.audit_every_s)
        audits = threading.Thread(target=auditor.run, args=(stop,), name="audit", daemon=True)
        for thread in (redaction, audits):
            thread.start()
        self._waits_for = ""
        self._health.alive("sink", sink.stalled)
        self._health.ready("sink", lambda: sink.trouble)
        _log.info("sink.started")
        if self._metrics is not None:
            spare_collections()  # the records held are many, and leave no cycles; in another process that is not ours to say
        try:
            sink.run(stop)
        finally:
            stop.set()
            redaction.join(_REDACTION_END_S)
            audits.join(_REDACTION_END_S)
            erasures.stop()
        _log.info("sink.stopped")

    def _followed(self, erasures: Erasures) -> bool:
        erasures.start()
        return True

    def _shape(self, client: Warehouse) -> bool:
        """Migrate the embedded engine, which nobody else can; of a server only require that an operator did."""
        if is_embedded(self._environ):
            done = migrate.up_as_configured(client, self._environ)
            _log.info("clickhouse.migrated", applied=[migration.name for migration in done])
        elif missing := migrate.pending(client):
            raise WarehouseError(missing)
        return True

    def _topics(self) -> bool:
        """Require the topics: a consumer of a missing one would wait without a word."""
        topics, client = Topics(self._kafka.topic_prefix), kafka.admin(self._kafka)
        for topic in (topics.attempts, topics.attempts_rejected):
            if not kafka.partitions_of(client, topic):
                raise BrokerError(f"Topic {topic} does not exist", remedy="Create the topics with `hookline topics create`.")
        return True

    def _registry(self) -> SchemaRegistry:
        registry = open_registry(self._environ)
        registry.start()
        return registry

    def _serve(self, client: Warehouse) -> Gateway | None:
        """Serve the named queries when there is a token; without one the log cannot be read beside this process."""
        config = load(QueryConfig, self._environ)
        if not config.token:
            _log.info("queries.off", reason="HOOKLINE_QUERY_TOKEN is not set")
            return None
        gateway = Gateway(config, client)
        gateway.start()
        _log.info("queries.listening", host=config.host, port=gateway.port)
        return gateway

    def _once(self, stop: Stop, step: Callable[[], T]) -> T | None:
        """Return what the step returns once Kafka, the registry and ClickHouse let it; None when the stop comes first."""
        while not stop.is_set():
            try:
                return step()
            except (BrokerError, SchemaError, WarehouseError) as error:
                self._say(error)
                stop.wait(_PAUSE_S)
        return None

    def _say(self, error: HooklineError) -> None:
        if self._waits_for != error.message:
            _log.error("sink.waiting", error=error.message, remedy=error.remedy)
        self._waits_for = error.message
