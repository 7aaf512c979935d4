"""Changing webhooks: every change is one record on the log, checked before and read back after."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from hookline.kernel import kafka
from hookline.kernel.clock import Clock, to_us
from hookline.kernel.errors import CertificateError, Conflict, InputError, LimitExceeded, NotFound, Stale
from hookline.schemas.events import check_id, new_id
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks import fields
from hookline.webhooks.certificates import ClientCertificate, seal_certificate
from hookline.webhooks.filters import check_examples
from hookline.webhooks.headers import check_headers
from hookline.webhooks.log import WebhookLog, stale
from hookline.webhooks.model import SealedCertificate, SealedHeader, SealedSecret, State, Webhook
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import Vault, new_secret, parse_secret, resealed, seal_headers, seal_secret, sealed_blobs, show_secret
from hookline.webhooks.templates import check_template, headers_needed
from hookline.webhooks.urls import UrlPolicy, check_url

MOST_PER_TYPE: Final = 10
MOST_PER_STORE: Final = 1_000
MOST_SECRETS: Final = 5
OVERLAP_S: Final = 24 * 3_600
_CHANGEABLE: Final = frozenset(
    {"name", "url", "event_types", "filter", "headers", "timeout_s", "schedule", "client_certificate", "template"}
)
_TRIES: Final = 5


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
    client_certificate: ClientCertificate | None = None
    template: object = ""


class Webhooks:
    """Creates, changes and deletes webhooks; each call returns when this process's registry shows the change.

    Use from one thread at a time. Other writers may be at work: of two changes to the same version the first in the
    log wins everywhere; the other is made again on top of it, or raises `Stale` where a version was expected.
    Limits are checked before writing, and once more after reading back, when a webhook created at the same moment by
    another writer is known too: the later one is taken back.
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
        self._registry = registry
        self._vault = vault
        self._policy = policy
        self._clock = clock
        self._log = WebhookLog(config, topics.webhooks, registry, codec)

    def create(self, new: NewWebhook) -> tuple[Webhook, str]:
        """Create an enabled webhook; return it and its secret, which is shown this once; raise `InputError`."""
        key = parse_secret(new.secret or new_secret())
        now, webhook_id, store_id = self._now(), new_id("wh"), check_id(new.store_id, "store_id")
        webhook = Webhook(
            id=webhook_id,
            store_id=store_id,
            name=fields.name(new.name),
            url=check_url(new.url, self._policy),
            event_types=fields.event_types(new.event_types),
            filter=fields.filter_text(new.filter),
            state=State.ENABLED,
            state_reason="",
            state_since_us=now,
            secrets=(seal_secret(key, self._vault, store_id, webhook_id, now),),
            headers=seal_headers(check_headers(new.headers), self._vault, store_id, webhook_id),
            timeout_s=fields.timeout_s(new.timeout_s),
            schedule=fields.schedule(new.schedule),
            created_at_us=now,
            updated_at_us=now,
            version=1,
            write_id=_write_id(),
            client_certificate=self._sealed(new.client_certificate, store_id, webhook_id),
            template=fields.template(new.template),
        )
        _check_filter(webhook)
        _check_template(webhook)
        _check_presentable(webhook)
        self._log.catch_up()
        self._check_limits(webhook, self._others(webhook))
        self._log.write(webhook)
        webhook = self._registry.get(webhook_id) or webhook  # as all readers have it: by the brokers' stamp
        self._recheck_limits(webhook)
        return webhook, show_secret(key)

    def get(self, webhook_id: str) -> Webhook:
        """Return a webhook as it is now; raise `NotFound`."""
        self._log.catch_up()
        return self._known(webhook_id)

    def update(self, webhook_id: str, changes: Mapping[str, Any], expected_version: int | None = None) -> Webhook:
        """Change the fields that are given, any but id, store, state and secret; raise `InputError`, `Conflict`, `Stale`.

        `expected_version` None takes whatever is there. `headers` are pairs and replace all that there were; a value of None keeps what
        the webhook has under that name. A `client_certificate` of None takes away the one that there is.
        """
        unknown = set(changes) - _CHANGEABLE
        if unknown:
            raise InputError(
                f"{min(unknown)} cannot be changed", field=min(unknown), remedy=f"These can: {', '.join(sorted(_CHANGEABLE))}."
            )

        def changed(old: Webhook) -> Webhook:
            new = replace(old, **self._checked(changes, old))
            if {"filter", "event_types"} & set(changes):
                _check_filter(new)
            if {"template", "event_types", "headers"} & set(changes):
                _check_template(new)
            _check_presentable(new)
            return new

        return self._change(webhook_id, changed, expected_version)

    def pause(self, webhook_id: str, expected_version: int | None = None) -> Webhook:
        """Hold its deliveries until it is resumed; raise `Conflict` when it is disabled, `Stale`. `expected_version` as in `update`."""
        return self._to(webhook_id, State.PAUSED, "", expected_version, only_from=(State.ENABLED, State.PAUSED))

    def resume(self, webhook_id: str, expected_version: int | None = None) -> Webhook:
        """Deliver again what a pause held; raise `Conflict` when it is disabled, `Stale`."""
        return self._to(webhook_id, State.ENABLED, "", expected_version, only_from=(State.ENABLED, State.PAUSED))

    def enable(self, webhook_id: str, expected_version: int | None = None) -> Webhook:
        """Take events again; raise `Stale`."""
        return self._to(webhook_id, State.ENABLED, "", expected_version)

    def disable(self, webhook_id: str, reason: str, expected_version: int | None = None) -> Webhook:
        """Take no events until it is enabled; `reason` is shown to the store; raise `Stale`."""
        return self._to(webhook_id, State.DISABLED, fields.reason(reason), expected_version)

    def rotate_secret(self, webhook_id: str, secret: str = "", overlap_s: float = OVERLAP_S, expected_version: int | None = None) -> str:
        """Replace the secret; return the new one, shown this once.

        The old one signs too for `overlap_s`, 0 to 24 h; 0 ends every old secret at once, as after a leak. Raises
        `LimitExceeded` when it was rotated so often that five secrets sign at a time, and `Stale`.
        """
        if not 0 <= overlap_s <= OVERLAP_S:
            raise InputError(f"overlap_s must be from 0 to {OVERLAP_S} seconds", field="overlap_s")
        key = parse_secret(secret or new_secret())
        now = self._now()

        def rotated(old: Webhook) -> Webhook:
            kept = _still_signing(old.secrets, now, now + round(overlap_s * 1_000_000))
            return replace(old, secrets=(seal_secret(key, self._vault, old.store_id, old.id, now), *kept))

        self._change(webhook_id, rotated, expected_version)
        return show_secret(key)

    def reseal(self, webhook_id: str) -> bool:
        """Encrypt its secrets and headers with the first key; return whether any was under an older one.

        When no webhook is left under it, an older key can go from HOOKLINE_SECRET_KEYS.
        """
        self._log.catch_up()
        old = self._known(webhook_id)
        if all(map(self._vault.is_current, sealed_blobs(old))):
            return False
        self._change(webhook_id, lambda webhook: resealed(webhook, self._vault), None)
        return True

    def delete(self, webhook_id: str) -> None:
        """Delete it for good: what is still waiting for it is cancelled; raise `NotFound`."""
        self._log.catch_up()
        self._known(webhook_id)
        self._log.bury(webhook_id)

    # ---- changing ----

    def _change(self, webhook_id: str, change: Callable[[Webhook], Webhook], expected_version: int | None) -> Webhook:
        for _ in range(_TRIES):
            self._log.catch_up()
            old = self._known(webhook_id)
            if expected_version is not None and old.version != expected_version:
                raise stale(webhook_id)
            new = replace(change(old), version=old.version + 1, updated_at_us=self._now(), write_id=_write_id())
            if _asks_for_more(old, new):
                self._check_limits(new, self._others(new))
            try:
                self._log.write(new)
            except Stale:
                if expected_version is not None:
                    raise
            else:
                return new
        raise stale(webhook_id)

    def _to(
        self, webhook_id: str, state: State, reason: str, expected_version: int | None, only_from: tuple[State, ...] = tuple(State)
    ) -> Webhook:
        def moved(old: Webhook) -> Webhook:
            if old.state not in only_from:
                raise Conflict(
                    f"{webhook_id} is {old.state}: {old.state_reason or 'no reason given'}", field="state", remedy="Enable it first."
                )
            return replace(old, state=state, state_reason=reason, state_since_us=self._now())

        self._log.catch_up()
        now = self._known(webhook_id)
        if now.state is state and expected_version in {None, now.version}:
            return now
        return self._change(webhook_id, moved, expected_version)

    # ---- checks ----

    def _known(self, webhook_id: str) -> Webhook:
        found = self._registry.get(webhook_id)
        if found is None:
            raise NotFound(f"There is no webhook {webhook_id[:80]!r}", field="id", remedy="See `hookline webhooks list`.")
        return found

    def _checked(self, changes: Mapping[str, Any], old: Webhook) -> dict[str, Any]:
        given, kept = _kept_headers(changes, old)
        found = checked(given, self._policy)
        if "headers" in found:
            fresh = seal_headers((pair for pair in found["headers"] if pair[0] not in kept), self._vault, old.store_id, old.id)
            sealed = {header.name: header for header in fresh} | kept
            found["headers"] = tuple(sealed[name] for name, _ in found["headers"])
        if "client_certificate" in found:
            found["client_certificate"] = self._sealed(found["client_certificate"], old.store_id, old.id)
        return found

    def _sealed(self, given: ClientCertificate | None, store_id: str, webhook_id: str) -> SealedCertificate | None:
        return seal_certificate(given, self._vault, store_id, webhook_id, self._clock.now()) if given is not None else None

    def _others(self, webhook: Webhook) -> list[Webhook]:
        return [other for other in self._registry.of_store(webhook.store_id) if other.id != webhook.id]

    def _check_limits(self, webhook: Webhook, others: list[Webhook]) -> None:
        if len(others) >= MOST_PER_STORE:
            raise LimitExceeded(
                f"The store already has {MOST_PER_STORE:,} webhooks", field="store_id", remedy="Delete those that are not needed."
            )
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
                raise LimitExceeded(f"The store already has {MOST_PER_TYPE} webhooks for {name}", field="event_types", remedy=remedy)

    def _recheck_limits(self, webhook: Webhook) -> None:
        earlier = [o for o in self._others(webhook) if (o.created_at_us, o.id) < (webhook.created_at_us, webhook.id)]
        try:
            self._check_limits(webhook, earlier)
        except InputError:
            self._log.bury(webhook.id)
            raise

    def _now(self) -> int:
        return to_us(self._clock.now())


