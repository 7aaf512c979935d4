"""Webhooks as callers write and see them: never a secret but the one that was just made, never the value of a header."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from hookline.console.http.models import HEADER_PATTERN, VISIBLE, EventTypeName, Model, Time, time_of
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.certificates import MAX_CERTIFICATE, MAX_KEY, ClientCertificate
from hookline.webhooks.model import SealedCertificate, Webhook
from hookline.webhooks.presets import PRESETS
from hookline.webhooks.templates import MAX_BYTES

MASK: Final = "********"

Url = Annotated[
    str,
    Field(
        min_length=1, max_length=2_048, description="where to call; https, a public host name", examples=["https://shop.example.com/hooks"]
    ),
]
Name = Annotated[str, Field(max_length=128, pattern=VISIBLE, description="what it is for, for people")]
EventTypes = Annotated[
    list[EventTypeName], Field(min_length=1, max_length=len(EVENT_TYPES), description="the types of events that it gets")
]
FilterText = Annotated[str, Field(max_length=2_048, description="CEL over type, store_id and data; empty: every event of these types")]
TemplateGiven = Annotated[
    str | dict[str, Any],
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "maxLength": MAX_BYTES}, {"type": "object"}],
            "description": f"what is sent in place of the usual body: {', '.join(PRESETS)}, or JSON, as it is or as a text, whose texts "
            "hold CEL as ${data.order.number}; empty: the usual body",
            "examples": ["slack", {"text": "Order ${data.order.number}"}],
        }
    ),
]
HeaderName = Annotated[str, Field(pattern=HEADER_PATTERN)]
HeaderValue = Annotated[str, Field(max_length=4_096)]
Headers = Annotated[
    dict[HeaderName, HeaderValue],
    Field(max_length=64),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {"pattern": HEADER_PATTERN},
            "additionalProperties": {"type": "string", "maxLength": 4_096},
            "description": "headers to send along, such as a password of the receiver's",
        }
    ),
]
ChangedHeaders = Annotated[
    dict[HeaderName, HeaderValue | None],
    Field(max_length=64),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {"pattern": HEADER_PATTERN},
            "additionalProperties": {"type": ["string", "null"], "maxLength": 4_096},
            "description": "all headers to send along from now on; null keeps the value that the webhook has under that name",
        }
    ),
]
Timeout = Annotated[float, Field(ge=5, le=30, description="seconds that one call may take")]
Schedule = Annotated[
    Literal["default", "long"], Field(description="how failed calls are tried again: default 8 attempts in 27.6 h, long 16 in 75.1 h")
]
Secret = Annotated[
    str, Field(min_length=1, max_length=128, description="a secret of your own, whsec_ and base64 of 24 to 64 bytes; left out, one is made")
]
Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=VISIBLE, description="why; shown with the webhook")]
Overlap = Annotated[int, Field(ge=0, le=86_400, description="seconds that the old secret signs too; 0 after a leak")]


def unmasked(headers: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the headers; raise `ValueError` for a value that was read and not known, and would replace the real one."""
    if headers and MASK in headers.values():
        raise ValueError("a masked value cannot be written back: give the value; null in a change keeps it, and no headers at all keep all")
    return headers


class CertificateGiven(Model):
    """A client certificate for receivers that want mutual TLS; both empty: none, or the one that there is goes away."""

    certificate: Annotated[
        str, Field(max_length=MAX_CERTIFICATE, description="PEM: the certificate, then those of its chain, 4 at most in all")
    ] = ""
    private_key: Annotated[
        str,
        Field(
            max_length=MAX_KEY, description="PEM, not encrypted: RSA of 2,048 to 4,096 bits, P-256, P-384, P-521 or Ed25519; never shown"
        ),
    ] = ""

    def given(self) -> ClientCertificate | None:
        """Return it as the store of webhooks takes it, None for none."""
        return ClientCertificate(self.certificate, self.private_key) if self.certificate or self.private_key else None


class CertificateView(Model):
    """A client certificate as it may be shown."""

    subject: str = Field(description="whom it names")
    fingerprint_sha256: str = Field(description="of the certificate itself, in hexadecimal digits")
    not_after: Time | None = Field(description="when it ends; calls after that are made all the same, and receivers refuse them")


