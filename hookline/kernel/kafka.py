"""Kafka clients with the settings that neither lose nor double, and the seam where their errors become ours.

confluent-kafka 2.16 serialises every call on one `Consumer`: give each consumer one owning thread and
short polls (`fetch`), and let other threads post commands to that owner.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from hookline.kernel import lost
from hookline.kernel.config import integer, one_of, setting
from hookline.kernel.errors import BrokerError, BrokerUnavailable, QueueFull, Undelivered
from hookline.kernel.log import logger

_log = logger("kafka")
# librdkafka's own lines go where ours go, redacted like ours, instead of straight to standard error. Its FAIL lines are
# left out: `log_error` hears of the same failures. So is that a broker which has just started gives no producer ids yet.
_LIBRARY_LOG: Final = logging.getLogger("librdkafka")
_NORMAL: Final = re.compile(r"FAIL |GETPID .*: retrying$", re.DOTALL)
_LIBRARY_LOG.addFilter(lambda record: _NORMAL.match(record.getMessage()) is None)
_SAME_TROUBLE_S: Final = 10.0
_told: dict[int, float] = {}
Settings: TypeAlias = dict[str, Any]
Headers: TypeAlias = dict[str, bytes]

_UNAVAILABLE: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001  # librdkafka's local codes begin with an underscore
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)
_LEADER_MOVES: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
_LEADER_WAIT_S: Final = 0.05
_FATAL_REMEDY: Final = (
    "Brokers before 4.0, or without the protocol `consumer` (group.coordinator.rebalance.protocols), need HOOKLINE_GROUP_PROTOCOL=classic; "
    "for missing rights see deploy/kafka/acls.csv."
)
_METADATA_MS: Final = 10_000
"""How often a client asks for its topics' partitions: until then a consumer leaves an added one alone, and a producer that was
told once, by a cluster that stood still or has just started, that a topic does not exist refuses its records. Else 5 minutes."""
_CALLBACKS: Final = frozenset({"error_cb", "on_commit", "on_delivery", "stats_cb"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """How to reach the cluster and how its topics are called."""

    bootstrap_servers: str = setting(
        "KAFKA_BOOTSTRAP_SERVERS", None, "host:port[,host:port] of the Kafka brokers, or start `hookline up` in this folder"
    )
    security_protocol: str = setting(
        "KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT",
        "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
        one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    sasl_mechanism: str = setting("KAFKA_SASL_MECHANISM", "", "for example SCRAM-SHA-512; empty without SASL")
    sasl_username: str = setting("KAFKA_SASL_USERNAME", "", "SASL user")
    sasl_password: str = setting("KAFKA_SASL_PASSWORD", "", "SASL password", secret=True)
    ssl_ca_location: str = setting("KAFKA_SSL_CA_LOCATION", "", "file of the CA certificates; empty: the system's")
    ssl_certificate_location: str = setting(
        "KAFKA_SSL_CERTIFICATE_LOCATION", "", "file of this process's own certificate, for brokers that ask"
    )
    ssl_key_location: str = setting("KAFKA_SSL_KEY_LOCATION", "", "file of the key of that certificate")
    ssl_key_password: str = setting("KAFKA_SSL_KEY_PASSWORD", "", "password of that key", secret=True)
    topic_prefix: str = setting("HOOKLINE_TOPIC_PREFIX", "hookline", "first part of every topic's name")
    group_protocol: str = setting(
        "HOOKLINE_GROUP_PROTOCOL",
        "consumer",
        "of dispatchers' groups: consumer (KIP-848, brokers 4.0 and up) or classic (cooperative-sticky), for older brokers",
        one_of("classic", "consumer"),
    )
    session_timeout_ms: int = setting(
        "HOOKLINE_SESSION_TIMEOUT_MS", "10000", "a consumer silent this long loses its partitions", integer(1_000, 600_000)
    )

    def common(self) -> Settings:
        """Return the librdkafka settings that every client shares."""
        found: Settings = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "client.id": "hookline",
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 2_000,
            "topic.metadata.refresh.interval.ms": _METADATA_MS,
            "log.connection.close": False,
        }
        if self.security_protocol.startswith("SASL"):
            found |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password,
            }
        files = {
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password,
        }
        return found | {name: value for name, value in files.items() if value}


def producer(config: KafkaConfig, **extra: object) -> Producer:
    """Return an idempotent `acks=all` producer; `extra` takes librdkafka names with `_` for `.`."""
    return Producer(
        {
            **config.common(),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "zstd",
            "delivery.timeout.ms": 120_000,
            "error_cb": log_error,
            **_dotted(extra),
        },
        logger=_LIBRARY_LOG,
    )


def group_consumer(config: KafkaConfig, group: str, *, protocol: str = "classic", **extra: object) -> Consumer:
    """Return a consumer of group `<prefix>.<group>` that commits by itself alone; poll it, and by `consumer` wait for no commit."""
    member: Settings = {"group.protocol": protocol}
    if protocol == "classic":
        member |= {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": config.session_timeout_ms,
            "heartbeat.interval.ms": heartbeat_ms(config),
        }
    else:  # Kafka's other assignor gives whole topics away: of two dispatchers one would have all orders, the other all products
        member["group.remote.assignor"] = "range"
    return Consumer(
        {
            **_reading(config),
            **member,
            "group.id": f"{config.topic_prefix}.{group}",
            "enable.sparse.connections": False,  # else it may leave the brokers alone for good while it looks for its coordinator (`lost`)
            **_dotted({**lost.watched(), **extra}),
        },
        logger=_LIBRARY_LOG,
    )


def heartbeat_ms(config: KafkaConfig) -> int:
    """Return how often a member of a group tells Kafka that it lives: ten times a session."""
    return max(100, config.session_timeout_ms // 10)


def plain_consumer(config: KafkaConfig, **extra: object) -> Consumer:
    """Return a consumer for `assign`: it belongs to no group and never commits."""
    return Consumer({**_reading(config), "group.id": f"{config.topic_prefix}.unused", **_dotted(extra)}, logger=_LIBRARY_LOG)


def instead_of(failed: Consumer, config: KafkaConfig) -> Consumer:
    """Return a new plain consumer for one whose question failed: it may be one that can never work again (`lost`)."""
    made = plain_consumer(config)
    with suppress(KafkaException, RuntimeError):
        failed.close()
    return made


def admin(config: KafkaConfig) -> AdminClient:
    """Return an admin client."""
    return AdminClient(config.common(), logger=_LIBRARY_LOG)


def _reading(config: KafkaConfig) -> Settings:
    return {
        **config.common(),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "check.crcs": True,
        "queued.max.messages.kbytes": 16_384,
        "error_cb": log_error,
    }


def _dotted(extra: Mapping[str, object]) -> Settings:
    # The callbacks' names alone have underscores in the client.
    return {name if name in _CALLBACKS else name.replace("_", "."): value for name, value in extra.items()}


def log_error(error: KafkaError) -> None:
    """Log a client-level error; librdkafka recovers from all but fatal ones by itself, and says the same many times a second."""
    if error.fatal():
        _log.error("kafka.fatal", error=error.str())
    elif time.monotonic() - _told.get(error.code(), -_SAME_TROUBLE_S) >= _SAME_TROUBLE_S:
        _told[error.code()] = time.monotonic()
        _log.warning("kafka.trouble", error=error.str())


def translate(error: KafkaError) -> BrokerError:
    """Return our error for a Kafka error."""
    if error.code() in _UNAVAILABLE:
        return BrokerUnavailable(f"Kafka does not answer: {error.str()}", remedy="Check KAFKA_BOOTSTRAP_SERVERS and that the broker runs.")
    if error.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001
        return Undelivered("Kafka did not confirm the record in time", remedy="It may have arrived: publish again with the same id.")
    if error.code() == KafkaError._QUEUE_FULL:  # noqa: SLF001
        return QueueFull("The producer's queue is full", remedy="Publish more slowly, or wait and try again.")
    return BrokerError(f"Kafka refused: {error.str()}")


@contextmanager
def translated() -> Iterator[None]:
    """Turn a `KafkaException` or `BufferError` from the block into our errors."""
    try:
        yield
    except KafkaException as error:
        raise translate(error.args[0]) from error
    except BufferError as error:
        raise QueueFull("The producer's queue is full", remedy="Publish more slowly, or wait and try again.") from error


def fetch(consumer: Consumer, most: int, wait_s: float) -> list[Message]:
    """Return up to `most` messages, waiting at most `wait_s` for the first and not at all for the others.

    `consume(n, t)` alone waits its whole timeout unless n messages are there. Messages that are errors are
    logged and left out; raises `BrokerError` for one after which the client never reads again.
    """
    first = consumer.poll(wait_s)
    if first is None:
        return []
    found = [first, *consumer.consume(most - 1, 0)] if most > 1 else [first]
    return [message for message in found if not _is_error(message)]


def _is_error(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._FATAL:  # noqa: SLF001
        raise BrokerError(f"Kafka refuses this consumer for good: {error.str()}", remedy=_FATAL_REMEDY)
    if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
        log_error(error)
    return True


def headers_of(message: Message) -> Headers:
    """Return a message's headers; of a repeated name the last counts, a null value is empty."""
    pairs = cast("Sequence[tuple[str, bytes | str | None]]", message.headers() or ())
    return {name: value if isinstance(value, bytes) else (value or "").encode() for name, value in pairs}


