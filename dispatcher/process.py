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

from hookline.dispatcher import disabling, metrics
from hookline.dispatcher.broker_clock import BrokerClock
from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.crash_marker import CrashMarker
from hookline.dispatcher.disabling import Disabling
from hookline.dispatcher.faults import Faults
from hookline.dispatcher.intake import Intake
from hookline.dispatcher.joining import Joining
from hookline.dispatcher.lanes import LaneConfig, Lanes
from hookline.dispatcher.ledger import Ledger
from hookline.dispatcher.matching import Matcher
from hookline.dispatcher.pulse import Pulse
from hookline.dispatcher.reception import Reception, ReceptionParts
from hookline.dispatcher.sending import Policies, Sending, SendingParts
from hookline.dispatcher.settlement import Settlement, SettlementParts
from hookline.dispatcher.signatures import Signatures
from hookline.dispatcher.slot import Slot
from hookline.dispatcher.soundings import Soundings
from hookline.dispatcher.source import IntakeLimits, Source, again, fresh, tiers_to_read
from hookline.dispatcher.transport.aiohttp_transport import AiohttpTransport
from hookline.dispatcher.transport.contract import Transport
from hookline.dispatcher.transport.native_transport import NativeTransport, connections_within
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock, to_us
from hookline.kernel.config import load, state_dir
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.kernel.lifecycle import Stop, raise_file_limit, spare_collections
from hookline.kernel.log import logger
from hookline.kernel.metrics import Health, MetricsConfig, MetricsServer
from hookline.kernel.sessions import lease_s
from hookline.kernel.tracing import TracingConfig, open_tracing
from hookline.schemas.audit import AuditWriter, Entry
from hookline.schemas.erasures import Erasures
from hookline.schemas.events import new_id
from hookline.schemas.registry import SchemaRegistry, open_registry
from hookline.schemas.topics import Topics, TopicsConfig
from hookline.schemas.wire import Codec
from hookline.webhooks.model import Webhook
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import SecretsConfig, Vault
from hookline.webhooks.store import Webhooks
from hookline.webhooks.urls import UrlPolicy