class WebhookCreate(Model):
    """A webhook to make."""

    url: Url
    event_types: EventTypes
    name: Name = ""
    filter: FilterText = ""
    template: TemplateGiven = ""
    headers: Headers = Field(default_factory=dict)
    timeout_s: Timeout = 10.0
    schedule: Schedule = "default"
    secret: Secret | None = None
    client_certificate: CertificateGiven | None = None

    _no_mask = field_validator("headers")(unmasked)


class WebhookPatch(Model):
    """What to change; what is left out or null stays. `event_types` and `headers` are replaced whole.

    An empty `client_certificate` (`{}`) takes away the one that there is.
    """

    url: Url | None = None
    event_types: EventTypes | None = None
    name: Name | None = None
    filter: FilterText | None = None
    template: TemplateGiven | None = None
    headers: ChangedHeaders | None = None
    timeout_s: Timeout | None = None
    schedule: Schedule | None = None
    client_certificate: CertificateGiven | None = None

    _no_mask = field_validator("headers")(unmasked)

    @model_validator(mode="after")
    def _something(self) -> WebhookPatch:
        if not self.given():
            raise ValueError("there is nothing to change")
        return self

    def given(self) -> dict[str, object]:
        """Return what is to be changed, as the store of webhooks takes it."""
        found = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        if self.headers is not None:
            found["headers"] = tuple(self.headers.items())
        if self.client_certificate is not None:
            found["client_certificate"] = self.client_certificate.given()
        return found


class DisableRequest(Model):
    """Why it is disabled."""

    reason: Reason = "disabled by the store"


class RotateRequest(Model):
    """How the secret is replaced."""

    secret: Secret | None = None
    overlap_s: Overlap = 86_400


class WebhookView(Model):
    """A webhook as it is."""

    id: str
    store_id: str
    name: str
    url: str
    event_types: list[EventTypeName]
    filter: str
    template: str = Field(description="a preset's name or JSON; empty: the usual body is sent")
    state: Literal["enabled", "paused", "disabled"] = Field(description="paused holds deliveries, disabled takes none")
    state_reason: str
    state_since: Time | None
    headers: dict[str, str] = Field(description="names, with masked values")
    timeout_s: float
    schedule: Literal["default", "long"]
    created_at: Time | None
    updated_at: Time | None
    old_secret_signs_until: Time | None = Field(description="null when only one secret signs")
    client_certificate: CertificateView | None = Field(description="what receivers that want mutual TLS are shown; null: nothing")
    version: int = Field(description="the ETag without its quotes")


class WebhookCreated(WebhookView):
    """A new webhook with its secret."""

    secret: str = Field(description="the signing secret; shown this once")


class SecretRotated(Model):
    """The new secret of a webhook."""

    id: str
    secret: str = Field(description="the new signing secret; shown this once")
    old_secret_signs_until: Time | None = Field(description="until then calls carry a signature of each")
    version: int


def view(webhook: Webhook) -> WebhookView:
    """Return a webhook as callers see it."""
    return WebhookView.model_validate(_shown(webhook))


def created(webhook: Webhook, secret: str) -> WebhookCreated:
    """Return a new webhook with its secret."""
    return WebhookCreated.model_validate({**_shown(webhook), "secret": secret})


def old_secret_until(webhook: Webhook) -> str | None:
    """Return until when a replaced secret signs too, None when none does."""
    return time_of(max((secret.expires_at_us for secret in webhook.secrets), default=0))


def _certificate(sealed: SealedCertificate | None) -> dict[str, object] | None:
    if sealed is None:
        return None
    return {"subject": sealed.subject, "fingerprint_sha256": sealed.fingerprint, "not_after": time_of(sealed.not_after_us)}


def _shown(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.id,
        "store_id": webhook.store_id,
        "name": webhook.name,
        "url": webhook.url,
        "event_types": list(webhook.event_types),
        "filter": webhook.filter,
        "template": webhook.template,
        "state": str(webhook.state),
        "state_reason": webhook.state_reason,
        "state_since": time_of(webhook.state_since_us),
        "headers": {header.name: MASK for header in webhook.headers},
        "timeout_s": webhook.timeout_s,
        "schedule": webhook.schedule,
        "created_at": time_of(webhook.created_at_us),
        "updated_at": time_of(webhook.updated_at_us),
        "old_secret_signs_until": old_secret_until(webhook),
        "client_certificate": _certificate(webhook.client_certificate),
        "version": webhook.version,
    }
