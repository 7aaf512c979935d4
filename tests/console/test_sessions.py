"""Sessions and signing in: what ends a session, cookies that are none of ours, the pace of wrong passwords."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.console.http.problems import Refused
from hookline.console.sessions import MOST_PER_USER, Origin, Session, SessionLimits, Sessions
from hookline.console.signin import Delays, SignIn
from hookline.console.users import Role, User
from hookline.console.users_log import UsersLog
from hookline.console.users_passwords import Passwords
from hookline.kernel.clock import to_us
from hookline.kernel.errors import Unauthorized

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


# ---- the pace of signing in ----


def test_delays_double_up_to_a_minute_and_are_forgotten() -> None:
    """Nothing for the first four, then 2, 4, 8 … 60 s; a quarter of an hour without a failure forgets them; others never wait."""
    clock = HandClock()
    delays = Delays(4, clock)
    waits = []
    for _ in range(12):
        delays.failed("ada")
        waits.append(delays.wait_s("ada"))
        clock.pass_s(waits[-1])
        assert delays.wait_s("ada") == 0
    assert waits == [0, 0, 0, 0, 2, 4, 8, 16, 32, 60, 60, 60]
    assert delays.wait_s("bob") == 0
    clock.pass_s(900)
    delays.failed("ada")
    assert delays.wait_s("ada") == 0
    for _ in range(6):
        delays.failed("ada")
    delays.forgive("ada")
    assert delays.wait_s("ada") == 0


def test_delays_remember_a_bounded_number_of_names() -> None:
    """Whoever makes up names fills no memory, and pushes out only the oldest."""
    delays = Delays(0, HandClock())
    for number in range(10_001):
        delays.failed(f"name {number}")
    assert delays.wait_s("name 0") == 0
    assert delays.wait_s("name 10000") > 0


class QuickPasswords(Passwords):
    """Compares instead of hashing."""

    def __init__(self) -> None:
        """Count what is verified."""
        self.asked: list[str] = []

    def verify(self, kept: str, password: str) -> bool:
        """Compare."""
        self.asked.append(kept)
        return bool(kept) and kept == password


@pytest.fixture
def passwords() -> QuickPasswords:
    """Return passwords that count."""
    return QuickPasswords()


@pytest.fixture
def door(world: World, passwords: QuickPasswords) -> SignIn:
    """Return the sign-in of a world whose user has a password."""
    world.change(replace(world.user, password=GOOD))
    return SignIn(cast("UsersLog", world.log), passwords, world.clock)


def test_the_right_password(door: SignIn) -> None:
    """However the login is written."""
    assert door.check(" Ada@Shop.example ", GOOD, "192.0.2.7").id == "usr_1"


def test_every_reason_gets_the_same_words_and_work(door: SignIn, world: World, passwords: QuickPasswords) -> None:
    """A wrong password, no such login, a disabled user, one without a password: nobody learns which logins there are."""
    world.change(replace(world.user, id="usr_2", login="dis@shop.example", disabled_at_us=1))
    world.change(replace(world.user, id="usr_3", login="new@shop.example", password=""))
    told = set()
    for login, password in (("ada@shop.example", "x"), ("no@shop.example", GOOD), ("dis@shop.example", GOOD), ("new@shop.example", "")):
        with pytest.raises(Unauthorized) as error:
            door.check(login, password, "192.0.2.7")
        told.add((error.value.message, error.value.remedy))
    assert len(told) == 1
    assert len(passwords.asked) == 4


def wrong(door: SignIn, login: str, address: str, password: str = "wrong") -> type[Exception]:
    """Return how a password is refused."""
    with pytest.raises((Unauthorized, Refused)) as told:
        door.check(login, password, address)
    return told.type


def test_a_login_that_fails_is_to_wait_and_the_right_password_passes(door: SignIn, world: World) -> None:
    """Wrong ones are told to wait, from any address; the right one comes in meanwhile, and forgives everything."""
    assert [wrong(door, "ada@shop.example", f"192.0.2.{number}") for number in range(6)] == [Unauthorized] * 5 + [Refused]
    with pytest.raises(Refused, match="wait 4 s") as told:
        door.check("ADA@shop.example", "wrong", "198.51.100.1")
    assert told.value.headers == {"Retry-After": "4"}
    for _ in range(6):  # each renews the wait, up to a minute
        world.clock.pass_s(20)
        assert wrong(door, "ada@shop.example", "198.51.100.1") in {Unauthorized, Refused}
    assert door.check("ada@shop.example", GOOD, "198.51.100.2").id == "usr_1"
    assert wrong(door, "ada@shop.example", "198.51.100.2") is Unauthorized


def test_an_address_that_tries_many_logins_is_to_wait_and_the_right_password_passes(door: SignIn) -> None:
    """Twenty are free; behind a proxy everybody has that address, and whoever knows a password comes in all the same."""
    told = [wrong(door, f"user{number}@shop.example", "192.0.2.7") for number in range(22)]
    assert told == [Unauthorized] * 21 + [Refused]
    assert door.check("ada@shop.example", GOOD, "192.0.2.7").id == "usr_1"
    assert wrong(door, "other@shop.example", "192.0.2.7") is Refused
    assert wrong(door, "other@shop.example", "192.0.2.8") is Unauthorized


def test_an_ipv6_address_stands_for_its_network(door: SignIn) -> None:
    """Whoever has a /64 has as many free tries as whoever has one address; so has one that is written as IPv6."""
    for number in range(21):
        wrong(door, f"user{number}@shop.example", f"2001:db8::{number:x}")
    assert wrong(door, "other@shop.example", "2001:db8::ffff") is Refused
    assert wrong(door, "other@shop.example", "2001:db8:0:1::1") is Unauthorized
    for number in range(21):
        wrong(door, f"user{number}@shop.example", "192.0.2.7" if number % 2 else "::ffff:192.0.2.7")
    assert wrong(door, "another@shop.example", "192.0.2.7") is Refused


def test_guessing_has_a_pace(door: SignIn, world: World, passwords: QuickPasswords) -> None:
    """Of a login that is to wait sixty passwords a minute are looked at, the others refused in the same words; of an address 240."""
    for number in range(100):
        wrong(door, "ada@shop.example", f"192.0.2.{number}")
    assert len(passwords.asked) == 5 + 60
    said = set()
    for password in ("wrong", GOOD):
        with pytest.raises(Refused) as told:
            door.check("ada@shop.example", password, "198.51.100.1")
        said.add((told.value.message, told.value.remedy, str(told.value.headers)))
    assert len(said) == 1
    assert len(passwords.asked) == 5 + 60
    world.clock.pass_s(1)
    assert door.check("ada@shop.example", GOOD, "198.51.100.1").id == "usr_1"
    del passwords.asked[:]
    for number in range(400):
        wrong(door, f"user{number}@shop.example", "203.0.113.9")
    assert len(passwords.asked) == 21 + 240
