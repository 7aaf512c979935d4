"""A producer for single records of the control plane: webhooks, keys, jobs, schemas, the audit."""

from __future__ import annotations

from confluent_kafka import Producer

from hookline.kernel import kafka
from hookline.kernel.errors import BrokerError, QueueFull


class Writer:
    """Writes one record at a time and waits for it; thread-safe. Connects when it is first needed, or told to.

    A client that failed is not used again, for it may be one that can never work again (`hookline.kernel.lost`). `extra` as
    for `kafka.producer`.
    """

    def __init__(self, config: kafka.KafkaConfig, **extra: object) -> None:
        self._config = config
        self._extra: dict[str, object] = {"linger_ms": 0, **extra}
        self._client: Producer | None = None

    def open(self) -> Producer:
        """Return the client, made now if need be: the first record of a new one waits half a second for its id."""
        client = self._client = self._client or kafka.producer(self._config, **self._extra)
        return client

    def write(self, topic: str, *, key: bytes, value: bytes | None, headers: kafka.Headers | None = None) -> int:
        """Return the record's offset once every in-sync replica has it; raise `BrokerError`."""
        client = self.open()
        try:
            return kafka.produce_sync(client, topic, key=key, value=value, headers=headers)
        except BrokerError as error:
            if not isinstance(error, QueueFull):
                self.drop(client)
            raise

    def drop(self, client: Producer) -> None:
        """Use a client that failed no more."""
        if self._client is client:
            self._client = None