def end_offset(consumer: Consumer, topic: str, partition: int = 0, timeout_s: float = 10.0) -> int:
    """Return the offset after the last record now; raise `BrokerUnavailable` when nobody answers."""
    return watermarks(consumer, topic, partition, timeout_s)[1]


def watermarks(consumer: Consumer, topic: str, partition: int, timeout_s: float = 10.0) -> tuple[int, int]:
    """Return (first offset, offset after the last record) now; raise `BrokerUnavailable` when nobody answers.

    A partition that has just been made or whose leader moves is asked again within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout_s, cached=False)
        except KafkaException as error:
            if error.args[0].code() not in _LEADER_MOVES or time.monotonic() > deadline:
                raise translate(error.args[0]) from error
            time.sleep(_LEADER_WAIT_S)
        else:
            return int(low), int(high)


def partitions_of(client: AdminClient | Consumer | Producer, topic: str, timeout_s: float = 10.0) -> int:
    """Return how many partitions a topic has, 0 when it does not exist; raise `BrokerUnavailable`."""
    with translated():
        found = client.list_topics(topic, timeout_s).topics.get(topic)
    return len(found.partitions) if found is not None and found.error is None else 0


def members_of(config: KafkaConfig, group: str, timeout_s: float = 3.0) -> frozenset[str]:
    """Return the ids of a group's members, those among them that have died and are not forgotten yet; raise `BrokerError`."""
    name = f"{config.topic_prefix}.{group}"
    client = admin(config)  # held: a client that is let go of answers nothing
    with translated():
        found = client.describe_consumer_groups([name], request_timeout=timeout_s)[name].result().members
    return frozenset(str(member.member_id) for member in found)


