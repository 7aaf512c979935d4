"""What the handlers work with: every part of the console, wired once by its process."""

from __future__ import annotations

from dataclasses import dataclass

from hookline.console.audit import AuditLog
from hookline.console.config import ConsoleConfig
from hookline.console.event_samples import EventSamples
from hookline.console.event_search import EventSearch
from hookline.console.export_slots import ExportSlots
from hookline.console.http.cursors import Cursors
from hookline.console.http.pools import Pools
from hookline.console.http.throttle import Throttle
from hookline.console.jobs import Jobs
from hookline.console.letters import Letters
from hookline.console.log_access import LogAccess
from hookline.console.places import Places
from hookline.console.resends import Resends
from hookline.dispatcher.trials import Trials
from hookline.kernel.clock import Clock
from hookline.kernel.kafka import KafkaConfig
from hookline.producers.api_keys import ApiKeys, ApiKeyWriter
from hookline.producers.ingest.acceptance import Acceptance
from hookline.schemas.erasures import Erasures
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.store import Webhooks
from hookline.webhooks.urls import UrlPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts.

    `registry`, `keys`, `erasures`, `letters` and `jobs` are read in memory, from any thread. `webhooks` and `key_writer` write: only in
    `Work.CHANGES`. `queries` asks ClickHouse, `places`, `event_search` and `event_samples` read from Kafka, `resends` writes to it: only
    in `Work.QUERIES`. `trials` waits for receivers: only in `Work.TRIALS`. `events` takes events, `exports` counts: on the loop.
    """

    config: ConsoleConfig
    kafka: KafkaConfig
    topics: Topics
    codec: Codec
    clock: Clock
    pools: Pools
    cursors: Cursors
    registry: WebhookRegistry
    webhooks: Webhooks
    urls: UrlPolicy
    keys: ApiKeys
    key_writer: ApiKeyWriter
    erasures: Erasures
    audit: AuditLog
    trials: Trials
    trial_pace: Throttle
    events: Acceptance
    queries: LogAccess
    places: Places
    event_search: EventSearch
    event_samples: EventSamples
    letters: Letters
    jobs: Jobs
    resends: Resends
    exports: ExportSlots
