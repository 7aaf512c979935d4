"""The fields of a webhook's form: as they are typed, as the API takes them, and how two versions differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from hookline.console.api.webhook_models import MASK, WebhookView
from hookline.console.panel.forms import Form
from hookline.kernel.errors import InputError, TemplateError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.presets import PRESETS
from hookline.webhooks.templates import template_text

CERTIFICATE: Final = "client_certificate.certificate"
PRIVATE_KEY: Final = "client_certificate.private_key"
OWN: Final = "own"
"""The kind of a template that a store wrote itself; the others are the names of presets, and empty for the usual body."""
WITHOUT_CERTIFICATE: Final = "without_certificate"
LABELS: Final[Mapping[str, str]] = {
    "url": "URL",
    "name": "Name",
    "event_types": "Event types",
    "filter": "Filter",
    "template": "What is sent",
    "headers": "Headers",
    "timeout_s": "Seconds that one call may take",
    "schedule": "Retries",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A form as somebody filled it in: all texts; `headers` is one `Name: value` a line. `version` is empty for a new webhook.

    `certificate` and `private_key` are empty unless a client certificate is given or replaced; `without_certificate` takes it away. The key
    is never shown again, not even when the form comes back with a fault.
    """

    url: str = ""
    name: str = ""
    event_types: Sequence[str] = ()
    filter: str = ""
    template_kind: str = ""
    own_template: str = ""
    headers: str = ""
    timeout_s: str = "10"
    schedule: str = "default"
    certificate: str = ""
    private_key: str = field(default="", repr=False)
    without_certificate: bool = False
    version: str = ""

    @classmethod
    def of_form(cls, form: Form) -> Self:
        """Return what was sent; fields that a form or an address leaves out have their usual values."""
        return cls(
            url=form.text("url"),
            name=form.text("name"),
            event_types=form.texts("event_types"),
            filter=form.text("filter"),
            template_kind=form.text("template_kind"),
            own_template=form.text("template"),
            headers=form.text("headers"),
            timeout_s=form.text("timeout_s") or "10",
            schedule=form.text("schedule") or "default",
            certificate=form.text(CERTIFICATE),
            private_key=form.text(PRIVATE_KEY),
            without_certificate=form.has(WITHOUT_CERTIFICATE),
            version=form.text("version"),
        )

    @classmethod
    def of_view(cls, view: WebhookView) -> Self:
        """Return a webhook as its form shows it."""
        return cls(
            url=view.url,
            name=view.name,
            event_types=view.event_types,
            filter=view.filter,
            template_kind=view.template if view.template in PRESETS else OWN if view.template else "",
            own_template="" if view.template in PRESETS else view.template,
            headers="\n".join(f"{name}: {value}" for name, value in view.headers.items()),
            timeout_s=f"{view.timeout_s:g}",
            schedule=view.schedule,
            version=str(view.version),
        )

    @property
    def known_types(self) -> list[str]:
        """The ticked event types that there are, in the catalogue's order."""
        return [name for name in EVENT_TYPES if name in self.event_types]

    @property
    def template(self) -> str:
        """The template that is chosen; raise `InputError` where none was written."""
        if self.template_kind == OWN and not self.own_template:
            raise InputError("Write the template, or choose what is sent in its place", field="template")
        return self.own_template if self.template_kind == OWN else self.template_kind

    def body(self) -> dict[str, Any]:
        """Return the fields as the API takes them, a masked header as None; raise `InputError` for what cannot be read."""
        if not self.event_types:
            raise InputError("Tick at least one event type", field="event_types")
        return {
            "url": self.url,
            "name": self.name,
            "event_types": list(self.event_types),
            "filter": self.filter,
            "template": self.template,
            "headers": headers_of(self.headers),
            "timeout_s": seconds_of(self.timeout_s),
            "schedule": self.schedule,
            **self._certificate(),
        }

    def _certificate(self) -> dict[str, Any]:
        """Return the client certificate, where something was typed or ticked: what is left alone stays as it is."""
        if self.certificate or self.private_key:
            return {"client_certificate": {"certificate": self.certificate, "private_key": self.private_key}}
        return {"client_certificate": {}} if self.without_certificate else {}

    def new_body(self) -> dict[str, Any]:
        """Return the same for a webhook that is not there yet: it has no values to keep."""
        found = self.body()
        for name, value in found["headers"].items():
            if value is None:
                raise InputError(f"Give the value of the header {name[:80]}: {MASK} stands for one that is hidden", field="headers")
        return found


def headers_of(text: str) -> dict[str, str | None]:
    """Return headers from lines of `Name: value`; a masked value is None: it stays as it is. Raises `InputError` naming the line."""
    found: dict[str, str | None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not name:
            raise InputError(f"Line {number} of the headers is no header", field="headers", remedy="Write Name: value, one a line.")
        if name.lower() in {known.lower() for known in found}:
            raise InputError(f"The header {name[:80]} is given twice", field="headers")
        found[name] = None if value == MASK else value
    return found


def seconds_of(text: str) -> float:
    """Return the time limit as a number; raise `InputError`."""
    try:
        return float(text)
    except ValueError as error:
        raise InputError("The time of a call must be a number of seconds", field="timeout_s") from error


def changes(view: WebhookView, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ from a webhook as it is, in the API's form."""
    now: dict[str, Any] = view.model_dump(include=set(LABELS)) | {"headers": dict.fromkeys(view.headers)}
    return {name: value for name, value in body.items() if name not in now or _plain(name, value) != _plain(name, now[name])}


def differences(view: WebhookView, typed: Typed) -> list[tuple[str, str, str]]:
    """Return in which fields a form differs from a webhook as it is by now: label, there, typed."""
    there = Typed.of_view(view)
    found = []
    for name, label in LABELS.items():
        theirs, mine = _plain(name, getattr(there, name)), _plain(name, getattr(typed, name))
        if theirs != mine:
            found.append((label, _said(theirs), _said(mine)))
    return found


def _plain(name: str, value: object) -> object:
    """Return a value as it is compared: neither the order of types nor the letters of header names count."""
    if name == "event_types" and isinstance(value, list | tuple):
        return sorted(set(value))
    if name == "template" and isinstance(value, str):
        return _stored(value)
    if name == "headers" and isinstance(value, Mapping):
        return {str(header).lower(): text for header, text in value.items()}
    return value


def _stored(template: str) -> str:
    """Return a template as it would be stored; one that cannot be stays as it was typed."""
    try:
        return template_text(template)
    except TemplateError:
        return template


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
