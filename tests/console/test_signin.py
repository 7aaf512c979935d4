"""Signing in: what the right password passes, and the pace of wrong ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import pytest

from hookline.console.config import ConsoleConfig
from hookline.console.http.pools import Pools, Work
from hookline.console.http.problems import Refused
from hookline.console.panel import passwords as passwords_of
from hookline.console.panel.visit import Visit
from hookline.console.sessions import Presence, Session
from hookline.console.signin import Delays, SignIn
from hookline.console.users import User
from hookline.console.users_log import UsersLog
from hookline.console.users_passwords import Passwords
from hookline.kernel.config import load
from hookline.kernel.errors import Unauthorized
from tests.console.test_sessions import GOOD, HandClock, World

pytestmark = pytest.mark.unit


@pytest.fixture
def world() -> World:
    """Return a world of the test's own."""
    return World()


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


def check(door: SignIn, login: str, password: str, address: str) -> User:
    """Ask the pace, and have the password looked at."""
    return door.verified(door.admit(login, address), password)


def test_the_right_password(door: SignIn) -> None:
    """However the login is written."""
    assert check(door, " Ada@Shop.example ", GOOD, "192.0.2.7").id == "usr_1"


def test_every_reason_gets_the_same_words_and_work(door: SignIn, world: World, passwords: QuickPasswords) -> None:
    """A wrong password, no such login, a disabled user, one without a password: nobody learns which logins there are."""
    world.change(replace(world.user, id="usr_2", login="dis@shop.example", disabled_at_us=1))
    world.change(replace(world.user, id="usr_3", login="new@shop.example", password=""))
    told = set()
    for login, password in (("ada@shop.example", "x"), ("no@shop.example", GOOD), ("dis@shop.example", GOOD), ("new@shop.example", "")):
        with pytest.raises(Unauthorized) as error:
            check(door, login, password, "192.0.2.7")
        told.add((error.value.message, error.value.remedy))
    assert len(told) == 1
    assert len(passwords.asked) == 4


def wrong(door: SignIn, login: str, address: str, password: str = "wrong") -> type[Exception]:
    """Return how a password is refused."""
    with pytest.raises((Unauthorized, Refused)) as told:
        check(door, login, password, address)
    return told.type


def test_a_login_that_fails_is_to_wait_and_the_right_password_passes(door: SignIn, world: World) -> None:
    """Wrong ones are told to wait, from any address; the right one comes in meanwhile, and forgives everything."""
    assert [wrong(door, "ada@shop.example", f"192.0.2.{number}") for number in range(6)] == [Unauthorized] * 5 + [Refused]
    with pytest.raises(Refused, match="wait 4 s") as told:
        check(door, "ADA@shop.example", "wrong", "198.51.100.1")
    assert told.value.headers == {"Retry-After": "4"}
    for _ in range(6):  # each renews the wait, up to a minute
        world.clock.pass_s(20)
        assert wrong(door, "ada@shop.example", "198.51.100.1") in {Unauthorized, Refused}
    assert check(door, "ada@shop.example", GOOD, "198.51.100.2").id == "usr_1"
    assert wrong(door, "ada@shop.example", "198.51.100.2") is Unauthorized


def test_an_address_that_tries_many_logins_is_to_wait_and_the_right_password_passes(door: SignIn) -> None:
    """Twenty are free; behind a proxy everybody has that address, and whoever knows a password comes in all the same."""
    told = [wrong(door, f"user{number}@shop.example", "192.0.2.7") for number in range(22)]
    assert told == [Unauthorized] * 21 + [Refused]
    assert check(door, "ada@shop.example", GOOD, "192.0.2.7").id == "usr_1"
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
    """Of a login that is to wait sixty passwords a minute are looked at, the others refused in the same words; of an address 20."""
    for number in range(100):
        wrong(door, "ada@shop.example", f"192.0.2.{number}")
    assert len(passwords.asked) == 5 + 60
    said = set()
    for password in ("wrong", GOOD):
        with pytest.raises(Refused) as told:
            check(door, "ada@shop.example", password, "198.51.100.1")
        said.add((told.value.message, told.value.remedy, str(told.value.headers)))
    assert len(said) == 1
    assert len(passwords.asked) == 5 + 60
    world.clock.pass_s(1)
    assert check(door, "ada@shop.example", GOOD, "198.51.100.1").id == "usr_1"
    del passwords.asked[:]
    for number in range(200):
        wrong(door, f"user{number}@shop.example", "203.0.113.9")
    assert len(passwords.asked) == 21 + 20


def test_what_is_right_uses_up_nothing(door: SignIn, passwords: QuickPasswords) -> None:
    """An office of one address, where somebody guessed till it was to wait: the others come in, however many; guesses stay few."""
    for number in range(21):
        wrong(door, f"user{number}@shop.example", "203.0.113.9")
    for _ in range(50):
        assert check(door, "ada@shop.example", GOOD, "203.0.113.9").id == "usr_1"
    del passwords.asked[:]
    for number in range(50):
        wrong(door, f"user{number}@shop.example", "203.0.113.9")
    assert len(passwords.asked) == 20


