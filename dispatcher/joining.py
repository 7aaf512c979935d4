"""When a dispatcher may join its groups: not before Kafka has forgotten the member that died in its place.

A group of the classic protocol that is joined answers nobody until the sessions of its dead are over. So nothing is lost by
waiting, but the others go on committing: their commits would stand behind their own requests to join again, on the same
connection, and be refused in the end.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from hookline.kernel import kafka
from hookline.kernel.errors import HooklineError
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger

_log = logger("joining")
_ASK_S: Final = 0.5
_SESSIONS: Final = 2
"""A broker that was started again gives the dead a new session."""
_BEAT: Final = 0.1
"""Part of a session: as far apart do the sessions end that one process has in its groups."""


class Joining:
    """A gate that opens once, by a thread from `start` until `stop`; `wait` may be called by any thread.

    `group` is asked for `former`, the id of the member that died; empty: nobody did.
    """

    def __init__(self, config: kafka.KafkaConfig, group: str, former: str) -> None:
        self._config = config
        self._group = group
        self._former = former
        self._session_s = config.session_timeout_ms / 1_000
        self._open = threading.Event()
        self._stop = Stop()
        self._thread = threading.Thread(target=self._run, name="joining", daemon=True)

    def start(self) -> None:
        """Begin to ask; without a former member, or under KIP-848, whose members commit beside each other's joining, open at once."""
        if self._former and self._config.group_protocol == "classic":
            self._thread.start()
        else:
            self._open.set()

    def stop(self) -> None:
        """End the thread; a gate that is not open yet stays shut: nobody joins who is about to leave."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; return whether the groups may be joined."""
        return self._open.wait(seconds)

    def complaint(self) -> str:
        """Return that the groups are not joined yet, or an empty text: a probe for `/readyz`."""
        return "" if self._open.is_set() else "Kafka has not forgotten the member that died here: the groups are joined then"

    def _run(self) -> None:
        try:
            self._wait()
        except Exception:  # noqa: BLE001  # what nobody foresaw must not keep a dispatcher out for good
            _log.exception("joining.failed")
        if not self._stop.is_set():
            self._open.set()

    def _wait(self) -> None:
        deadline = time.monotonic() + _SESSIONS * self._session_s
        if self._is_remembered():
            _log.info("dispatcher.joins_later", member=self._former, reason="it died here, and Kafka has not forgotten it yet")
            while self._is_remembered() and time.monotonic() < deadline and not self._stop.wait(_ASK_S):
                pass
            self._stop.wait(_BEAT * self._session_s)

    def _is_remembered(self) -> bool:
        """Tell whether the group has the former member, and others that would have to wait for it; True when nobody answers."""
        try:
            members = kafka.members_of(self._config, self._group)
        except HooklineError:
            return True
        return self._former in members and len(members) > 1
