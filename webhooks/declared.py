"""A store's webhooks as a YAML file declares them: read, checked as if they were saved, nothing secret in the file itself."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import check_id
from hookline.webhooks.filters import check_examples
from hookline.webhooks.model import State
from hookline.webhooks.secrets import parse_secret
from hookline.webhooks.store import checked
from hookline.webhooks.templates import check_template
from hookline.webhooks.urls import UrlPolicy

_LARGEST: Final = 1 << 20
_ALL: Final = "all"
_EXAMPLE: Final = (
    "Headers and secrets are written as `authorization: {env: NAME}`: the value is read from that variable, so that the file holds none."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One webhook as it should be; `state` None leaves what there is, `secret` counts when it is made, `id` may be empty."""

    name: str
    id: str
    url: str
    event_types: tuple[str, ...]
    filter: str
    template: str
    headers: tuple[tuple[str, str], ...]
    timeout_s: float
    schedule: str
    state: State | None
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a file says: all webhooks of one store, each name once."""

    store_id: str
    webhooks: tuple[Declared, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _FromEnvironment(_Strict):
    env: str = Field(min_length=1)


class _Webhook(_Strict):
    name: str = Field(min_length=1)
    url: str
    event_types: Any
    id: str = ""
    filter: str = ""
    template: Any = ""
    headers: dict[str, _FromEnvironment] = Field(default_factory=dict)
    timeout_s: float = 10.0
    schedule: str = "default"
    state: Literal["enabled", "paused", "disabled"] | None = None
    secret: _FromEnvironment | None = None


class _File(_Strict):
    store: str
    webhooks: list[_Webhook]


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: YAML would keep the last and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(text: str, environ: Mapping[str, str], policy: UrlPolicy) -> Declaration:
    """Return what a file declares, values of headers and secrets taken from `environ`; raise `InputError` that names the place."""
    try:
        found = _File.model_validate(_tree(text))
    except ValidationError as error:
        raise _told(error) from error
    store_id, names = check_id(found.store, "store"), set[str]()
    made = []
    for number, one in enumerate(found.webhooks):
        place = f"webhooks[{number}] ({one.name[:80]})"
        try:
            made.append(_declared(one, environ, policy))
        except InputError as error:
            raise InputError(f"{place}: {error.message}", field=error.field, remedy=error.remedy) from error
        if made[-1].name in names:
            raise InputError(f"{place}: the name is given twice", field="name", remedy="Names tell webhooks of a file apart.")
        names.add(made[-1].name)
    return Declaration(store_id=store_id, webhooks=tuple(made))


def _tree(text: str) -> object:
    if len(text) > _LARGEST:
        raise InputError(f"The file is larger than {_LARGEST:,} characters", field="file")
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # made of the safe loader
    except yaml.YAMLError as error:
        raise InputError(f"The file is no YAML: {' '.join(str(error).split())}", field="file") from error


def _told(error: ValidationError) -> InputError:
    first = error.errors()[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".") or "the file"
    said = f"{first['msg'][0].lower()}{first['msg'][1:]}"
    if first["type"] == "model_type":  # its own words name a class of this module
        said = f"a mapping such as `{'name: Warehouse' if first['loc'] else 'store: shop'}` must stand here"
    if {"headers", "secret"} & set(first["loc"]):
        said, remedy = "a value must come from the environment", _EXAMPLE
    else:
        remedy = f"A file has `store` and `webhooks`; a webhook has {', '.join(_Webhook.model_fields)}. See docs/webhooks.md."
    return InputError(f"{place}: {said}", field=str(first["loc"][0]) if first["loc"] else "", remedy=remedy)


def _declared(one: _Webhook, environ: Mapping[str, str], policy: UrlPolicy) -> Declared:
    types = tuple(EVENT_TYPES) if one.event_types == _ALL else one.event_types
    headers = tuple((name, _value(given, environ)) for name, given in one.headers.items())
    plain = {"name": one.name, "url": one.url, "event_types": types, "filter": one.filter, "timeout_s": one.timeout_s}
    fields = checked({**plain, "template": one.template, "schedule": one.schedule, "headers": headers}, policy)
    if not fields["name"]:
        raise InputError("the name is empty", field="name", remedy="Names tell webhooks of a file apart.")
    if fields["filter"]:
        check_examples(fields["filter"], fields["event_types"])
    if fields["template"]:
        check_template(fields["template"], fields["event_types"])
    secret = _value(one.secret, environ) if one.secret is not None else ""
    if secret:
        parse_secret(secret)
    return Declared(**fields, id=one.id, state=State(one.state) if one.state else None, secret=secret)


def _value(given: _FromEnvironment, environ: Mapping[str, str]) -> str:
    value = environ.get(given.env, "")
    if not value:
        raise InputError(f"the variable {given.env[:80]} is not set", field="env", remedy="Set it where this command runs.")
    return value
