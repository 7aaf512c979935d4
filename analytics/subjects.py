"""Finding the events that are about a person, by what stands at a path of their data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Message

from hookline.kernel import kafka
from hookline.kernel.errors import HooklineError, InputError, WireError
from hookline.schemas.events import Event
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

_ROOT: Final = "data"
_LEAST_VALUE: Final = 3
_MOST_PARTS: Final = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom it is about: events of a store in whose data `value` stands at `path`.

    A path is names with dots between; lists are looked through. One that begins with `data.` is the whole path, any other may
    begin anywhere: `customer.email` is found in `data.customer.email` and in `data.order.customer.email`.
    """

    store_id: str
    path: tuple[str, ...]
    value: str

    @property
    def anchored(self) -> bool:
        """Whether the path is the whole one."""
        return self.path[0] == _ROOT

    def of(self, event: Event) -> bool:
        """Tell whether an event is about this person."""
        if event.store_id != self.store_id:
            return False
        return _at(event.data, self.path[1:], self.value) if self.anchored else _anywhere(event.data, self.path, self.value)


def subject(store_id: str, path: str, value: str) -> Subject:
    """Return whom a path and a value mean; raise `InputError`."""
    parts = tuple(path.split("."))
    if not all(parts) or len(parts) > _MOST_PARTS or parts == (_ROOT,):
        raise InputError("The path must be names with dots between, such as customer.email", field="path")
    if len(value.strip()) < _LEAST_VALUE:
        raise InputError(f"The value must have at least {_LEAST_VALUE} characters: a shorter one is about too many people", field="value")
    return Subject(store_id, parts, value)


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that is about the person: where it lies, and which event it holds.

    `event_id` empty: it cannot be read as an event, and holds the value's bytes somewhere; of which store it is nobody knows.
    """

    topic: str
    event_id: str
    place: str


class Subjects:
    """Looks through all topics that hold events, as published, waiting for a retry, made again, dead, and what the sink could not read."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec, tiers: tuple[str, ...]) -> None:
        self._config = config
        self._codec = codec
        self.topics = [*topics.all_events(), *map(topics.retry, tiers), topics.replays, *topics.all_dead_letters()]
        self.topics.append(topics.attempts_rejected)

    def find(self, whom: Subject, topic: str) -> Iterator[Hit]:
        """Yield what a topic holds now of a person; raise `BrokerError`.

        Records that do not hold the value's bytes are not decoded, so that looking costs little more than reading.
        """
        needle = whom.value.encode()
        for message in kafka.scan(self._config, [topic]):
            value = message.value()
            if isinstance(value, bytes) and needle in value:
                yield from self._hit(whom, topic, message, value)

    def _hit(self, whom: Subject, topic: str, message: Message, value: bytes) -> Iterator[Hit]:
        place = f"{topic}:{message.partition()}:{message.offset()}"
        try:
            event = self._codec.decode(value)
        except WireError:
            yield Hit(topic, "", place)
            return
        except HooklineError as error:
            raise WireError(f"{place} cannot be read now: {error.message}", remedy="Without it the search would miss some.") from error
        if whom.of(event):
            yield Hit(topic, event.id, place)


def _anywhere(data: Any, path: tuple[str, ...], value: str) -> bool:  # noqa: ANN401  # JSON
    """Tell whether a path that begins here or anywhere below leads to the value. Data are as deep as their schema, not deeper."""
    if _at(data, path, value):
        return True
    below = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return any(_anywhere(part, path, value) for part in below)


def _at(data: Any, path: tuple[str, ...], value: str) -> bool:  # noqa: ANN401  # JSON
    if isinstance(data, list):
        return any(_at(item, path, value) for item in data)
    if not path:
        return bool(data == value)
    return isinstance(data, dict) and path[0] in data and _at(data[path[0]], path[1:], value)
