"""A schema registry that goes away, while records come whose schema nobody has looked up yet."""

from __future__ import annotations

import io
import json
import random
import struct
import sys
import time
from typing import Any, Final

import fastavro

from hookline.kernel.clock import SystemClock
from hookline.local.kafka_broker import free_port
from hookline.local.supervisor import ChildSpec
from hookline.schemas.catalogue import SCHEMAS, event_type
from hookline.schemas.events import Event, example_event
from hookline.schemas.registry import EmbeddedRegistry
from tests.chaos.cast import listens
from tests.chaos.faults.fault import Fault
from tests.chaos.history import Kind, Publish
from tests.chaos.load import STORE
from tests.chaos.world import World

_NAME: Final = "registry"
_TYPE: Final = "order.created"
_MADE: Final = 20
_FRAME: Final = struct.Struct(">bI")


class RegistryAway(Fault):
    """Records of a new schema are held, uncommitted, and no poison; those of known schemas go on; all arrive once it is back."""

    term_waits_for = frozenset({Kind.FREEZE})
    deaths_of = "dispatcher"
    name = "registry-away"
    what = "the schema registry hangs, is killed, comes back: events of a schema that was not looked up are held, the others go on"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Have the dispatchers use a registry of its own process, take it away, publish with a new schema, bring it back."""
        self._open(world)
        self._known = len(world.history.deaths)
        schema = _grown(numbers)
        number = self._register(world, schema)
        world.sleep(2.0)
        self._gone_at = time.time()
        world.freeze(_NAME)
        self._ids = [self._publish(world, schema, number) for _ in range(_MADE)]
        world.sleep(numbers.uniform(2.0, 3.0))
        world.kill(_NAME)
        world.sleep(numbers.uniform(4.0, 6.0))
        world.look()
        self._calls = [call.event_id for call in world.history.calls if call.at > self._gone_at]
        self._letters = [place for place in world.history.poison if place in self._places(world)]
        # One that is told to stop meanwhile cannot start without a registry: it says so, ends, and is started again.
        self.deaths = sum(1 for _, _, how in world.history.deaths[self._known :] if "schema registry" in how)
        world.start(_NAME)
        world.until_ready(_NAME)

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that nothing of the new schema was called or buried meanwhile, and that the rest went on."""
        early = len(set(self._calls) & set(self._ids))
        found = [f"{early} events were called though their schema could not be looked up"] if early else []
        found += [f"the record at {place} was buried though the registry was only away" for place in self._letters[:3]]
        return found if len(self._calls) > _MADE else [*found, f"only {len(self._calls)} calls were made while the registry was away"]

    def after(self, world: World) -> None:
        """Give the dispatchers the embedded registry again."""
        for name in world.dispatchers:
            world.term(name)
            world.configure(name, SCHEMA_REGISTRY_URL="")
            world.start(name)
        world.until_ready(*world.dispatchers)
        world.neighbours.end(_NAME)
        del world.neighbours.children[_NAME]

    def _open(self, world: World) -> None:
        port = free_port()
        spec = ChildSpec(
            name=_NAME,
            command=(sys.executable, "-m", "tests.chaos.schema_registry", str(port)),
            environ=world.environ,
            log=world.folder / f"{_NAME}.log",
            ready=lambda: listens(port),
            stop_s=2.0,
        )
        world.neighbours.start([spec])
        world.until_ready(_NAME)
        for name in world.dispatchers:
            world.term(name)
            world.configure(name, SCHEMA_REGISTRY_URL=f"http://127.0.0.1:{port}")
            world.start(name)
            world.until_ready(name)

    def _register(self, world: World, schema: dict[str, Any]) -> int:
        """Register a schema as `hookline schemas register` does; return its id."""
        registry = EmbeddedRegistry(world.config)
        registry.start()
        try:
            return registry.register(event_type(_TYPE).subject, schema)
        finally:
            registry.stop()

    def _publish(self, world: World, schema: dict[str, Any], number: int) -> str:
        event = example_event(_TYPE, STORE, clock=SystemClock())
        world.history.publishes[event.id] = Publish(event.id, STORE, event.type, "raw", time.time())
        world.produce_raw(world.topics.events(event_type(_TYPE).category), _encoded(event, schema, number), event.id.encode())
        return event.id

    def _places(self, world: World) -> set[tuple[str, int, int]]:
        return {copy.place for copy in world.history.copies if copy.event_id in set(self._ids)}


def _grown(numbers: random.Random) -> dict[str, Any]:
    """Return the schema of a later build: a field more, with a default."""
    schema: dict[str, Any] = json.loads(json.dumps(SCHEMAS[event_type(_TYPE).subject]))
    schema["fields"].append({"name": f"later_{numbers.getrandbits(24):06x}", "type": "string", "default": ""})
    return schema


def _encoded(event: Event, schema: dict[str, Any], number: int) -> bytes:
    out = io.BytesIO(_FRAME.pack(0, number))
    out.seek(_FRAME.size)
    datum = {"id": event.id, "store_id": event.store_id, "occurred_at": event.occurred_at, "data": event.data}
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), datum)
    return out.getvalue()