def checked(changes: Mapping[str, Any], policy: UrlPolicy) -> dict[str, Any]:
    """Return the fields of a webhook as they are stored, headers and certificate not encrypted yet; raise `InputError`. Asks no broker."""
    checks: dict[str, Callable[[Any], Any]] = {
        "name": fields.name,
        "url": lambda text: check_url(text, policy),
        "event_types": fields.event_types,
        "filter": fields.filter_text,
        "headers": check_headers,
        "timeout_s": fields.timeout_s,
        "schedule": fields.schedule,
        "template": fields.template,
        "client_certificate": lambda given: given,  # checked where it is sealed: that needs the time
    }
    return {name: checks[name](value) for name, value in changes.items()}


def _kept_headers(changes: Mapping[str, Any], old: Webhook) -> tuple[dict[str, Any], dict[str, SealedHeader]]:
    """Return the changes without headers whose value is None, which keep theirs, and those headers as they are sealed."""
    known = {header.name: header for header in old.headers}
    kept: dict[str, SealedHeader] = {}
    given = []
    for name, value in changes.get("headers", ()):
        if value is None:
            lower = str(name).lower()
            if lower not in known:
                raise InputError(f"The webhook has no header {lower[:80]} to keep", field=f"headers.{lower[:80]}", remedy="Give its value.")
            kept[lower] = known[lower]
        given.append((name, "" if value is None else value))
    return {**changes, "headers": tuple(given)} if "headers" in changes else dict(changes), kept


