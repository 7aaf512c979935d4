"""One dispatcher process, wired by hand from its parts, started and drained in order."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from hookline.dispatcher import metrics
from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.crash_marker import CrashMarker
from hookline.dispatcher.intake import Intake, IntakeLimits, Source
from hookline.dispatcher.lanes import LaneConfig, Lanes
from hookline.dispatcher.ledger import Ledger
from hookline.dispatcher.matching import Matcher
from hookline.dispatcher.reception import Reception
from hookline.dispatcher.sending import Policies, Sending
from hookline.dispatcher.settlement import Settlement
from hookline.dispatcher.signatures import Signatures
from hookline.dispatcher.transport.aiohttp_transport import AiohttpTransport
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load, state_dir
from hookline.kernel.errors import HooklineError
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger
from hookline.kernel.metrics import Health, MetricsConfig, MetricsServer
from hookline.schemas.registry import SchemaRegistry, open_registry
from hookline.schemas.topics import Topics, TopicsConfig, duration_s
from hookline.schemas.wire import Codec
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import SecretsConfig, Vault
from hookline.webhooks.store import Webhooks
from hookline.webhooks.urls import UrlPolicy

_log = logger("dispatcher")
_TICK_S: Final = 0.1
_REGISTRY_S: Final = 5.0
_BARRIER_S: Final = 5.0
_STALE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a dispatcher reads from the environment."""

    kafka: kafka.KafkaConfig
    topics: TopicsConfig
    dispatch: DispatchConfig
    lanes: LaneConfig
    urls: UrlPolicy
    secrets: SecretsConfig
    metrics: MetricsConfig
    state_dir: Path

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Return the settings; raise `ConfigError`."""
        return cls(
            kafka=load(kafka.KafkaConfig, environ),
            topics=load(TopicsConfig, environ),
            dispatch=load(DispatchConfig, environ),
            lanes=load(LaneConfig, environ),
            urls=load(UrlPolicy, environ),
            secrets=load(SecretsConfig, environ),
            metrics=load(MetricsConfig, environ),
            state_dir=state_dir(environ),
        )


class Dispatcher:
    """The process: `run` starts the parts, waits for the stop, drains them."""

    def __init__(self, settings: Settings, schema_registry: SchemaRegistry) -> None:
        self._settings = settings
        self._schemas = schema_registry
        self._topics = Topics(settings.kafka.topic_prefix)
        self._clock = SystemClock()
        self._health = Health()
        self._codec = Codec(schema_registry)
        self._vault = Vault.from_config(settings.secrets)
        self._registry = WebhookRegistry(settings.kafka, self._topics, self._codec)
        self._transport = AiohttpTransport(settings.urls)
        self._lanes = Lanes(settings.lanes, self._clock)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._registry_at = time.monotonic()
        self._marker = CrashMarker(settings.state_dir / "decoding")
        self._intakes: list[Intake] = []

    async def run(self, stop: Stop) -> None:
        """Dispatch until the stop, then drain; raise `HooklineError` when a part cannot start."""
        await asyncio.to_thread(kafka.wait_for_broker, self._settings.kafka, stop.is_set)
        self._marker.open()
        await asyncio.to_thread(self._schemas.start)
        await asyncio.to_thread(self._registry.start)
        await self._transport.start()
        loop = asyncio.get_running_loop()
        producer = kafka.producer(self._settings.kafka, message_max_bytes=2 * 1024 * 1024)
        ledger = Ledger(producer, loop)
        sending = self._wire(loop, ledger)
        server = MetricsServer(self._settings.metrics, self._health)
        self._probe(ledger)
        server.start()
        ledger.start()
        for intake in self._intakes:
            intake.start()
        _log.info("dispatcher.started", metrics_port=server.port, webhooks=len(self._registry.all()))
        ticking = asyncio.create_task(self._tick(sending))
        await self._until_stop(stop, ledger)
        ticking.cancel()
        await self._drain(sending, ledger)
        server.stop()

    async def _until_stop(self, stop: Stop, ledger: Ledger) -> None:
        """Wait for the stop; end the process when a part can never work again, so that its supervisor starts a new one."""
        waiting = asyncio.create_task(stop.waited())
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=1)
            broken = ledger.fatal() or next((text for i in self._intakes if (text := i.complaint())), "")
            if broken:
                waiting.cancel()
                raise HooklineError(
                    f"The dispatcher cannot go on: {broken}", remedy="It is safe to start it again: nothing unsettled was committed."
                )

    def _wire(self, loop: asyncio.AbstractEventLoop, ledger: Ledger) -> Sending:
        settings = self._settings
        name = f"{socket.gethostname()}:{os.getpid()}"
        settlement = Settlement(ledger, self._codec, self._topics, settings.dispatch, settings.topics.retry_tiers, name)
        sending = Sending(
            directory=self._registry,
            transport=self._transport,
            lanes=self._lanes,
            signatures=Signatures(self._vault, self._clock),
            settlement=settlement,
            policies=Policies(default=settings.dispatch.policy(settings.topics), long=settings.dispatch.long_policy(settings.topics)),
            config=settings.dispatch,
            clock=self._clock,
            disable=self._disable,
        )
        reception = Reception(loop, self._codec, Matcher(self._registry), sending, settlement, settings.dispatch, self._marker)
        self._intakes = self._make_intakes(reception)
        return sending

    def _make_intakes(self, reception: Reception) -> list[Intake]:
        config, topics = self._settings.dispatch, self._topics
        lease_s = self._settings.kafka.session_timeout_ms / 2_000
        limits = IntakeLimits(pending=config.pending, commit_s=config.commit_s, revoke_s=config.revoke_s, lease_s=lease_s)
        fresh = Source(name="events", topics=topics.all_events(), group="dispatch", barrier=self._barrier)
        again = [Source(name="replays", topics=[topics.replays], group="dispatch.replays", barrier=None)]
        again += [
            Source(name=f"retry.{tier}", topics=[topics.retry(tier)], group=f"dispatch.retry.{tier}", delay_s=duration_s(tier))
            for tier in self._settings.topics.retry_tiers
        ]
        return [
            Intake(self._settings.kafka, fresh, limits, reception.events),
            *(Intake(self._settings.kafka, source, limits, reception.waiting) for source in again),
        ]

    def _barrier(self) -> bool:
        """Make sure that every webhook acknowledged before these events were read is known; False: try again."""
        done = self._registry.catch_up(_BARRIER_S)
        if done:
            self._registry_at = time.monotonic()
        return bool(done)

    def _disable(self, webhook_id: str, reason: str) -> None:
        """Disable a webhook whose receiver said 410, in the background; what fails is tried with the next 410."""

        def work() -> None:
            try:
                Webhooks(
                    self._settings.kafka, self._topics, self._registry, self._vault, self._codec, self._settings.urls, self._clock
                ).disable(webhook_id, reason)
            except HooklineError as error:
                _log.warning("dispatcher.disable_failed", webhook_id=webhook_id, error=error.message)

        self._background.submit(work)

    def _probe(self, ledger: Ledger) -> None:
        for intake in self._intakes:
            self._health.alive(f"intake.{intake.source.name}", intake.complaint)
            self._health.ready(f"held.{intake.source.name}", partial(_held, intake))
        self._health.alive("producer", ledger.fatal)
        self._health.ready("settling", ledger.complaint)
        self._health.ready("polling", self._polling)

    def _polling(self) -> str:
        stale = [i.source.name for i in self._intakes if time.monotonic() - i.beat > _STALE_S]
        return f"no poll for {_STALE_S:g} s: {', '.join(stale)}" if stale else ""

    async def _tick(self, sending: Sending) -> None:
        """Measure how late the loop runs, and refresh the gauges."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_S)
            metrics.LOOP_STALL_S.observe(max(0.0, time.monotonic() - before - _TICK_S))
            metrics.IN_FLIGHT.set(sending.in_flight)
            metrics.REGISTRY_AGE_S.set(time.monotonic() - self._registry_at)
            metrics.WEBHOOKS.set(self._registry.size)
            for state, count in self._lanes.states().items():
                metrics.LANES.labels(state).set(count)

    async def _drain(self, sending: Sending, ledger: Ledger) -> None:
        """Take up nothing more, finish the calls under way, make their records durable, commit, leave."""
        for intake in self._intakes:
            intake.drain()
        sending.close()
        deadline = time.monotonic() + self._settings.dispatch.drain_s
        while sending.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110  # simpler than an event per call
            await asyncio.sleep(0.02)
        left = ledger.stop()
        if left or sending.in_flight:
            _log.warning("dispatcher.undrained", unacknowledged=left, calls=sending.in_flight)
        await asyncio.gather(*(asyncio.to_thread(intake.stop) for intake in self._intakes))
        self._background.shutdown(cancel_futures=True)
        await self._transport.stop()
        await asyncio.to_thread(self._registry.stop)
        await asyncio.to_thread(self._schemas.stop)
        self._marker.close()
        _log.info("dispatcher.stopped")


def _held(intake: Intake) -> str:
    held = intake.held()
    return f"held after too many undecodable records: {', '.join(held)}; mend the producer, then restart" if held else ""


async def serve(environ: Mapping[str, str], stop: Stop) -> None:
    """Run one dispatcher until the stop; raise `HooklineError`."""
    settings = Settings.read(environ)
    await Dispatcher(settings, open_registry(environ)).run(stop)
