"""The console's process, wired by hand from its parts: REST API and panel, and the sink where ClickHouse is embedded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final

from hookline.analytics.client import is_embedded, open_client
from hookline.analytics.process import SinkProcess
from hookline.analytics.queries import ClickHouseQueries
from hookline.analytics.warehouse import Warehouse
from hookline.console.api.table import ROUTES
from hookline.console.audit import AuditLog
from hookline.console.config import ConsoleConfig
from hookline.console.event_samples import EventSamples
from hookline.console.event_search import EventSearch
from hookline.console.export_slots import ExportSlots
from hookline.console.http.api import Api
from hookline.console.http.cursors import Cursors
from hookline.console.http.pools import Pools
from hookline.console.http.routes import PREFIX
from hookline.console.http.server import Server, root
from hookline.console.http.throttle import Throttle
from hookline.console.jobs import Jobs
from hookline.console.jobs_wiring import job_runner
from hookline.console.letters import Letters
from hookline.console.log_access import LogAccess
from hookline.console.panel.config import PanelConfig
from hookline.console.panel.services import DispatcherSettings
from hookline.console.panel.wiring import PanelParts
from hookline.console.parts import Parts
from hookline.console.places import Places
from hookline.console.resends import Resends
from hookline.dispatcher.replays import Replays
from hookline.dispatcher.trials import Trials
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger
from hookline.kernel.metrics import Health, MetricsConfig, MetricsServer
from hookline.producers.api_keys import ApiKeyConfig, ApiKeys, ApiKeyWriter
from hookline.producers.async_publisher import AsyncPublisher
from hookline.producers.ingest.acceptance import Acceptance
from hookline.producers.ingest.config import IngestConfig
from hookline.producers.ingest.gate import Gate
from hookline.producers.ingest.reader import EventReader
from hookline.producers.ingest.remembered import Remembered
from hookline.producers.key_uses import KeyUses
from hookline.producers.publisher import Publisher, PublisherConfig
from hookline.schemas.erasures import Erasures
from hookline.schemas.registry import open_registry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import SecretsConfig, Vault
from hookline.webhooks.store import Webhooks
from hookline.webhooks.urls import UrlPolicy

_log = logger("console")
TRIALS_PER_MIN: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the console reads from the environment."""

    console: ConsoleConfig
    panel: PanelConfig
    dispatchers: DispatcherSettings
    kafka: KafkaConfig
    keys: ApiKeyConfig
    secrets: SecretsConfig
    urls: UrlPolicy
    publisher: PublisherConfig
    ingest: IngestConfig
    metrics: MetricsConfig
    embedded: bool

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Return the settings; raise `ConfigError`."""
        return cls(
            console=load(ConsoleConfig, environ),
            panel=load(PanelConfig, environ),
            dispatchers=DispatcherSettings.read(environ),
            kafka=load(KafkaConfig, environ),
            keys=load(ApiKeyConfig, environ),
            secrets=load(SecretsConfig, environ),
            urls=load(UrlPolicy, environ),
            publisher=load(PublisherConfig, environ),
            ingest=load(IngestConfig, environ),
            metrics=load(MetricsConfig, environ),
            embedded=is_embedded(environ),
        )


class Console:
    """The process: `run` starts the parts, waits for the stop, drains them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._settings = settings = Settings.read(environ)
        self._schemas = open_registry(environ)
        self._health = Health()
        self._waits_for = "it does not listen yet"
        # An event is given up by librdkafka when its caller is told so, and not delivered a minute later.
        publishing = replace(settings.publisher, delivery_timeout_s=settings.ingest.timeout_s)
        self._publisher = AsyncPublisher(Publisher(settings.kafka, self._schemas, publishing))
        self._parts = self._wired()
        self._runner = job_runner(self._parts)
        self._panel = PanelParts(self._parts, ROUTES, settings.panel, settings.dispatchers, settings.keys.pepper)
        self._uses = KeyUses(settings.kafka, self._parts.codec, self._parts.keys)
        self._sink = SinkThread(environ, self._health, self._parts.queries) if settings.embedded else None

    async def run(self, stop: Stop) -> None:
        """Serve until the stop, then drain; raise `HooklineError` when a part cannot start or can never work again."""
        metrics = MetricsServer(self._settings.metrics, self._health)
        self._probe()
        metrics.start()
        if self._sink is not None:
            self._sink.start()
        else:
            self._parts.queries.connect(lambda: ClickHouseQueries(open_client(self._environ)))
        try:
            await self._serve(stop, metrics.port)
        finally:
            await asyncio.to_thread(self._close)
            metrics.stop()

    def _wired(self) -> Parts:
        settings, codec, clock = self._settings, Codec(self._schemas), SystemClock()
        config, topics = settings.kafka, Topics(settings.kafka.topic_prefix)
        registry = WebhookRegistry(config, topics, codec)
        keys = ApiKeys(config, codec, settings.keys, clock)
        vault = Vault.from_config(settings.secrets)
        erasures = Erasures(config, topics, codec)
        places = Places(config, codec, erasures)
        gate = Gate(self._publisher, self._publisher, settings.ingest, clock)
        remembered = Remembered(settings.ingest.remembered, settings.ingest.remembered_s, clock)
        return Parts(
            config=settings.console,
            kafka=config,
            topics=topics,
            codec=codec,
            clock=clock,
            pools=Pools(settings.console),
            cursors=Cursors(settings.keys.pepper, clock),
            registry=registry,
            webhooks=Webhooks(config, topics, registry, vault, codec, settings.urls, clock),
            urls=settings.urls,
            keys=keys,
            key_writer=ApiKeyWriter(config, codec, settings.keys, keys, clock),
            audit=AuditLog(config, topics, codec),
            trials=Trials(config, topics, codec),
            trial_pace=Throttle(TRIALS_PER_MIN, clock, "test calls"),
            events=Acceptance(EventReader(settings.ingest, clock), gate, remembered, settings.publisher.max_event_bytes),
            queries=LogAccess(settings.console.query_threads),
            erasures=erasures,
            places=places,
            event_search=EventSearch(config, topics, places, clock),
            event_samples=EventSamples(config, topics, places),
            letters=Letters(config, topics),
            jobs=Jobs(config, topics, codec, clock),
            resends=Resends(Replays(config, topics, codec, erasures), clock),
            exports=ExportSlots(),
        )

    async def _serve(self, stop: Stop, metrics_port: int) -> None:
        await asyncio.to_thread(kafka.wait_for_broker, self._settings.kafka, stop.is_set)
        parts = self._parts
        for part in (self._schemas, parts.registry, parts.keys, parts.erasures, parts.audit, parts.jobs, self._uses, self._panel):
            await asyncio.to_thread(part.start)
        self._parts.letters.start()
        self._runner.start()
        await self._publisher.start()
        app = root()
        app.add_subapp(PREFIX, Api(self._parts, ROUTES).application())
        self._panel.mount(app)
        server = Server(app, self._settings.console.host, self._settings.console.port, self._settings.console.drain_s)
        await server.start()
        self._waits_for = ""
        _log.info("console.listening", host=self._settings.console.host, port=server.port, metrics_port=metrics_port)
        self._panel.announce(server.port)
        try:
            await self._until_stop(stop)
        finally:
            self._waits_for = "it is stopping"
            await server.stop()
            await self._publisher.close(self._settings.console.drain_s)

    async def _until_stop(self, stop: Stop) -> None:
        """Wait for the stop, or for the sink to end, which it does before the stop only by failing."""
        waiting = asyncio.create_task(stop.waited())
        both = {waiting} | ({asyncio.wrap_future(self._sink.ended)} if self._sink is not None else set())
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        for ended in done - {waiting}:
            ended.result()

    def _probe(self) -> None:
        parts = self._parts
        self._health.ready("http", lambda: self._waits_for)
        self._health.ready("webhooks", lambda: "" if parts.registry.ready else "the webhooks are not read yet")
        self._health.ready("api keys", parts.keys.complaint)
        self._health.ready("erasures", parts.erasures.complaint)
        self._health.ready("log", parts.queries.complaint)

    def _close(self) -> None:
        """Stop what has started, those who use others first; what had not started does not mind."""
        self._parts.trials.stop()
        self._runner.stop()
        self._parts.pools.close()
        self._parts.queries.close()
        if self._sink is not None:
            self._sink.stop()
        for part in (
            self._parts.letters,
            self._panel,
            self._uses,
            self._parts.jobs,
            self._parts.audit,
            self._parts.erasures,
            self._parts.keys,
            self._parts.registry,
            self._schemas,
        ):
            part.stop()
        _log.info("console.stopped")


class SinkThread:
    """The sink beside the console: chDB takes one process per folder, and the console asks it too."""

    def __init__(self, environ: Mapping[str, str], health: Health, queries: LogAccess) -> None:
        self._process = SinkProcess(environ, health=health, opened=self._opened)
        self._queries = queries
        self._stop = Stop()
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)
        self.ended: Future[None] = Future()

    def start(self) -> None:
        """Run the sink in its thread."""
        self._thread.start()

    def stop(self) -> None:
        """Have the sink write what it holds and let ClickHouse go."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _opened(self, client: Warehouse) -> None:
        self._queries.connect(lambda: ClickHouseQueries(client.another()))

    def _run(self) -> None:
        try:
            self._process.run(self._stop)
        except BaseException as error:  # noqa: BLE001  # told to whoever waits for the end
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)


async def serve(environ: Mapping[str, str], stop: Stop) -> None:
    """Run one console until the stop; raise `HooklineError`."""
    await Console(environ).run(stop)
