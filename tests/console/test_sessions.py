"""Sessions: what ends one, cookies that are none of ours, what forms bring back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.console.sessions import MOST_PER_USER, Origin, Session, SessionLimits, Sessions
from hookline.console.users import Role, User
from hookline.kernel.clock import to_us

pytestmark = pytest.mark.unit

START = datetime(2026, 11, 24, 14, 2, tzinfo=UTC)
SECRET = b"a secret of at least 32 characters"
HERE = Origin(address="192.0.2.7", browser="Firefox")
LIMITS = SessionLimits(idle_s=1_800, life_s=43_200, confirm_s=900)
GOOD = "seven wet otters sing 48"


@dataclass
class HandClock:
    """A clock that stands until it is moved."""

    at: datetime = START

    def now(self) -> datetime:
        """Return the time."""
        return self.at

    def monotonic(self) -> float:
        """Return seconds."""
        return (self.at - START).total_seconds()

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


@dataclass
class MemoryLog:
    """Users and sessions in memory."""

    people: dict[str, User] = field(default_factory=dict)
    known: dict[str, Session] = field(default_factory=dict)

    def user(self, user_id: str) -> User | None:
        """Return a user by id."""
        return self.people.get(user_id)

    def by_login(self, login: str) -> User | None:
        """Return a user by login."""
        return next((user for user in self.people.values() if user.login == login), None)

    def session(self, session_id: str) -> Session | None:
        """Return a session."""
        return self.known.get(session_id)

    def sessions(self) -> list[Session]:
        """Return all of them."""
        return sorted(self.known.values(), key=lambda session: session.began_at_us)

    def begin(self, session: Session) -> None:
        """Keep one."""
        self.known[session.id] = session

    def end(self, session_id: str) -> None:
        """Forget one."""
        del self.known[session_id]


@dataclass
class World:
    """A user, a clock, and the sessions over both."""

    clock: HandClock = field(default_factory=HandClock)
    log: MemoryLog = field(default_factory=MemoryLog)

    def __post_init__(self) -> None:
        """Make the user."""
        self.change(User(id="usr_1", login="ada@shop.example", name="Ada", role=Role.ADMIN, store_id="shop", created_at_us=1))
        self.sessions = Sessions(self.log, SECRET, LIMITS, self.clock)

    @property
    def user(self) -> User:
        """The user as known."""
        return self.log.people["usr_1"]

    def change(self, user: User) -> None:
        """Replace the user."""
        self.log.people[user.id] = user


@pytest.fixture
def world() -> World:
    """Return a world of the test's own."""
    return World()


def test_a_cookie_is_its_users(world: World) -> None:
    """Whose it is, from where; the cookie is not what is kept."""
    cookie = world.sessions.begin(world.user, HERE)
    found = world.sessions.recognise(cookie)
    assert found is not None
    assert (found.user.id, found.session.address, found.session.browser, found.cookie) == ("usr_1", "192.0.2.7", "Firefox", "")
    assert cookie.split(".")[0] not in repr(world.log.known)


def test_a_used_session_lives_and_an_unused_one_ends(world: World) -> None:
    """Every use beyond a minute renews the cookie; half an hour without any ends it, to the second."""
    cookie = world.sessions.begin(world.user, HERE)
    for _ in range(4):
        world.clock.pass_s(LIMITS.idle_s)
        found = world.sessions.recognise(cookie)
        assert found is not None
        assert found.cookie
        cookie = found.cookie
    world.clock.pass_s(59)
    found = world.sessions.recognise(cookie)
    assert found is not None
    assert found.cookie == ""
    world.clock.pass_s(LIMITS.idle_s - 58)
    assert world.sessions.recognise(cookie) is None


def test_no_session_lives_for_ever(world: World) -> None:
    """However busy."""
    cookie = world.sessions.begin(world.user, HERE)
    for _ in range(24):
        world.clock.pass_s(LIMITS.life_s / 24)
        found = world.sessions.recognise(cookie)
        assert found is not None
        cookie = found.cookie or cookie
    world.clock.pass_s(1)
    assert world.sessions.recognise(cookie) is None
    assert world.sessions.of_user("usr_1") == []


@pytest.mark.parametrize("how", ["disabled", "reset", "ended", "gone"])
def test_what_ends_a_session_at_once(world: World, how: str) -> None:
    """A user who is disabled, whose password changed, or who is gone; a session that was ended. Another's go on."""
    cookie = world.sessions.begin(world.user, HERE)
    other = replace(world.user, id="usr_2", login="bob@shop.example")
    world.change(other)
    others = world.sessions.begin(other, HERE)
    world.clock.pass_s(1)
    match how:
        case "disabled":
            world.change(replace(world.user, disabled_at_us=to_us(world.clock.now())))
        case "reset":
            world.change(replace(world.user, sessions_after_us=to_us(world.clock.now())))
        case "ended":
            [session] = world.sessions.open_of(world.user)
            world.sessions.end(session.id)
            world.sessions.end(session.id)
        case _:
            del world.log.people["usr_1"]
    assert world.sessions.recognise(cookie) is None
    assert how == "gone" or world.sessions.open_of(world.user) == []
    assert world.sessions.recognise(others) is not None