def _check_filter(webhook: Webhook) -> None:
    if webhook.filter:
        check_examples(webhook.filter, webhook.event_types)


def _check_template(webhook: Webhook) -> None:
    if webhook.template:
        check_template(webhook.template, webhook.event_types)
    needed = {name for name, _ in headers_needed(webhook.template)}
    doubled = next((header.name for header in webhook.headers if header.name in needed), None)
    if doubled is not None:
        said = f"The template {webhook.template} sets the header {doubled}"
        raise InputError(said, field=f"headers.{doubled}", remedy="Take it out of the headers of your own.")


def _check_presentable(webhook: Webhook) -> None:
    """Refuse a certificate that would never be presented: plain HTTP, where an operator allows it, knows none."""
    if webhook.client_certificate is not None and not webhook.url.startswith("https://"):
        remedy = "Call the receiver by https, or take the certificate away."
        raise CertificateError("A client certificate needs an https URL", field="client_certificate", remedy=remedy)


def _asks_for_more(old: Webhook, new: Webhook) -> bool:
    """Tell whether a change could break a limit; any other must work, also where limits are broken already."""
    awake = old.state is State.DISABLED and new.state is not State.DISABLED
    return awake or new.url != old.url or not set(new.event_types) <= set(old.event_types)


def _still_signing(secrets: tuple[SealedSecret, ...], now_us: int, until_us: int) -> tuple[SealedSecret, ...]:
    """Return the old secrets that go on signing beside a new one, none of them longer than `until_us`."""
    if until_us == now_us:
        return ()
    ending = (replace(s, expires_at_us=min(s.expires_at_us or until_us, until_us)) for s in secrets)
    kept = tuple(s for s in ending if s.expires_at_us > now_us)
    if len(kept) >= MOST_SECRETS:
        raise LimitExceeded(
            f"{MOST_SECRETS} secrets sign already",
            field="secret",
            remedy="Wait until an old one ends, or end them now with an overlap of 0.",
        )
    return kept


def _write_id() -> str:
    return os.urandom(8).hex()
