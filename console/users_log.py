"""Users and sessions on their compacted topic: the only place where they are kept, followed by every console."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import Any, Final

from confluent_kafka import Message

from hookline.console.sessions import SESSION_SUBJECT, Session
from hookline.console.users import SUBJECT, User
from hookline.kernel import kafka
from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.errors import BrokerUnavailable, Stale, WireError
from hookline.kernel.writer import Writer
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

USER_KEY: Final = "user:"
SESSION_KEY: Final = "session:"
_WAIT_S: Final = 10.0


class UsersLog:
    """Follows the topic, and writes to it: a call returns once this process knows what it wrote. Reads: any thread; writes: one.

    A user's record counts only when its version is greater than the known one, so that of two who started from the same version, or
    took the same login, the first in the log wins in every console alike; the other raises `Stale`.
    """

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec) -> None:
        self._name = topics.users
        self._codec = codec
        self._by_login: dict[str, User] = {}
        self._by_id: dict[str, User] = {}
        self._sessions: dict[str, Session] = {}
        self._topic = CompactedTopic(config, self._name, self._apply)
        self._writer = Writer(config)

    def start(self) -> None:
        """Read everything, then follow; raise `BrokerError`."""
        self._topic.start()

    def stop(self) -> None:
        """Stop following."""
        self._topic.stop()

    def catch_up(self) -> bool:
        """Apply all that was acknowledged before this call; False: that took too long."""
        return self._topic.catch_up()

    def user(self, user_id: str) -> User | None:
        """Return a user by id."""
        return self._by_id.get(user_id)

    def by_login(self, login: str) -> User | None:
        """Return a user by login."""
        return self._by_login.get(login)

    def users(self) -> list[User]:
        """Return everybody, in the order of their making."""
        return sorted(self._by_id.values(), key=lambda user: (user.created_at_us, user.id))

    def session(self, session_id: str) -> Session | None:
        """Return a session that was begun and not ended; whether it is still good is for `Sessions` to say."""
        return self._sessions.get(session_id)

    def sessions(self) -> list[Session]:
        """Return all of them, the oldest first."""
        return sorted(self._sessions.values(), key=lambda session: session.began_at_us)

    def write(self, user: User) -> User:
        """Keep a user's next state; raise `Stale` when somebody else was first, `BrokerError`."""
        signed = replace(user, write_id=os.urandom(9).hex())
        self._produce(USER_KEY + user.login, self._codec.encode_record(SUBJECT, asdict(signed)))
        if self._by_login.get(user.login) != signed:
            raise Stale(f"{user.login} was changed by somebody else at the same moment", field="login")
        return signed

    def begin(self, session: Session) -> None:
        """Keep a session; raise `BrokerError`."""
        self._produce(SESSION_KEY + session.id, self._codec.encode_record(SESSION_SUBJECT, asdict(session)))

    def end(self, session_id: str) -> None:
        """Forget a session; raise `BrokerError`."""
        self._produce(SESSION_KEY + session_id, None)

    def _produce(self, key: str, value: bytes | None) -> None:
        offset = self._writer.write(self._name, key=key.encode(), value=value)
        if not self._topic.wait_for(offset + 1, _WAIT_S):
            raise BrokerUnavailable("A user or session was written but could not be read back", remedy="Check the broker; look again.")

    # ---- the following thread ----

    def _apply(self, message: Message) -> None:
        key, value = (message.key() or b"").decode(), message.value()
        if key.startswith(SESSION_KEY):
            self._apply_session(key.removeprefix(SESSION_KEY), value)
        elif value is None:
            gone = self._by_login.pop(key.removeprefix(USER_KEY), None)
            if gone is not None:
                self._by_id.pop(gone.id, None)
        else:
            user = User.from_datum(self._decoded(SUBJECT, value))
            if USER_KEY + user.login != key:
                raise WireError(f"The record under {key[:64]!r} is not that user")
            known = self._by_login.get(user.login)
            if known is None or user.version > known.version:
                self._by_login[user.login] = self._by_id[user.id] = user

    def _apply_session(self, session_id: str, value: bytes | str | None) -> None:
        if value is None:
            self._sessions.pop(session_id, None)
            return
        session = Session(**self._decoded(SESSION_SUBJECT, value))
        if session.id != session_id:
            raise WireError("The record of a session is of another one")
        self._sessions[session_id] = session

    def _decoded(self, subject: str, value: bytes | str) -> dict[str, Any]:
        found, datum = self._codec.decode_record(value if isinstance(value, bytes) else value.encode())
        if found != subject:
            raise WireError(f"A record of the users topic is a {found}")
        return dict(datum)