def test_the_session_after_a_new_password_is_good(world: World) -> None:
    """Even in the same microsecond."""
    world.change(replace(world.user, sessions_after_us=to_us(world.clock.now())))
    assert world.sessions.recognise(world.sessions.begin(world.user, HERE)) is not None


def test_typing_the_password_again_changes_the_cookie(world: World) -> None:
    """The old cookie is good no more, the session is no younger, and grave actions are asked for anew after a quarter of an hour."""
    old = world.sessions.begin(world.user, HERE)
    before = world.sessions.recognise(old)
    assert before is not None
    world.clock.pass_s(LIMITS.confirm_s)
    assert not world.sessions.fresh(before.session)
    new = world.sessions.confirm(before.session, world.user, HERE)
    after = world.sessions.recognise(new)
    assert after is not None
    assert world.sessions.recognise(old) is None
    assert after.session.began_at_us == before.session.began_at_us
    assert world.sessions.fresh(after.session)
    world.clock.pass_s(LIMITS.confirm_s - 1)
    assert world.sessions.fresh(after.session)
    world.clock.pass_s(1)
    assert not world.sessions.fresh(after.session)


def test_sessions_are_bounded_and_tidied(world: World) -> None:
    """The oldest of too many ends; what is too old is forgotten when somebody signs in."""
    cookies = []
    for _ in range(MOST_PER_USER + 3):
        cookies.append(world.sessions.begin(world.user, HERE))
        world.clock.pass_s(1)
    assert len(world.log.known) == MOST_PER_USER
    assert [world.sessions.recognise(cookie) is not None for cookie in cookies] == [False] * 3 + [True] * MOST_PER_USER
    world.clock.pass_s(LIMITS.life_s + 1)
    world.sessions.begin(world.user, HERE)
    assert len(world.log.known) == 1


def test_what_a_browser_says_of_itself_is_cut(world: World) -> None:
    """Whoever signs in chooses that text."""
    world.sessions.begin(world.user, Origin(address="x" * 999, browser="y" * 9_999))
    [session] = world.sessions.open_of(world.user)
    assert (len(session.address), len(session.browser)) == (120, 120)


@pytest.mark.parametrize("said", [b"\xff", b"Firefox \xc3", b"\xed\xa0\x80"])
def test_headers_that_are_no_utf8_are_taken(world: World, said: bytes) -> None:
    """The server hands such bytes on as halves of letters: of a browser's name they are shown as ?, a cookie of them fits its own form."""
    text = said.decode("utf-8", "surrogateescape")
    world.sessions.begin(world.user, Origin(address="192.0.2.7", browser=text))
    [session] = world.sessions.open_of(world.user)
    assert session.browser.encode().decode() == text.encode("utf-8", "replace").decode()
    assert world.sessions.token_fits(world.sessions.token(text), text)
    assert world.sessions.recognise(text) is None


@given(st.text(max_size=120))
def test_no_text_is_a_session(text: str) -> None:
    """Whatever it is."""
    world = World()
    world.sessions.begin(world.user, HERE)
    assert world.sessions.recognise(text) is None
    assert not world.sessions.issued(text)


@given(st.data())
def test_a_changed_cookie_is_none(data: st.DataObject) -> None:
    """One character replaced, left out or added, anywhere; a later time; a cookie of another installation."""
    world = World()
    cookie = world.sessions.begin(world.user, HERE)
    at = data.draw(st.integers(0, len(cookie) - 1))
    new = data.draw(st.sampled_from(["", *"aZ09._-é\x00 "]))
    changed = cookie[:at] + new + cookie[at + data.draw(st.integers(0, 1)) :]
    assert (world.sessions.recognise(changed) is not None) == (changed == cookie)


def test_a_cookie_of_another_installation_is_none(world: World) -> None:
    """The secret decides, and a time that was made later by hand is found out."""
    cookie = world.sessions.begin(world.user, HERE)
    other = Sessions(world.log, b"another secret of 32 characters and more", LIMITS, world.clock)
    assert other.recognise(cookie) is None
    secret, seen, tag = cookie.split(".")
    world.clock.pass_s(LIMITS.idle_s + 1)
    assert world.sessions.recognise(f"{secret}.{int(seen) + 3_600}.{tag}") is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_form_tokens_fit_what_they_are_bound_to(bound: str, other: str) -> None:
    """And nothing else."""
    sessions = World().sessions
    assert sessions.token_fits(sessions.token(bound), bound)
    assert sessions.token_fits(sessions.token(bound), other) == (bound == other)
    assert not sessions.token_fits(other, bound) or other == sessions.token(bound)
