"""A real Kafka that asks who is there: SCRAM over TLS for clients, Apache's own authorizer, one user per process."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public by its documentation
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization

from hookline.local.jars import Told
from hookline.local.kafka_broker import EmbeddedBroker, free_port

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
PASSWORD: Final = "password-of-the-tests"
MECHANISM: Final = "SCRAM-SHA-512"
_OPERATIONS: Final = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "Alter": AclOperation.ALTER,
}


@dataclass(frozen=True, slots=True)
class Right:
    """A line of acls.csv, with its prefix filled in."""

    principal: str
    resource: str
    pattern: str
    name: str
    operations: tuple[str, ...]

    def covers(self, topic: str) -> bool:
        """Tell whether it is about a topic."""
        return self.resource == "topic" and (topic.startswith(self.name) if self.pattern == "prefixed" else topic == self.name)

    def bindings(self) -> Iterator[AclBinding]:
        """Yield what the admin client is given for it."""
        kind = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}[self.resource]
        pattern = {"literal": ResourcePatternType.LITERAL, "prefixed": ResourcePatternType.PREFIXED}[self.pattern]
        for operation in self.operations:
            who = f"User:{self.principal}"
            yield AclBinding(kind, self.name, pattern, who, "*", _OPERATIONS[operation], AclPermissionType.ALLOW)


def rights(prefix: str) -> list[Right]:
    """Return the lines of deploy/kafka/acls.csv."""
    with (DEPLOY / "kafka" / "acls.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        Right(row["principal"], row["resource"], row["pattern"], row["name"].replace("{prefix}", prefix), tuple(row["operations"].split()))
        for row in rows
    ]


class GuardedBroker(EmbeddedBroker):
    """The embedded broker with a second listener, on which every client must say who it is; the first one is the administrator's."""

    def __init__(self, folder: Path, users: set[str]) -> None:
        super().__init__(folder)
        self._users = users
        self._authority = trustme.CA()
        self.port = free_port()
        self.ca = folder / "ca.pem"

    def prepare(self, told: Told = lambda _: None) -> list[str]:
        """Format the folder as ever, then put the guard into the configuration."""
        command = super().prepare(told)
        self._authority.cert_pem.write_to_path(str(self.ca))
        keys = self.ca.with_name("server.pem")
        keys.write_bytes(self._certificate())
        path = Path(command[-1])
        settings = dict(line.partition("=")[::2] for line in path.read_text().splitlines())
        settings |= self._guard(settings, keys)
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return command

    def _certificate(self) -> bytes:
        """Return a server's key and certificates in the one form that Java reads."""
        made = self._authority.issue_cert("127.0.0.1", "localhost")
        key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return key.private_bytes(*form) + b"".join(blob.bytes() for blob in made.cert_chain_pems)

    def _guard(self, settings: dict[str, str], keys: Path) -> dict[str, str]:
        return {
            "listeners": f"{settings['listeners']},CLIENTS://127.0.0.1:{self.port}",
            "advertised.listeners": f"{settings['advertised.listeners']},CLIENTS://127.0.0.1:{self.port}",
            "listener.security.protocol.map": f"{settings['listener.security.protocol.map']},CLIENTS:SASL_SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": MECHANISM,
            "listener.name.clients.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keys),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
        }

    def admit(self, given: list[Right]) -> None:
        """Make the users and apply rights, as the administrator."""
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096)
        users: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(name, credential, PASSWORD.encode()) for name in sorted(self._users)
        ]
        for made in client.alter_user_scram_credentials(users).values():
            made.result(30)
        for future in client.create_acls([binding for right in given for binding in right.bindings()]).values():
            future.result(30)

    def environ(self, principal: str) -> dict[str, str]:
        """Return the variables with which a process comes as a user."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": MECHANISM,
            "KAFKA_SASL_USERNAME": principal,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA_LOCATION": str(self.ca),
        }
