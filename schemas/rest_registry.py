"""A Confluent-compatible schema registry over REST (Confluent, Karapace, Apicurio's compatible API)."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Final, TypeVar

from hookline.kernel.errors import HooklineError, RegistryUnavailable, SchemaError, UnknownSchema
from hookline.schemas.catalogue import SCHEMAS, canonical
from hookline.schemas.names import full_name
from hookline.schemas.registered import Registered, RegistryConfig, not_registered

T = TypeVar("T")
_LOOK_AGAIN_S: Final = 1.0
_TIMEOUT_S: Final = 10.0
_MOST_MISSING: Final = 10_000
_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_CHECK: Final = "Check SCHEMA_REGISTRY_URL and that the registry is well."


class RestRegistry:
    """What was fetched once is kept: ids never change their meaning. Thread-safe."""

    def __init__(self, config: RegistryConfig, timeout_s: float = _TIMEOUT_S) -> None:
        self._url = config.url
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": _MEDIA_TYPE, "Accept": f"{_MEDIA_TYPE}, application/json"}
        if config.credentials:
            self._headers["Authorization"] = "Basic " + base64.b64encode(config.credentials.encode()).decode()
        self._by_id: dict[int, dict[str, Any]] = {}
        self._missing: dict[int, float] = {}

    def start(self) -> None:
        """Ask whether the registry answers; raise `RegistryUnavailable`."""
        self._call("GET", "/subjects")

    def stop(self) -> None:
        """Nothing is held open."""

    def id_of(self, subject: str) -> int:
        """Look this build's schema up without registering it."""
        try:
            found = self._call("POST", f"/subjects/{_quoted(subject)}", {"schema": canonical(SCHEMAS[subject])})
        except _Refused as error:
            raise not_registered(subject) from error
        return self._read(lambda: int(found["id"]))

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema by id; an unknown id is asked for again at most every second."""
        known = self._by_id.get(number)
        if known is not None:
            return known
        if time.monotonic() - self._missing.get(number, -_LOOK_AGAIN_S) < _LOOK_AGAIN_S:
            raise _unknown(number)
        try:
            found = self._call("GET", f"/schemas/ids/{number}")
        except _Refused as error:
            self._miss(number)
            raise _unknown(number) from error
        schema = self._read(lambda: _schema(found))
        if schema is None:
            raise UnknownSchema(f"Schema id {number} is no Avro record")
        self._by_id[number] = schema
        return schema

    def subject_of(self, number: int) -> str:
        """Return the full record name of an id's schema."""
        return full_name(self.schema_of(number))

    def versions(self, subject: str) -> list[Registered]:
        """Return all versions of a subject."""
        try:
            numbers = self._call("GET", f"/subjects/{_quoted(subject)}/versions")
            found = [self._call("GET", f"/subjects/{_quoted(subject)}/versions/{int(number)}") for number in numbers]
        except _Refused:
            return []
        return self._read(lambda: [Registered(int(f["id"]), subject, int(f["version"]), _schema(f) or {}) for f in found])

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema; the registry itself refuses an incompatible one."""
        try:
            found = self._call("POST", f"/subjects/{_quoted(subject)}/versions", {"schema": canonical(schema)})
        except _Refused as error:
            raise SchemaError(f"The registry refuses {subject}: {error.message}") from error
        return self._read(lambda: int(found["id"]))

    def _miss(self, number: int) -> None:
        if len(self._missing) >= _MOST_MISSING:
            self._missing.clear()
        self._missing[number] = time.monotonic()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  # JSON
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)  # noqa: S310  # checked: http(s)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise _of_status(error) from error
        except (OSError, ValueError) as error:
            raise RegistryUnavailable(f"The schema registry at {self._url} does not answer: {error}", remedy=_CHECK) from error

    def _read(self, take: Callable[[], T]) -> T:
        """Return what an answer holds; an answer of another shape is the registry's fault, not the record's."""
        try:
            return take()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"The schema registry at {self._url} answers what no registry would: {type(error).__name__}: {error}"
            raise RegistryUnavailable(message, remedy=_CHECK) from error


class _Refused(HooklineError):
    """The registry knows no such thing, or will not take it."""


def _of_status(error: urllib.error.HTTPError) -> HooklineError:
    with error:
        detail = error.read(500).decode("utf-8", "replace")
    if error.code in {404, 409, 422}:
        return _Refused(detail)
    remedy = "Check SCHEMA_REGISTRY_CREDENTIALS." if error.code in {401, 403} else _CHECK
    return RegistryUnavailable(f"The schema registry answered {error.code}: {detail}", remedy=remedy)


def _schema(found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema that an answer holds, None when it is no Avro record; any other shape raises."""
    if found.get("schemaType", "AVRO") != "AVRO":
        return None
    schema = json.loads(found["schema"])
    return schema if isinstance(schema, dict) and schema.get("type") == "record" and "name" in schema else None


def _unknown(number: int) -> UnknownSchema:
    return UnknownSchema(f"Schema id {number} is not registered", remedy="A producer writes without `hookline schemas register`.")


def _quoted(subject: str) -> str:
    return urllib.parse.quote(subject, safe="")
