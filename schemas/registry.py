"""The schema registry: embedded on the compacted topic `_schemas`, or any Confluent-compatible one over REST.

The embedded registry keeps its records in the very format of Confluent Schema Registry and Karapace: start either on
the same cluster and it serves these schemas, and what it registers is read here. Ids are given by `hookline schemas
register` alone, never by producers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from confluent_kafka import Message

from hookline.kernel import kafka
from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.config import load
from hookline.kernel.errors import RegistryUnavailable, SchemaError, UnknownSchema
from hookline.kernel.writer import Writer
from hookline.schemas.catalogue import SCHEMAS, canonical
from hookline.schemas.names import full_name
from hookline.schemas.registered import Registered, RegistryConfig, not_registered
from hookline.schemas.rest_registry import RestRegistry
from hookline.schemas.topics import SCHEMAS as TOPIC

_LOOK_AGAIN_S: Final = 5.0
_TIMEOUT_S: Final = 10.0
_TRIES: Final = 20


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
    config = load(RegistryConfig, environ)
    return RestRegistry(config) if config.url else EmbeddedRegistry(load(kafka.KafkaConfig, environ))


class EmbeddedRegistry:
    """Every process reads the topic whole and follows it; thread-safe but for `register`."""

    def __init__(self, config: kafka.KafkaConfig) -> None:
        self._config = config
        self._topic = CompactedTopic(config, TOPIC, self._apply)
        self._by_id: dict[int, Registered] = {}
        self._by_subject: dict[str, dict[int, Registered]] = {}
        self._newest: dict[str, int] = {}
        self._writer = Writer(config)

    def start(self) -> None:
        """Read `_schemas` to its end and follow it."""
        self._topic.start()

    def stop(self) -> None:
        """Stop following."""
        self._topic.stop()

    @property
    def faults(self) -> int:
        """How many records were passed over because they could not be read or contradict an earlier one."""
        return self._topic.faults

    def id_of(self, subject: str) -> int:
        """Return the id of this build's schema; look again once before saying it is not registered."""
        wanted = canonical(SCHEMAS[subject])
        found = self._find(subject, wanted)
        if found is None:
            self._look_again()
            found = self._find(subject, wanted)
        if found is None:
            raise not_registered(subject)
        return found.id

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema by id."""
        return self._known(number).schema

    def subject_of(self, number: int) -> str:
        """Return a subject by id."""
        return full_name(self._known(number).schema)

    def versions(self, subject: str) -> list[Registered]:
        """Return all versions that are not deleted."""
        return [found for _, found in sorted(dict(self._by_subject.get(subject, {})).items())]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Append a version; of two registrars at the same moment the first in the log keeps the id, the other takes the next."""
        wanted = canonical(schema)
        for _ in range(_TRIES):
            self._look_again()
            found = self._find(subject, wanted)
            if found is not None:
                return found.id
            same = next((f.id for f in list(self._by_id.values()) if canonical(f.schema) == wanted), 0)
            version = self._newest.get(subject, 0) + 1
            self._put(Registered(same or max(self._by_id, default=0) + 1, subject, version, schema))
            holder = self._by_subject.get(subject, {}).get(version)
            if holder is not None and canonical(holder.schema) != wanted:
                self._put(holder)  # compaction keeps the last record of a key: let that be the first writer's
        raise SchemaError(f"{subject} could not be registered: other registrars are at work", remedy="Run the command from one place.")

    def _put(self, entry: Registered) -> None:
        """Write a version and read it back."""
        key = {"keytype": "SCHEMA", "subject": entry.subject, "version": entry.version, "magic": 1}
        value = {
            "subject": entry.subject,
            "version": entry.version,
            "id": entry.id,
            "schema": canonical(entry.schema),
            "deleted": False,
        }
        offset = self._writer.write(TOPIC, key=_json(key), value=_json(value))
        if not self._topic.wait_for(offset + 1, _TIMEOUT_S):
            raise RegistryUnavailable(f"{entry.subject} was written but could not be read back", remedy="Run the command again.")

    def _find(self, subject: str, wanted: str) -> Registered | None:
        return next((found for found in reversed(self.versions(subject)) if canonical(found.schema) == wanted), None)

    def _known(self, number: int) -> Registered:
        found = self._by_id.get(number)
        if found is None:
            self._look_again()
            found = self._by_id.get(number)
        if found is None:
            raise UnknownSchema(f"Schema id {number} is not registered", remedy="A producer writes without `hookline schemas register`.")
        return found

    def _look_again(self) -> None:
        if not self._topic.catch_up(_LOOK_AGAIN_S):
            raise RegistryUnavailable("The schemas topic does not answer", remedy="Check the broker.")

    # ---- the following thread ----

    def _apply(self, message: Message) -> None:
        key = json.loads(message.key() or b"{}")
        value = json.loads(message.value() or b"null")
        match key.get("keytype"):
            case "SCHEMA":
                self._apply_version(str(key["subject"]), int(key["version"]), value)
            case "DELETE_SUBJECT" if value is not None:
                for version in [v for v in self._by_subject.get(str(key["subject"]), {}) if v <= int(value["version"])]:
                    self._drop(str(key["subject"]), version)
            case _:  # configuration, modes and no-operations are the registry's own
                return

    def _apply_version(self, subject: str, version: int, value: Any) -> None:  # noqa: ANN401  # JSON
        if value is None:
            self._drop(subject, version)
            return
        if value.get("schemaType", "AVRO") != "AVRO":
            return
        schema = json.loads(value["schema"])
        if not isinstance(schema, dict) or schema.get("type") != "record":
            return  # a bare "string" or a union: nothing that Hookline writes
        found = Registered(int(value["id"]), subject, version, schema)
        self._refuse_contradiction(found)
        self._by_id.setdefault(found.id, found)
        self._newest[subject] = max(version, self._newest.get(subject, 0))
        if value.get("deleted"):
            self._drop(subject, version)
        else:
            self._by_subject.setdefault(subject, {})[version] = found

    def _refuse_contradiction(self, found: Registered) -> None:
        """Raise `SchemaError` for a record that gives an id or a version another meaning: the first in the log counts."""
        same_id = self._by_id.get(found.id)
        if same_id is not None and canonical(same_id.schema) != canonical(found.schema):
            raise SchemaError(f"Schema id {found.id} is {same_id.subject}'s already, not {found.subject}'s")
        same_version = self._by_subject.get(found.subject, {}).get(found.version)
        if same_version is not None and same_version.id != found.id:
            raise SchemaError(f"Version {found.version} of {found.subject} has the id {same_version.id} already, not {found.id}")

    def _drop(self, subject: str, version: int) -> None:
        self._by_subject.get(subject, {}).pop(version, None)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
