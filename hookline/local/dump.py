"""Topics as a file and back: what is on them now, record by record, for a copy outside the cluster.

A file is lines of JSON, gzipped: a head with the topic's name below its prefix and its partitions, then a line per record, each
partition in its order. Offsets are not kept, since no cluster lets them be chosen: what names places on Kafka (the log's way to
payloads, committed offsets) does not survive a restore, what names ids does.
"""

from __future__ import annotations

import base64
import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import KafkaError, Message, Producer

from hookline.kernel import kafka
from hookline.kernel.errors import BrokerError, Conflict, InputError, Undelivered
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import SCHEMAS, Topics

SUFFIX: Final = ".jsonl.gz"
_FORMAT: Final = 1
_FLUSH_S: Final = 120.0
_RECORDS_THERE: Final = "Restore into a new cluster, or under another HOOKLINE_TOPIC_PREFIX."
# It has no prefix. Schemas are known by their ids, so that those of two clusters do not go together.
_SCHEMAS_THERE: Final = (
    "Restore into a new cluster, before `hookline schemas register`. The cluster that was copied has its schemas still: to restore there, "
    f"under another HOOKLINE_TOPIC_PREFIX, move {SCHEMAS}{SUFFIX} out of the folder first."
)


def state_topics(topics: Topics) -> list[str]:
    """Return the topics that nothing else could make again, in the order in which they are restored: schemas first."""
    return [SCHEMAS, topics.webhooks, topics.api_keys, topics.users, topics.erasures, topics.audit, topics.jobs]


def flow_topics(topics: Topics) -> list[str]:
    """Return the topics whose records pass through: events, and deliveries that were given up."""
    return [*topics.all_events(), *topics.all_dead_letters()]


def dump(config: KafkaConfig, topic: str, folder: Path) -> int:
    """Write what a topic holds now into a file of a folder, for its owner alone; return how many records.

    Raises `BrokerError`, `OSError`.
    """
    short = _short(config, topic)
    client = kafka.admin(config)
    head = {"format": _FORMAT, "topic": short, "partitions": kafka.partitions_of(client, topic)}
    half = folder / f"{short}{SUFFIX}.part"
    half.unlink(missing_ok=True)  # one that broke off may have been readable to others
    handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as raw, gzip.open(raw, "wb") as out:
        out.write(orjson.dumps(head) + b"\n")
        count = sum(out.write(orjson.dumps(_row(message)) + b"\n") > 0 for message in kafka.scan(config, [topic]))
    half.replace(folder / f"{short}{SUFFIX}")  # a dump that broke off is not taken for a whole one
    return count


def restore(config: KafkaConfig, path: Path) -> tuple[str, int]:
    """Put a file's records on its topic, which must be there and empty; return the topic and how many.

    Raises `Conflict` for a topic that holds anything, `InputError` for a file that is none, `BrokerError`.
    """
    lines = _lines(path)
    head = next(lines, {})
    if head.get("format") != _FORMAT or not isinstance(head.get("topic"), str):
        raise InputError(f"{path.name} is no dump of a topic", remedy="Give a folder that `hookline topics dump` wrote.")
    topic = _long(config, head["topic"])
    _require_empty(config, topic, int(head["partitions"]))
    client = kafka.producer(config, message_max_bytes=4 * 1024 * 1024)
    failed: list[KafkaError] = []

    def done(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    count = sum(_put(client, topic, row, done) for row in lines)
    if client.flush(_FLUSH_S) or failed:
        why = failed[0].str() if failed else "not in time"
        raise Undelivered(f"{topic} could not be restored whole: {why}", remedy="Delete the topic, create it anew, restore again.")
    return topic, count


def _put(client: Producer, topic: str, row: dict[str, Any], done: Callable[[KafkaError | None, Message], None]) -> int:
    """Hand a record over, waiting for room; return 1."""
    headers: list[tuple[str, str | bytes | None]] = [(name, _bytes(value)) for name, value in row.get("headers", [])]
    fields = {"key": _bytes(row["key"]), "value": _bytes(row["value"]), "partition": row["partition"], "timestamp": row["at_ms"]}
    while True:
        try:
            client.produce(topic, headers=headers, on_delivery=done, **fields)
        except BufferError:
            client.poll(0.1)
        else:
            client.poll(0)
            return 1


def _require_empty(config: KafkaConfig, topic: str, partitions: int) -> None:
    consumer = kafka.plain_consumer(config)
    try:
        there = kafka.partitions_of(consumer, topic)
        if there < partitions:
            said = f"{topic} has {there} partitions, the dump {partitions}"
            raise BrokerError(said, remedy="Create the topics with as many, by `hookline topics create`.")
        if any(kafka.end_offset(consumer, topic, number) for number in range(there)):
            raise Conflict(f"{topic} is not empty", field="topic", remedy=_SCHEMAS_THERE if topic == SCHEMAS else _RECORDS_THERE)
    finally:
        consumer.close()


def _row(message: Message) -> dict[str, Any]:
    row: dict[str, Any] = {
        "partition": message.partition(),
        "at_ms": message.timestamp()[1],
        "key": _text(message.key()),
        "value": _text(message.value()),
    }
    headers = [[name, _text(value)] for name, value in kafka.headers_of(message).items()]
    return row | ({"headers": headers} if headers else {})


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                yield orjson.loads(line)
    except (OSError, EOFError, orjson.JSONDecodeError) as error:
        raise InputError(f"{path.name} cannot be read: {error}", remedy="Take another copy; nothing was changed by reading it.") from error


def _short(config: KafkaConfig, topic: str) -> str:
    return topic.removeprefix(f"{config.topic_prefix}.")


def _long(config: KafkaConfig, short: str) -> str:
    return short if short == SCHEMAS else f"{config.topic_prefix}.{short}"


def _text(value: object) -> str | None:
    return base64.b64encode(value if isinstance(value, bytes) else str(value).encode()).decode() if value is not None else None


def _bytes(text: str | None) -> bytes | None:
    return base64.b64decode(text) if text is not None else None
