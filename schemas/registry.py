"""The schema registry: embedded on the compacted topic `_schemas`, or any Confluent-compatible one over REST.

The embedded registry keeps its records in the very format of Confluent Schema Registry and Karapace: start either on
the same cluster and it serves these schemas. Ids are given by `hookline schemas register` alone, never by producers.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from confluent_kafka import Message, Producer

from hookline.kernel import kafka
from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.config import load
from hookline.kernel.errors import HooklineError, RegistryUnavailable, SchemaError, UnknownSchema
from hookline.schemas.catalogue import SCHEMAS, canonical
from hookline.schemas.names import full_name
from hookline.schemas.topics import SCHEMAS as TOPIC

_LOOK_AGAIN_S: Final = 5.0
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Registered:
    """One version of a subject."""

    id: int
    subject: str
    version: int
    schema: dict[str, Any]


class SchemaRegistry(Protocol):
    """Where schemas have ids; thread-safe between `start` and `stop`."""

    def start(self) -> None:
        """Connect and read what is there; raise `HooklineError`."""

    def stop(self) -> None:
        """Disconnect."""

    def id_of(self, subject: str) -> int:
        """Return the id of this build's schema of a subject; raise `SchemaError` when it is not registered."""

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema; raise `UnknownSchema` only after looking again, `RegistryUnavailable` when looking fails."""

    def subject_of(self, number: int) -> str:
        """Return the subject (full record name) of an id; raise as `schema_of` does."""

    def versions(self, subject: str) -> list[Registered]:
        """Return all versions of a subject, oldest first."""

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema unless it is there; return its id."""


def open_registry(environ: Mapping[str, str]) -> SchemaRegistry:
    """Return the registry, not started: REST when SCHEMA_REGISTRY_URL is set, else the embedded one."""
    url = environ.get("SCHEMA_REGISTRY_URL")
    return RestRegistry(url) if url else EmbeddedRegistry(load(kafka.KafkaConfig, environ))


def not_registered(subject: str) -> SchemaError:
    """Return the error for a schema of this build that the registry does not have."""
    return SchemaError(
        f"This build's schema of {subject} is not registered", remedy="Run `hookline schemas register` once for this version."
    )


class EmbeddedRegistry:
    """The registry that is a topic; every process reads it whole and follows it."""

    def __init__(self, config: kafka.KafkaConfig) -> None:
        self._config = config
        self._topic = CompactedTopic(config, TOPIC, self._apply)
        self._by_id: dict[int, Registered] = {}
        self._by_subject: dict[str, dict[int, Registered]] = {}
        self._looking = threading.Lock()
        self._client: Producer | None = None

    def start(self) -> None:
        """Read `_schemas` to its end and follow it."""
        self._topic.start()

    def stop(self) -> None:
        """Stop following."""
        self._topic.stop()

    def id_of(self, subject: str) -> int:
        """Return the id of this build's schema; look again once before saying it is not registered."""
        wanted = canonical(SCHEMAS[subject])
        for look in (self.versions, self._versions_again):
            for found in reversed(look(subject)):
                if canonical(found.schema) == wanted:
                    return found.id
        raise not_registered(subject)

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema by id."""
        return self._known(number).schema

    def subject_of(self, number: int) -> str:
        """Return a subject by id."""
        return full_name(self._known(number).schema)

    def versions(self, subject: str) -> list[Registered]:
        """Return all versions that are not deleted."""
        return [found for _, found in sorted(self._by_subject.get(subject, {}).items())]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Append a version; two registrars at once may not agree on an id, so run the command from one place."""
        self._look_again()
        wanted = canonical(schema)
        for found in self.versions(subject):
            if canonical(found.schema) == wanted:
                return found.id
        same = next((f.id for f in self._by_id.values() if canonical(f.schema) == wanted), 0)
        number = same or max(self._by_id, default=0) + 1
        version = max(self._by_subject.get(subject, {}), default=0) + 1
        key = {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}
        value = {"subject": subject, "version": version, "id": number, "schema": wanted, "deleted": False}
        # One producer for all: each new one waits for its id, half a second on a fresh broker.
        self._client = self._client or kafka.producer(self._config, linger_ms=0)
        offset = kafka.produce_sync(self._client, TOPIC, key=_json(key), value=_json(value))
        if not self._topic.wait_for(offset + 1, _TIMEOUT_S):
            raise RegistryUnavailable(f"{subject} was written but could not be read back", remedy="Run the command again.")
        return number

    def _versions_again(self, subject: str) -> list[Registered]:
        self._look_again()
        return self.versions(subject)

    def _known(self, number: int) -> Registered:
        found = self._by_id.get(number)
        if found is None:
            self._look_again()
            found = self._by_id.get(number)
        if found is None:
            raise UnknownSchema(f"Schema id {number} is not registered", remedy="A producer writes without `hookline schemas register`.")
        return found

    def _look_again(self) -> None:
        with self._looking:
            if not self._topic.catch_up(_LOOK_AGAIN_S):
                raise RegistryUnavailable("The schemas topic does not answer", remedy="Check the broker.")

    def _apply(self, message: Message) -> None:
        raw_key, raw_value = message.key(), message.value()
        key = json.loads(raw_key or b"{}")
        if key.get("keytype") != "SCHEMA":
            return
        subject, version = str(key["subject"]), int(key["version"])
        if raw_value is None:
            self._by_subject.get(subject, {}).pop(version, None)
            return
        value = json.loads(raw_value)
        found = Registered(int(value["id"]), subject, version, json.loads(value["schema"]))
        full_name(found.schema)
        self._by_id[found.id] = found
        versions = self._by_subject.setdefault(subject, {})
        if value.get("deleted"):
            versions.pop(version, None)
        else:
            versions[version] = found


