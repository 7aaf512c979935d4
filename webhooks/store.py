"""Changing webhooks: every change is one record on the log, checked before and read back after."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import Producer

from hookline.kernel import kafka
from hookline.kernel.clock import Clock, to_us
from hookline.kernel.errors import BrokerUnavailable, Conflict, InputError, LimitExceeded, NotFound, Stale
from hookline.schemas.catalogue import event_type
from hookline.schemas.events import check_id, new_id
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks.filters import compile_filter
from hookline.webhooks.headers import check_headers
from hookline.webhooks.model import SUBJECT, SealedSecret, State, Webhook
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import Vault, aad_of, new_secret, parse_secret
from hookline.webhooks.urls import UrlPolicy, check_url

MOST_PER_TYPE: Final = 10
OVERLAP_US: Final = 24 * 3_600 * 1_000_000
_MAX_NAME: Final = 128
_TIMEOUTS_S: Final = (5.0, 30.0)
_SCHEDULES: Final = ("default", "long")
_READ_BACK_S: Final = 10.0
_CHANGEABLE: Final = frozenset({"name", "url", "event_types", "filter", "headers", "timeout_s", "schedule"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """What a store asks for; an empty secret means: make one."""

    store_id: str
    url: str
    event_types: tuple[str, ...]
    name: str = ""
    filter: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 10.0
    schedule: str = "default"
    secret: str = ""


class Webhooks:
    """Creates, changes and deletes webhooks; each call returns when this process's registry shows the change.

    Use from one thread at a time. Other writers may be at work: of two changes to the same version the first in the
    log wins everywhere, the other raises `Conflict`. Limits are checked before writing, and once more after reading
    back, when a webhook created at the same moment by another writer is known too: the later one is taken back.
    """

    def __init__(  # the parts, wired once
        self,
        config: kafka.KafkaConfig,
        topics: Topics,
        registry: WebhookRegistry,
        vault: Vault,
        codec: Codec,
        policy: UrlPolicy,
        clock: Clock,
    ) -> None:
        self._config = config
        self._topic = topics.webhooks
        self._registry = registry
        self._vault = vault
        self._codec = codec
        self._policy = policy
        self._clock = clock
        self._client: Producer | None = None

    def create(self, new: NewWebhook) -> tuple[Webhook, str]:
        """Create an enabled webhook; return it and its secret, which is shown this once; raise `InputError`."""
        secret = new.secret or new_secret()
        now = self._now()
        webhook_id = new_id("wh")
        webhook = Webhook(
            id=webhook_id,
            store_id=check_id(new.store_id, "store_id"),
            name=_name(new.name),
            url=check_url(new.url, self._policy),
            event_types=_types(new.event_types),
            filter=_filter(new.filter),
            state=State.ENABLED,
            state_reason="",
            state_since_us=now,
            secrets=(self._sealed(new.store_id, webhook_id, secret, now),),
            headers=check_headers(new.headers),
            timeout_s=_timeout(new.timeout_s),
            schedule=_schedule(new.schedule),
            created_at_us=now,
            updated_at_us=now,
            version=1,
            write_id=os.urandom(8).hex(),
        )
        self._catch_up()
        self._check_limits(webhook, self._others(webhook))
        self._write(webhook)
        self._recheck_limits(webhook)
        return webhook, secret

    def get(self, webhook_id: str) -> Webhook:
        """Return a webhook as it is now; raise `NotFound`."""
        self._catch_up()
        return self._known(webhook_id)

    def update(self, webhook_id: str, changes: Mapping[str, Any], expected_version: int | None = None) -> Webhook:
        """Change name, url, event_types, filter, headers, timeout_s or schedule; raise `InputError`, `Conflict`.

        `expected_version` None takes whatever is there.
        """
        unknown = set(changes) - _CHANGEABLE
        if unknown:
            raise InputError(
                f"{min(unknown)} cannot be changed", field=min(unknown), remedy=f"These can: {', '.join(sorted(_CHANGEABLE))}."
            )
        return self._change(webhook_id, lambda old: replace(old, **self._checked(changes)), expected_version)

    def pause(self, webhook_id: str) -> Webhook:
        """Hold its deliveries until it is resumed; raise `Conflict` when it is disabled."""
        return self._to(webhook_id, State.PAUSED, "", only_from=(State.ENABLED, State.PAUSED))

    def resume(self, webhook_id: str) -> Webhook:
        """Deliver again what a pause held; raise `Conflict` when it is disabled."""
        return self._to(webhook_id, State.ENABLED, "", only_from=(State.ENABLED, State.PAUSED))

    def enable(self, webhook_id: str) -> Webhook:
        """Take events again."""
        return self._to(webhook_id, State.ENABLED, "")

    def disable(self, webhook_id: str, reason: str) -> Webhook:
        """Take no events until it is enabled; `reason` is shown to the store."""
        return self._to(webhook_id, State.DISABLED, reason)

    def rotate_secret(self, webhook_id: str, secret: str = "") -> str:
        """Replace the secret; the old one signs too for 24 h. Return the new one, shown this once."""
        plain = secret or new_secret()
        now = self._now()

        def rotated(old: Webhook) -> Webhook:
            kept = tuple(_ending(s, now) for s in old.secrets if s.expires_at_us == 0 or s.expires_at_us > now)
            return replace(old, secrets=(self._sealed(old.store_id, old.id, plain, now), *kept))

        self._change(webhook_id, rotated, None)
        return plain

    def delete(self, webhook_id: str) -> None:
        """Delete it for good: what is still waiting for it is cancelled; raise `NotFound`."""
        self._catch_up()
        self._known(webhook_id)
        self._bury(webhook_id)

    # ---- writing ----

    def _change(self, webhook_id: str, change: Callable[[Webhook], Webhook], expected_version: int | None) -> Webhook:
        self._catch_up()
        old = self._known(webhook_id)
        if expected_version is not None and old.version != expected_version:
            raise _conflict(old)
        new = replace(change(old), version=old.version + 1, updated_at_us=self._now(), write_id=os.urandom(8).hex())
        self._check_limits(new, self._others(new))
        self._write(new)
        return new

    def _to(self, webhook_id: str, state: State, reason: str, only_from: tuple[State, ...] = tuple(State)) -> Webhook:
        def moved(old: Webhook) -> Webhook:
            if old.state not in only_from:
                raise Conflict(
                    f"{webhook_id} is {old.state}: {old.state_reason or 'no reason given'}", field="state", remedy="Enable it first."
                )
            return replace(old, state=state, state_reason=reason, state_since_us=self._now())

        self._catch_up()
        if self._known(webhook_id).state is state:
            return self._known(webhook_id)
        return self._change(webhook_id, moved, None)

    def _write(self, webhook: Webhook) -> None:
        """Write, read back, and see whether this write is the one that counts."""
        self._produce(webhook)
        found = self._registry.get(webhook.id)
        if found is None or found.write_id != webhook.write_id:
            if found is not None and found.version == webhook.version:
                self._produce(found)  # compaction keeps the last record: let that be the winner's
            raise _conflict(webhook)

    def _produce(self, webhook: Webhook) -> None:
        value = self._codec.encode_record(SUBJECT, webhook.to_datum())
        self._read_back(kafka.produce_sync(self._producer(), self._topic, key=webhook.id.encode(), value=value))

    def _bury(self, webhook_id: str) -> None:
        self._read_back(kafka.produce_sync(self._producer(), self._topic, key=webhook_id.encode(), value=None))

    def _producer(self) -> Producer:
        self._client = self._client or kafka.producer(self._config, linger_ms=0)
        return self._client

    def _read_back(self, offset: int) -> None:
        if not self._registry.wait_for(offset + 1, _READ_BACK_S):
            raise BrokerUnavailable("The change was written but could not be read back in time", remedy="Look whether it took effect.")

    def _catch_up(self) -> None:
        if not self._registry.catch_up(_READ_BACK_S):
            raise BrokerUnavailable("The webhooks topic does not answer", remedy="Check the broker.")

    # ---- checks ----

    def _known(self, webhook_id: str) -> Webhook:
        found = self._registry.get(webhook_id)
        if found is None:
            raise NotFound(f"There is no webhook {webhook_id[:80]!r}", field="id", remedy="See `hookline webhooks list`.")
        return found

    def _checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        checks: dict[str, Callable[[Any], Any]] = {
            "name": _name,
            "url": lambda text: check_url(text, self._policy),
            "event_types": _types,
            "filter": _filter,
            "headers": check_headers,
            "timeout_s": _timeout,
            "schedule": _schedule,
        }
        return {name: checks[name](value) for name, value in changes.items()}

    def _others(self, webhook: Webhook) -> list[Webhook]:
        return [other for other in self._registry.of_store(webhook.store_id) if other.id != webhook.id]

    def _check_limits(self, webhook: Webhook, others: list[Webhook]) -> None:
        for name in webhook.event_types:
            same = [other for other in others if name in other.event_types]
            twin = next((other for other in same if other.url == webhook.url), None)
            if twin is not None:
                raise Conflict(
                    f"{twin.id} already sends {name} to this URL",
                    field="url",
                    remedy=f"Change that one: hookline webhooks update {twin.id}.",
                )
            enabled = sum(other.state is not State.DISABLED for other in same)
            if webhook.state is not State.DISABLED and enabled >= MOST_PER_TYPE:
                remedy = "Delete or disable one, or let one receiver pass the event on."
                raise LimitExceeded(
                    f"{webhook.store_id} has {MOST_PER_TYPE} webhooks for {name} already", field="event_types", remedy=remedy
                )

    def _recheck_limits(self, webhook: Webhook) -> None:
        earlier = [o for o in self._others(webhook) if (o.created_at_us, o.id) < (webhook.created_at_us, webhook.id)]
        try:
            self._check_limits(webhook, earlier)
        except InputError:
            self._bury(webhook.id)
            raise

    def _sealed(self, store_id: str, webhook_id: str, secret: str, now_us: int) -> SealedSecret:
        return SealedSecret(self._vault.seal(parse_secret(secret), aad_of(store_id, webhook_id, now_us)), now_us)

    def _now(self) -> int:
        return to_us(self._clock.now())


def _ending(secret: SealedSecret, now_us: int) -> SealedSecret:
    return secret if secret.expires_at_us else replace(secret, expires_at_us=now_us + OVERLAP_US)


def _conflict(webhook: Webhook) -> Stale:
    return Stale(f"{webhook.id} was changed by somebody else meanwhile", remedy="Read it again and repeat the change.")


def _name(text: object) -> str:
    if not isinstance(text, str):
        raise InputError("name must be a text", field="name")
    name = unicodedata.normalize("NFC", text).strip()
    if len(name) > _MAX_NAME or any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in name):
        raise InputError(f"name must be up to {_MAX_NAME} visible characters", field="name")
    return name


def _types(names: object) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not names:
        raise InputError(
            "event_types must be a list of at least one event type", field="event_types", remedy="See `hookline events types`."
        )
    return tuple(dict.fromkeys(event_type(name).name for name in names))


def _filter(text: object) -> str:
    if not isinstance(text, str):
        raise InputError("filter must be a text", field="filter")
    return compile_filter(text).text if text else ""


def _timeout(value: object) -> float:
    low, high = _TIMEOUTS_S
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"timeout_s must be from {low:g} to {high:g} seconds", field="timeout_s")
    return float(value)


def _schedule(text: object) -> str:
    if text not in _SCHEDULES:
        raise InputError(f"schedule must be {' or '.join(_SCHEDULES)}", field="schedule")
    return str(text)