def produce_sync(
    client: Producer, topic: str, *, key: bytes, value: bytes | None, headers: Headers | None = None, timeout_s: float = 30.0
) -> int:
    """Produce one record, wait for every in-sync replica, return its offset; raise `BrokerError`.

    Waits in this thread; for the control plane (webhooks, keys, jobs), not for events.
    """
    outcome: list[tuple[KafkaError | None, int]] = []

    def done(error: KafkaError | None, message: Message) -> None:
        outcome.append((error, message.offset() or 0))

    with translated():
        client.produce(topic, key=key, value=value, headers=dict(headers or {}), on_delivery=done)
    deadline = time.monotonic() + timeout_s
    while not outcome and time.monotonic() < deadline:
        client.poll(0.05)
    if not outcome:
        raise Undelivered(
            f"Kafka did not confirm a record of {topic} in {timeout_s:g} s", remedy="Check the broker, then look whether it arrived."
        )
    error, offset = outcome[0]
    if error is not None:
        raise translate(error)
    return offset


def wait_for_broker(config: KafkaConfig, stopped: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    """Return once a broker answers; raise `BrokerUnavailable` naming the servers after `timeout_s`."""
    client = admin(config)
    deadline = time.monotonic() + timeout_s
    while not stopped():
        try:
            client.list_topics(timeout=2)
        except KafkaException as error:
            if time.monotonic() > deadline:
                message = f"No Kafka broker answers at {config.bootstrap_servers}"
                raise BrokerUnavailable(message, remedy="Start it, or correct KAFKA_BOOTSTRAP_SERVERS.") from error
        else:
            return


def scan(config: KafkaConfig, topics: list[str], *, timeout_s: float = 30.0) -> Iterator[Message]:
    """Yield every record that the topics hold now, partition by partition in order, then end; raise `BrokerUnavailable`.

    `timeout_s` is how long nothing may arrive while records are still owed.
    """
    consumer = plain_consumer(config, enable_partition_eof=False)
    try:
        ends = _ends(consumer, topics)
        consumer.assign([TopicPartition(topic, partition, low) for (topic, partition), (low, _) in ends.items()])
        owed = {key for key, (low, high) in ends.items() if high > low}
        heard = time.monotonic()
        while owed:
            messages = fetch(consumer, 1_000, 0.2)
            for message in messages:
                if (message.offset() or 0) < ends[message.topic() or "", message.partition() or 0][1]:
                    yield message
            heard = time.monotonic() if messages else heard
            if time.monotonic() - heard > timeout_s:
                raise BrokerUnavailable(
                    f"Kafka stopped answering while {', '.join(topics)} was read", remedy="Check the broker and try again."
                )
            owed = {p for p in owed if _position(consumer, p) < ends[p][1]}
    finally:
        consumer.close()


def read_at(config: KafkaConfig, topic: str, partition: int, offset: int, *, timeout_s: float = 10.0) -> Message | None:
    """Return the record at exactly this place, None when it is not there (any more); raise `BrokerUnavailable`."""
    consumer = plain_consumer(config, auto_offset_reset="error")
    try:
        low, high = watermarks(consumer, topic, partition, timeout_s)
        if not low <= offset < high:
            return None
        consumer.assign([TopicPartition(topic, partition, offset)])
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for message in fetch(consumer, 1, 0.2):
                return message if message.offset() == offset else None
        raise BrokerUnavailable(f"Kafka did not answer for {topic}[{partition}]@{offset}", remedy="Check the broker and try again.")
    finally:
        consumer.close()


def _ends(consumer: Consumer, topics: list[str]) -> dict[tuple[str, int], tuple[int, int]]:
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for topic in topics:
        for partition in range(partitions_of(consumer, topic)):
            found[topic, partition] = watermarks(consumer, topic, partition)
    return found


def _position(consumer: Consumer, partition: tuple[str, int]) -> int:
    return int(consumer.position([TopicPartition(*partition)])[0].offset)