class RestRegistry:
    """A Confluent-compatible registry; what was fetched once is kept, ids never change their meaning."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
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
        except _NotThere as error:
            raise not_registered(subject) from error
        return int(found["id"])

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema by id; an unknown id is asked for again at most every few seconds."""
        if number not in self._by_id:
            if time.monotonic() - self._missing.get(number, -_LOOK_AGAIN_S) < _LOOK_AGAIN_S:
                raise UnknownSchema(f"Schema id {number} is not registered")
            try:
                self._by_id[number] = json.loads(self._call("GET", f"/schemas/ids/{number}")["schema"])
            except _NotThere as error:
                self._missing[number] = time.monotonic()
                raise UnknownSchema(f"Schema id {number} is not registered") from error
        return self._by_id[number]

    def subject_of(self, number: int) -> str:
        """Return the full record name of an id's schema."""
        return full_name(self.schema_of(number))

    def versions(self, subject: str) -> list[Registered]:
        """Return all versions of a subject."""
        try:
            numbers = self._call("GET", f"/subjects/{_quoted(subject)}/versions")
        except _NotThere:
            return []
        found = [self._call("GET", f"/subjects/{_quoted(subject)}/versions/{number}") for number in numbers]
        return [Registered(int(f["id"]), subject, int(f["version"]), json.loads(f["schema"])) for f in found]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema; the registry itself refuses an incompatible one."""
        try:
            return int(self._call("POST", f"/subjects/{_quoted(subject)}/versions", {"schema": canonical(schema)})["id"])
        except _NotThere as error:
            raise SchemaError(f"The registry refuses {subject}: {error}") from error

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  # JSON
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(  # noqa: S310  # the operator's own URL
            self._url + path, data, {"Content-Type": "application/vnd.schemaregistry.v1+json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            detail = error.read(500).decode("utf-8", "replace")
            if error.code in {404, 409, 422}:
                raise _NotThere(detail) from error
            raise RegistryUnavailable(f"The schema registry answered {error.code}: {detail}") from error
        except (OSError, ValueError) as error:
            raise RegistryUnavailable(
                f"The schema registry at {self._url} does not answer: {error}", remedy="Check SCHEMA_REGISTRY_URL."
            ) from error


class _NotThere(HooklineError):
    """The registry knows no such thing, or refuses it."""


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _quoted(subject: str) -> str:
    return urllib.parse.quote(subject, safe="")
