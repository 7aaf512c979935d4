"""One ingest process, wired by hand from its parts, started and drained in order."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from confluent_kafka import KafkaException

from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.compacted import assert_topic
from hookline.kernel.config import load
from hookline.kernel.errors import ConfigError, HooklineError, Undelivered
from hookline.kernel.lifecycle import Stop, spare_collections
from hookline.kernel.log import logger
from hookline.kernel.metrics import Health, MetricsConfig, MetricsServer
from hookline.kernel.tracing import TracingConfig, open_tracing
from hookline.producers.api_keys import ApiKeyConfig, ApiKeys
from hookline.producers.async_publisher import AsyncPublisher
from hookline.producers.ingest import metrics
from hookline.producers.ingest.acceptance import Acceptance
from hookline.producers.ingest.app import IngestApp
from hookline.producers.ingest.body import Bodies
from hookline.producers.ingest.config import IngestConfig
from hookline.producers.ingest.door import Door
from hookline.producers.ingest.gate import Gate
from hookline.producers.ingest.reader import EventReader
from hookline.producers.ingest.remembered import Remembered
from hookline.producers.ingest.server import Server
from hookline.producers.key_uses import KeyUses
from hookline.producers.publisher import Publisher, PublisherConfig, bulk
from hookline.schemas.catalogue import BY_SUBJECT
from hookline.schemas.registry import SchemaRegistry, open_registry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

_log = logger("ingest")
_TICK_S: Final = 0.1
_HANGS_S: Final = 30.0
_PROBE_S: Final = 1.0
_CLOSE_S: Final = 1.0
_FLUSH_S: Final = 5.0
_OF_THE_HOST: Final = frozenset({errno.EADDRNOTAVAIL, errno.EINVAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that ingest reads from the environment."""

    kafka: kafka.KafkaConfig
    ingest: IngestConfig
    publisher: PublisherConfig
    api_keys: ApiKeyConfig
    metrics: MetricsConfig
    tracing: TracingConfig

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Return the settings; raise `ConfigError`."""
        return cls(
            kafka=load(kafka.KafkaConfig, environ),
            ingest=load(IngestConfig, environ),
            publisher=load(PublisherConfig, environ),
            api_keys=load(ApiKeyConfig, environ),
            metrics=load(MetricsConfig, environ),
            tracing=load(TracingConfig, environ),
        )


class IngestProcess:
    """The process: `run` starts the parts, waits for the stop, drains them."""

    def __init__(self, settings: Settings, registry: SchemaRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._clock = SystemClock()
        self._health = Health()
        self._metrics = MetricsServer(settings.metrics, self._health)
        self._keys = ApiKeys(settings.kafka, Codec(registry), settings.api_keys, self._clock)
        self._uses = KeyUses(settings.kafka, Codec(registry), self._keys)
        # An event is given up by librdkafka when its client is told so, and not delivered a minute later.
        quick = replace(settings.publisher, delivery_timeout_s=settings.ingest.timeout_s)
        self._quick = Publisher(settings.kafka, registry, quick)
        self._bulk = Publisher(settings.kafka, registry, bulk(quick))
        self._tracing = open_tracing(settings.tracing, "ingest")
        self._waits_for = "starting"
        self._beat = time.monotonic()

    async def run(self, stop: Stop) -> None:
        """Serve until the stop, then drain; raise `HooklineError` when a part cannot start or can never work again."""
        self._health.ready("start", lambda: self._waits_for)
        self._metrics.start()
        _log.info("metrics.listening", port=self._metrics.port)
        try:
            await asyncio.to_thread(self._start, stop)
            if not stop.is_set():
                await self._serve(stop)
        finally:
            for part in (self._uses, self._keys, self._registry, self._metrics):
                await asyncio.to_thread(part.stop)
            if self._tracing is not None:
                await asyncio.to_thread(self._tracing.close)
        _log.info("ingest.stopped")

    def _start(self, stop: Stop) -> None:
        """Wait for the broker, then read keys and schemas and check that all topics are there."""
        kafka.wait_for_broker(self._settings.kafka, stop.is_set)
        if stop.is_set():
            return
        self._registry.start()
        for subject in BY_SUBJECT:
            self._registry.id_of(subject)
        self._keys.start()
        self._uses.start()
        client = kafka.plain_consumer(self._settings.kafka)
        try:
            for topic in Topics(self._settings.kafka.topic_prefix).all_events():
                assert_topic(client, topic)
        finally:
            client.close()

    async def _serve(self, stop: Stop) -> None:
        quick, bulky = AsyncPublisher(self._quick), AsyncPublisher(self._bulk)
        await quick.start()
        await bulky.start()
        gate = Gate(quick, bulky, self._settings.ingest, self._clock)
        server = self._server(gate)
        ticking = asyncio.create_task(self._tick(gate, server))
        try:
            await self._listen(server)
            self._probe(gate)
            spare_collections()
            await self._until_stop(stop)
        finally:
            self._waits_for = "stopping"
            if left := await server.drain(self._settings.ingest.drain_s):
                _log.warning("ingest.undrained", requests=left)
            await server.close(_CLOSE_S)
            ticking.cancel()
            for publisher in (quick, bulky):
                await _close(publisher)

    def _server(self, gate: Gate) -> Server:
        config, most = self._settings.ingest, self._settings.publisher.max_event_bytes
        remembered = Remembered(config.remembered, config.remembered_s, self._clock)
        bodies = Bodies(config.max_body_bytes)
        app = IngestApp(
            Door(self._keys, config.auth_failures, self._clock),
            bodies,
            Acceptance(EventReader(config, self._clock), gate, remembered, most),
            remembered,
            max_batch=config.max_batch,
            large=most,
            tracing=self._tracing,
        )
        return Server(app, bodies, config)

    async def _listen(self, server: Server) -> None:
        config = self._settings.ingest
        try:
            await server.listen()
        except OSError as error:
            variable = "HOOKLINE_INGEST_HOST" if error.errno in _OF_THE_HOST else "HOOKLINE_INGEST_PORT"
            message = f"{variable}: {config.host} port {config.port} cannot be opened: {os.strerror(error.errno or 0)}"
            raise ConfigError(message, remedy="Stop what uses it, or set another one (port 0 takes a free one).") from error
        self._waits_for = ""
        _log.info("ingest.listening", host=config.host, port=server.port)

    def _probe(self, gate: Gate) -> None:
        self._health.alive("loop", lambda: "the event loop hangs" if time.monotonic() - self._beat > _HANGS_S else "")
        self._health.alive("producer", self._broken)
        self._health.ready("api_keys", self._keys.complaint)
        self._health.ready("gate", gate.complaint)
        admin = kafka.admin(self._settings.kafka)

        def broker() -> str:
            nonlocal admin
            try:
                admin.list_topics(timeout=_PROBE_S)
            except KafkaException:
                admin = kafka.admin(self._settings.kafka)  # the old one may be one that can never work again (`hookline.kernel.lost`)
                return "Kafka does not answer"
            return ""

        self._health.ready("kafka", broker)

    def _broken(self) -> str:
        return self._quick.complaint() or self._bulk.complaint()

    async def _until_stop(self, stop: Stop) -> None:
        """Wait for the stop; end the process when the producer can never work again, so that its supervisor starts a new one."""
        waiting = asyncio.create_task(stop.waited())
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=1)
            if broken := self._broken():
                waiting.cancel()
                raise HooklineError(f"Ingest cannot go on: {broken}", remedy="Start it again; nothing unconfirmed was acknowledged.")

    async def _tick(self, gate: Gate, server: Server) -> None:
        """Measure how late the loop runs, and refresh the gauges."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_S)
            self._beat = time.monotonic()
            metrics.LOOP_STALL_S.observe(max(0.0, self._beat - before - _TICK_S))
            metrics.IN_FLIGHT.set(gate.in_flight)
            metrics.CONNECTIONS.set(len(server.connections))


async def _close(publisher: AsyncPublisher) -> None:
    try:
        await publisher.close(_FLUSH_S)
    except Undelivered as error:  # their clients were told
        _log.warning("ingest.undelivered", error=error.message)


async def serve(environ: Mapping[str, str], stop: Stop) -> None:
    """Run one ingest process until the stop; raise `HooklineError`."""
    await IngestProcess(Settings.read(environ), open_registry(environ)).run(stop)
