"""Who is called: receivers as processes, their webhooks, how they behave and what is demanded for each."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.local.kafka_broker import free_port
from hookline.local.supervisor import ChildSpec
from hookline.schemas.events import new_id
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks.model import SUBJECT, State
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import SecretsConfig, Vault, seal_secret
from hookline.webhooks.store import NewWebhook, Webhooks
from hookline.webhooks.urls import UrlPolicy
from tests.chaos.history import Call, History, Role
from tests.chaos.ledgers import Journal
from tests.chaos.load import LIBRARY_STORE, STORE, TYPES

ONE: Final = "receiver-1"
TWO: Final = "receiver-2"
_PROBE_S: Final = 0.2


class Cast:
    """All webhooks and receivers of a run. One thread."""

    def __init__(self, folder: Path, environ: Mapping[str, str], codec: Codec, history: History) -> None:
        config = load(KafkaConfig, environ)
        topics = Topics(config.topic_prefix)
        self._folder = folder
        self._environ = dict(environ)
        self._history = history
        self._registry = WebhookRegistry(config, topics, codec)
        self._registry.start()
        self._config, self._topic, self._codec = config, topics.webhooks, codec
        self._vault = Vault.from_config(load(SecretsConfig, environ))
        self._webhooks = Webhooks(config, topics, self._registry, self._vault, codec, load(UrlPolicy, environ), SystemClock())
        self._settings: dict[str, dict[str, Any]] = {}
        self._journals: list[Journal] = []
        for name in (ONE, TWO):
            journal = folder / f"{name}.journal"
            self._settings[name] = {"port": free_port(), "trap": free_port(), "journal": str(journal), "roles": {}}
            self._journals.append(Journal(journal))
            self._write(name)

    def stop(self) -> None:
        """Stop following the webhooks."""
        self._registry.stop()

    def engage_regulars(self) -> None:
        """Create the webhooks that get every event of the load: all of it must arrive, at the flaky and the slow too."""
        self.engage(Role(name="steady", store_id=STORE, types=TYPES, receiver=ONE))
        self.engage(Role(name="other", store_id=LIBRARY_STORE, types=TYPES, receiver=TWO))
        self.engage(Role(name="flaky", store_id=STORE, types=("product.changed",), receiver=TWO), "flaky")
        self.engage(Role(name="slow", store_id=LIBRARY_STORE, types=("order.created",), receiver=ONE), "slow")

    def engage(self, role: Role, manner: str = "ok", *, url: str = "", host: str = "127.0.0.1", timeout_s: float = 10.0) -> Role:
        """Create a role's webhook and tell its receiver, called at `host`; with a `url` of its own nobody is told."""
        where = url or f"http://{host}:{self._settings[role.receiver]['port']}/{role.name}"
        wanted = NewWebhook(store_id=role.store_id, name=role.name, url=where, event_types=role.types, timeout_s=timeout_s)
        webhook, secret = self._webhooks.create(wanted)
        role.webhook_id = webhook.id
        if not url:
            self._settings[role.receiver]["roles"][role.name] = {"manner": manner, "secret": secret}
            self._write(role.receiver)
        self._history.add_role(role)
        return role

    def engage_many(self, roles: Sequence[Role], url: str) -> None:
        """Create webhooks at a URL of each one's own below one where nobody is told, all at once: straight onto their topic.

        Raises `BrokerError`, or `TimeoutError` when Kafka does not confirm them.
        """
        model, records = self._webhooks.get(self.engage(roles[0], url=f"{url}0").webhook_id), dict[str, bytes | None]()
        for number, role in enumerate(roles[1:], start=1):
            role.webhook_id = new_id("wh")
            made = replace(
                model,
                id=role.webhook_id,
                store_id=role.store_id,
                name=role.name,
                url=f"{url}{number}",
                event_types=role.types,
                secrets=(seal_secret(os.urandom(32), self._vault, role.store_id, role.webhook_id, model.created_at_us),),
                write_id=os.urandom(8).hex(),
            )
            records[made.id] = self._codec.encode_record(SUBJECT, made.to_datum())
            self._history.add_role(role)
        self._write_state(records)

    def dismiss_many(self, roles: Sequence[Role]) -> None:
        """Delete webhooks, all at once; raise as `engage_many`."""
        for role in roles:
            role.closed = True
        self._write_state(dict.fromkeys((role.webhook_id for role in roles), None))

    def _write_state(self, records: Mapping[str, bytes | None]) -> None:
        client = kafka.producer(self._config)
        for webhook_id, value in records.items():
            client.produce(self._topic, key=webhook_id.encode(), value=value)
        if client.flush(30) or not self._registry.catch_up(30):
            raise TimeoutError(f"Kafka did not take {len(records)} webhooks")

    def behave(self, role: Role, manner: str) -> None:
        """Have a role behave otherwise from now on."""
        self._settings[role.receiver]["roles"][role.name]["manner"] = manner
        self._write(role.receiver)

    def dismiss(self, role: Role) -> None:
        """Delete a role's webhook: nothing more is owed to it."""
        role.closed = True
        self._webhooks.delete(role.webhook_id)

    def state(self, role: Role) -> State:
        """Return the state of a role's webhook."""
        return self._webhooks.get(role.webhook_id).state

    def renew(self) -> None:
        """Write every webhook that is still there again."""
        for role in list(self._history.roles.values()):
            if not role.closed:
                self._webhooks.update(role.webhook_id, {"name": f"{role.name} again"})

    def poll(self) -> list[Call]:
        """Return the calls that came since the last time."""
        return [call for journal in self._journals for call in journal.poll()]

    def specs(self) -> list[ChildSpec]:
        """Return the receivers' processes."""
        return [
            ChildSpec(
                name=name,
                command=(sys.executable, "-m", "tests.chaos.receivers", str(self._folder / f"{name}.json")),
                environ=self._environ,
                log=self._folder / f"{name}.log",
                ready=partial(listens, int(found["port"])),
                stop_s=2.0,
            )
            for name, found in self._settings.items()
        ]

    def _write(self, name: str) -> None:
        """Replace a receiver's settings in one step, for its eyes only."""
        path = self._folder / f"{name}.json"
        made = path.with_suffix(".new")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._settings[name], file)
        made.replace(path)


def listens(port: int) -> str:
    """Return an empty text once somebody listens at a port of this machine."""
    with socket.socket() as client:
        client.settimeout(_PROBE_S)
        return "" if client.connect_ex(("127.0.0.1", port)) == 0 else "it does not listen yet"