_log = logger("dispatcher")
_BARRIER_S: Final = 2.0
_STALE_S: Final = 60.0
_MISSING_TOPIC_MS: Final = 5_000
_LINGER_MS: Final = 25  # at 5, small batches cost 34 µs of CPU more per delivery


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
    tracing: TracingConfig
    state_dir: Path

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Return the settings; raise `ConfigError`."""
        found = cls(
            kafka=load(kafka.KafkaConfig, environ),
            topics=load(TopicsConfig, environ),
            dispatch=load(DispatchConfig, environ),
            lanes=load(LaneConfig, environ),
            urls=load(UrlPolicy, environ),
            secrets=load(SecretsConfig, environ),
            metrics=load(MetricsConfig, environ),
            tracing=load(TracingConfig, environ),
            state_dir=state_dir(environ),
        )
        strange = [tier for tier in found.dispatch.park_tiers if tier not in found.topics.retry_tiers]
        if strange:
            raise ConfigError(
                f"HOOKLINE_PARK_TIERS names {strange[0]}, which is not among HOOKLINE_RETRY_TIERS ({','.join(found.topics.retry_tiers)})",
                remedy="Set it to some of those: deliveries are parked in these tiers' topics.",
            )
        if found.dispatch.proxy and found.dispatch.transport != "native":
            raise ConfigError(
                f"HOOKLINE_PROXY is set, and HOOKLINE_TRANSPORT={found.dispatch.transport} calls through none",
                remedy="Take HOOKLINE_TRANSPORT=native, or leave HOOKLINE_PROXY out.",
            )
        return found


class Dispatcher:
    """The process: `run` starts the parts, waits for the stop, drains them."""

    def __init__(self, settings: Settings, schema_registry: SchemaRegistry) -> None:
        self._settings = settings
        self._schemas = schema_registry
        self._topics = Topics(settings.kafka.topic_prefix)
        self._clock = SystemClock()
        self._broker_clock = BrokerClock(self._clock)
        self._health = Health()
        self._faults = Faults()
        self._codec = Codec(schema_registry)
        self._vault = Vault.from_config(settings.secrets)
        memory = settings.state_dir / f"{self._topics.webhooks}.end.json"
        self._registry = WebhookRegistry(settings.kafka, self._topics, self._codec, memory)
        self._erasures = Erasures(settings.kafka, self._topics, self._codec)
        self._transport = _transport(settings, raise_file_limit())
        self._tracing = open_tracing(settings.tracing, "dispatcher")
        self._lanes = Lanes(settings.lanes, self._clock)
        self._disabling = Disabling(self._registry, self._writer, self._note_disabling)
        self._audit = AuditWriter(settings.kafka, self._topics, self._codec)
        self._look_ups = ThreadPoolExecutor(1, thread_name_prefix="schemas")
        self._slot = Slot(settings.state_dir / "decoding")
        self._marker = CrashMarker(settings.state_dir / "decoding", self._slot)
        self._intakes: list[Intake] = []
        self._lease_s = 0.0
        self._soundings = Soundings(settings.kafka, self._intakes, self._registry.catch_up)

    async def run(self, stop: Stop) -> None:
        """Dispatch until the stop, then drain; raise `HooklineError` when a part cannot start."""
        _log.info("dispatcher.starting", brokers=self._settings.kafka.bootstrap_servers)
        await asyncio.to_thread(kafka.wait_for_broker, self._settings.kafka, stop.is_set)
        if stop.is_set():
            return
        self._slot.take()
        self._marker.open()
        await asyncio.to_thread(self._schemas.start)
        await asyncio.to_thread(self._registry.start)
        await asyncio.to_thread(self._erasures.start)
        await self._transport.start()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._faults.from_loop)
        # A topic that is missing is reported, and looked for again, after 5 s instead of 30. No receiver waits for these records.
        extra = {
            "message_max_bytes": 2 * 1024 * 1024,
            "topic_metadata_propagation_max_ms": _MISSING_TOPIC_MS,
            "linger_ms": _LINGER_MS,
        }
        ledger = Ledger(partial(kafka.producer, self._settings.kafka, **extra), loop, self._faults, self._broker_clock.heard)
        tiers = await asyncio.to_thread(tiers_to_read, self._settings.kafka, self._topics, self._settings.topics.retry_tiers)
        sources = [fresh(self._topics, self._barrier), *again(self._topics, tiers, self._barrier, self._broker_clock.now)]
        self._lease_s = await asyncio.to_thread(lease_s, self._settings.kafka, [source.group for source in sources])
        sending = self._wire(loop, ledger, sources)
        pulse = Pulse(self._faults, (sending.tick, self._note_member), partial(self._measure, sending))
        server = MetricsServer(self._settings.metrics, self._health)
        joining = Joining(self._settings.kafka, self._intakes[0].source.group, self._slot.former)
        self._probe(ledger, pulse)
        self._health.ready("joining", joining.complaint)
        server.start()
        ledger.start()
        joining.start()
        for intake in self._intakes:
            intake.start(joining)
        self._soundings.start()
        pulse.start()
        spare_collections()
        _log.info("dispatcher.started", metrics_port=server.port, webhooks=self._registry.size)
        await self._until_stop(stop, ledger)
        pulse.stop()
        await asyncio.to_thread(joining.stop)
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

    # ---- wiring ----

    def _wire(self, loop: asyncio.AbstractEventLoop, ledger: Ledger, sources: list[Source]) -> Sending:
        settings = self._settings
        settlement = Settlement(
            SettlementParts(
                ledger=ledger,
                codec=self._codec,
                topics=self._topics,
                config=settings.dispatch,
                tiers=settings.topics.retry_tiers,
                name=f"{socket.gethostname()}:{os.getpid()}",
                wall=self._broker_clock.now,
            )
        )
        signatures = Signatures(self._vault, self._clock)
        self._registry.on_change(signatures.forget)
        out = Sending(
            SendingParts(
                directory=self._registry,
                transport=self._transport,
                lanes=self._lanes,
                signatures=signatures,
                settlement=settlement,
                policies=Policies(default=settings.dispatch.policy(settings.topics), long=settings.dispatch.long_policy(settings.topics)),
                wall=self._broker_clock.now,
                faults=self._faults,
                disable=self._disabling.gone,
                erased=self._erasures.has,
                tracing=self._tracing,
            ),
            settings.dispatch,
        )
        parts = ReceptionParts(
            loop=loop,
            codec=self._codec,
            matcher=Matcher(self._registry, self._broker_clock.now),
            sending=out,
            settlement=settlement,
            marker=self._marker,
            faults=self._faults,
            executor=self._look_ups,
            wall=self._broker_clock.now,
        )
        self._intakes.extend(self._make_intakes(Reception(parts, settings.dispatch.poison_limit), sources))
        return out

    def _make_intakes(self, taken_by: Reception, sources: list[Source]) -> list[Intake]:
        config, (events, *waiting) = self._settings.kafka, sources
        return [
            Intake(config, events, self._limits(1), taken_by.events),
            *(Intake(config, source, self._limits(4), taken_by.waiting) for source in waiting),
        ]

    def _limits(self, part: int) -> IntakeLimits:
        """Return the limits of one source; the many sources of what is made again get a part each."""
        config = self._settings.dispatch
        return IntakeLimits(
            pending=max(1, config.pending // part),
            pending_bytes=max(1, config.pending_bytes // part),
            commit_s=config.commit_s,
            revoke_s=config.revoke_s,
            lease_s=self._lease_s,
        )

    def _writer(self) -> Webhooks:
        settings = self._settings
        return Webhooks(settings.kafka, self._topics, self._registry, self._vault, self._codec, settings.urls, self._clock)

    def _note_disabling(self, webhook: Webhook) -> None:
        at_us = to_us(self._clock.now())
        entry = Entry(
            id=new_id("aud"), at_us=at_us, store_id=webhook.store_id, actor=disabling.ACTOR, action=disabling.ACTION, target=webhook.id
        )
        self._audit.write(entry)

    def _note_member(self) -> None:
        self._slot.note(self._intakes[0].member)

    def _barrier(self) -> bool:
        """Make sure that every webhook acknowledged before these records were read is known; False: try again."""
        done = bool(self._registry.catch_up(_BARRIER_S))
        if done:
            self._soundings.whole()
        return done

    # ---- health ----

    def _probe(self, ledger: Ledger, pulse: Pulse) -> None:
        for intake in self._intakes:
            self._health.alive(f"intake.{intake.source.name}", intake.complaint)
            self._health.ready(f"held.{intake.source.name}", partial(_held, intake))
        self._health.alive("producer", ledger.fatal)
        self._health.alive("loop", pulse.complaint)
        self._health.ready("broker", self._soundings.broker)
        self._health.ready("registry", self._soundings.registry)
        self._health.ready("settling", ledger.complaint)
        self._health.ready("polling", self._polling)
        self._health.ready("faults", self._faults.complaint)

    def _polling(self) -> str:
        stale = [i.source.name for i in self._intakes if time.monotonic() - i.lease.beat > _STALE_S]
        return f"no poll for {_STALE_S:g} s: {', '.join(stale)}" if stale else ""

    def _measure(self, out: Sending) -> None:
        metrics.IN_FLIGHT.set(out.in_flight)
        metrics.QUEUED.set(out.queued)
        metrics.REGISTRY_AGE_S.set(self._soundings.registry_age_s)
        metrics.WEBHOOKS.set(self._registry.size)
        metrics.REGISTRY_FAULTS.set(self._registry.faults)
        metrics.CLOCK_FAST_S.set(self._broker_clock.fast_s)
        metrics.HELD.set(sum(len(intake.held()) for intake in self._intakes))
        for state, count in self._lanes.states().items():
            metrics.LANES.labels(state).set(count)

    # ---- the end ----

    async def _drain(self, out: Sending, ledger: Ledger) -> None:
        """Take up nothing more, finish the calls under way, make their records durable, commit, leave."""
        for intake in self._intakes:
            intake.drain()
        out.close()
        deadline = time.monotonic() + self._settings.dispatch.drain_s
        while out.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110  # simpler than an event per call
            await asyncio.sleep(0.02)
        left = ledger.stop()
        if left or out.in_flight:
            _log.warning("dispatcher.undrained", unacknowledged=left, calls=out.in_flight)
        await asyncio.gather(*(asyncio.to_thread(intake.stop) for intake in self._intakes))
        await asyncio.to_thread(self._soundings.stop)
        await asyncio.to_thread(self._disabling.stop)
        self._look_ups.shutdown(wait=False, cancel_futures=True)
        await self._transport.stop()
        await asyncio.to_thread(self._erasures.stop)
        await asyncio.to_thread(self._registry.stop)
        await asyncio.to_thread(self._schemas.stop)
        self._marker.close()
        self._slot.release()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        _log.info("dispatcher.stopped")


def _held(intake: Intake) -> str:
    held = intake.held()
    return f"held after too many undecodable records: {', '.join(held)}; mend the producer, then restart" if held else ""


def _transport(settings: Settings, files: int) -> Transport:
    if settings.dispatch.transport == "native":
        return NativeTransport(settings.urls, connections=connections_within(files), proxy=settings.dispatch.proxy)
    return AiohttpTransport(settings.urls)


async def serve(environ: Mapping[str, str], stop: Stop) -> None:
    """Run one dispatcher until the stop; raise `HooklineError`."""
    settings = Settings.read(environ)
    await Dispatcher(settings, open_registry(environ)).run(stop)