def test_what_is_not_looked_at_uses_up_nothing(door: SignIn, passwords: QuickPasswords) -> None:
    """Whoever guesses at somebody's login from one address does not make them wait at another; nor does a login its address."""
    for _ in range(300):
        wrong(door, "ada@shop.example", "203.0.113.9")
    assert check(door, "ada@shop.example", GOOD, "198.51.100.1").id == "usr_1"
    for number in range(300):
        wrong(door, "bob@shop.example", f"192.0.2.{number % 100}")
    for _ in range(50):  # of this login none is looked at any more
        wrong(door, "bob@shop.example", "198.51.100.2")
    for number in range(21):
        wrong(door, f"user{number}@shop.example", "198.51.100.3")
    del passwords.asked[:]
    for _ in range(50):
        wrong(door, "bob@shop.example", "198.51.100.3")
    for number in range(50):
        wrong(door, f"user{number}@shop.example", "198.51.100.3")
    assert len(passwords.asked) == 20


def test_whoever_is_signed_in_has_a_pace_of_their_own(door: SignIn, passwords: QuickPasswords) -> None:
    """Guesses at the sign-in do not make them wait; whoever has their session guesses no faster than anybody, and disturbs no other."""

    def again(session_id: str, password: str) -> User:
        return door.verified(door.admit_signed_in("ada@shop.example", session_id), password)

    for number in range(300):
        wrong(door, "ada@shop.example", f"192.0.2.{number % 100}")
    assert again("s1", GOOD).id == "usr_1"
    del passwords.asked[:]
    for _ in range(100):
        with pytest.raises((Unauthorized, Refused)):
            again("s2", "wrong")
    assert len(passwords.asked) == 5 + 20
    with pytest.raises(Refused):
        again("s2", GOOD)
    assert again("s1", GOOD).id == "usr_1"


@dataclass
class Doorway:
    """The sign-in of a console with its pools, whose threads stand still until `go`."""

    door: SignIn
    pools: Pools
    go: threading.Event = field(default_factory=threading.Event)

    def visit(self, address: str) -> Visit:
        """Return a visit from an address."""
        services = SimpleNamespace(sign_in=self.door, parts=SimpleNamespace(pools=self.pools))
        return cast("Visit", SimpleNamespace(request=SimpleNamespace(remote=address), services=services))

    def full(self) -> list[asyncio.Task[bool]]:
        """Fill all places of the sign-in, by other addresses than the tests'."""
        return [asyncio.create_task(self.pools[Work.PASSWORDS].run(self.go.wait, f"198.51.100.{number}")) for number in range(33)]


@pytest.fixture
def doorway(door: SignIn) -> Iterator[Doorway]:
    """Yield it."""
    found = Doorway(door, Pools(load(ConsoleConfig, {})))
    yield found
    found.go.set()
    found.pools.close()


async def test_whoever_is_to_wait_takes_no_place(doorway: Doorway) -> None:
    """The pace is asked before a thread is waited for; and what finds no place uses up nothing of the pace."""
    visit = doorway.visit("203.0.113.9")
    for number in range(21 + 19):
        wrong(doorway.door, f"user{number}@shop.example", "203.0.113.9")
    held = asyncio.create_task(doorway.pools[Work.PASSWORDS].run(doorway.go.wait))
    looked_at = asyncio.create_task(passwords_of.of_login(visit, "ada@shop.example", GOOD))
    await asyncio.sleep(0)
    for _ in range(10):  # the 20th look is under way: these are refused at once, though the thread stands still
        with pytest.raises(Refused, match="Too many wrong passwords"):
            await asyncio.wait_for(passwords_of.of_login(visit, "ada@shop.example", "wrong"), 5)
    doorway.go.set()
    assert await held
    assert (await looked_at).id == "usr_1"
    doorway.go.clear()
    waiting = doorway.full()
    await asyncio.sleep(0)
    for _ in range(10):
        with pytest.raises(Refused, match="under way already"):
            await passwords_of.of_login(visit, "ada@shop.example", "wrong")
    doorway.go.set()
    await asyncio.gather(*waiting)
    assert (await passwords_of.of_login(visit, "ada@shop.example", GOOD)).id == "usr_1"


async def test_strangers_take_no_place_of_whoever_is_signed_in(doorway: Doorway, world: World) -> None:
    """However many addresses guess at once, the password that a grave act asks for is checked."""
    waiting = doorway.full()
    await asyncio.sleep(0)
    presence = Presence(
        Session(id="s1", user_id="usr_1", login=world.user.login, began_at_us=1, confirmed_at_us=1), replace(world.user, password=GOOD)
    )
    visit = doorway.visit("203.0.113.9")
    assert (await asyncio.wait_for(passwords_of.of_presence(visit, presence, GOOD), 5)).id == "usr_1"
    with pytest.raises(Unauthorized):
        await passwords_of.of_presence(visit, presence, "wrong")
    doorway.go.set()
    await asyncio.gather(*waiting)
