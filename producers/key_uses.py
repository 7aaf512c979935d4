"""Noting when API keys were last used: at most one record per key and hour, so that it costs nothing."""

from __future__ import annotations

import threading
from typing import Final

from hookline.kernel import kafka
from hookline.kernel.errors import BrokerError, HooklineError
from hookline.kernel.log import logger
from hookline.producers.api_keys import USE_KEY, USE_SUBJECT, ApiKeys
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

_log = logger("api_keys")
_EVERY_S: Final = 60.0
_FLUSH_S: Final = 5.0


class KeyUses:
    """Writes from a thread what `keys` has seen used; what cannot be written now is tried again a minute later."""

    def __init__(self, config: kafka.KafkaConfig, codec: Codec, keys: ApiKeys) -> None:
        self._config = config
        self._codec = codec
        self._keys = keys
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="key uses", daemon=True)

    def start(self) -> None:
        """Begin noting."""
        self._thread.start()

    def stop(self) -> None:
        """Note what is left and stop; stopping what was not started is fine."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * _FLUSH_S)

    def write(self) -> int:
        """Write the uses that no process has written, and return how many; raise `HooklineError`."""
        found = self._keys.unwritten_uses()
        if not found:
            return 0
        producer = kafka.producer(self._config)
        topic = Topics(self._config.topic_prefix).api_keys
        with kafka.translated():
            for key_id, hour in found.items():
                value = self._codec.encode_record(USE_SUBJECT, {"id": key_id, "used_at_us": hour})
                producer.produce(topic, key=USE_KEY + key_id.encode(), value=value)
            left = producer.flush(_FLUSH_S)
        if left:
            raise BrokerError(f"Kafka did not confirm {left} uses of API keys", remedy="They are tried again.")
        return len(found)

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            self._try()
        self._try()

    def _try(self) -> None:
        try:
            self.write()
        except HooklineError as error:
            _log.warning("api_keys.uses_not_written", error=error.message)
