"""Users and their changes: what is taken, links that work once, the last operator, two who write at the same moment, passwords."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.console.users import Role, User, checked_login, checked_name, checked_role, checked_store
from hookline.console.users_passwords import MOST, Passwords
from hookline.console.users_shown import shown, state_of
from hookline.console.users_writer import INVITATION_LIVES_S, LINK_LIVES_S, NewUser, UserWriter, check_same
from hookline.kernel.clock import to_us
from hookline.kernel.errors import BrokerUnavailable, Conflict, InputError, LimitExceeded, NotFound, Stale

pytestmark = pytest.mark.unit

GOOD = "seven wet otters sing 48"
OTHER = "eleven dry badgers hum 93"


@dataclass
class HandClock:
    """A clock that stands until it is moved."""

    at: datetime = datetime(2026, 11, 24, 14, 2, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time."""
        return self.at

    def monotonic(self) -> float:
        """Return seconds."""
        return self.at.timestamp()

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


@dataclass
class MemoryLog:
    """A users log in memory, with the real one's rule: a version counts only above the known one. `between` runs before each write."""

    known: dict[str, User] = field(default_factory=dict)
    readable: bool = True
    between: Callable[[], object] = lambda: None

    def catch_up(self) -> bool:
        """Tell whether the end can be read."""
        return self.readable

    def user(self, user_id: str) -> User | None:
        """Return a user by id."""
        return next((user for user in self.known.values() if user.id == user_id), None)

    def by_login(self, login: str) -> User | None:
        """Return a user by login."""
        return self.known.get(login)

    def users(self) -> list[User]:
        """Return everybody."""
        return list(self.known.values())

    def write(self, user: User) -> User:
        """Keep a user's next state."""
        between, self.between = self.between, lambda: None
        between()
        known = self.known.get(user.login)
        if known is not None and known.version >= user.version:
            raise Stale("somebody else was first")
        self.known[user.login] = user
        return user


class QuickPasswords(Passwords):
    """The real rules with a hash that takes no time."""

    def __init__(self) -> None:
        """Leave Argon2 out."""

    def hash(self, password: str, *about: str) -> str:
        """Check as the real one does."""
        from hookline.console.users_passwords import _check

        _check(password, about)
        return f"hash of {password}"

    def verify(self, kept: str, password: str) -> bool:
        """Compare."""
        return kept == f"hash of {password}"


@pytest.fixture
def clock() -> HandClock:
    """Return a clock to move by hand."""
    return HandClock()


@pytest.fixture
def log() -> MemoryLog:
    """Return an empty log."""
    return MemoryLog()


@pytest.fixture
def writer(log: MemoryLog, clock: HandClock) -> UserWriter:
    """Return a writer over it."""
    return UserWriter(log, QuickPasswords(), clock)


def test_an_invitation_opens_once(writer: UserWriter, clock: HandClock) -> None:
    """The link sets the password and is used up; the token is nowhere in what is kept."""
    user, token = writer.invite(NewUser(login=" Ada@Shop.example ", name=" Ada ", role="admin", store_id="shop"))
    assert (user.login, user.name, user.role, user.store_id, user.password) == ("ada@shop.example", "Ada", Role.ADMIN, "shop", "")
    assert token not in repr(user)
    assert writer.claimant(token).id == user.id
    claimed = writer.claim(token, GOOD)
    assert claimed.password == f"hash of {GOOD}"
    assert state_of(claimed, to_us(clock.now())) == "enabled"
    with pytest.raises(NotFound, match="used already"):
        writer.claim(token, OTHER)


@pytest.mark.parametrize("wrong", ["", "x", "é" * 43, "\ud800"])
def test_no_other_text_opens(writer: UserWriter, wrong: str) -> None:
    """Neither nothing, nor something else, nor what is no text; also not for users without any link."""
    writer.invite(NewUser(login="ada@shop.example", store_id="shop"))
    writer.create(NewUser(login="bob@shop.example", store_id="shop"), GOOD)
    with pytest.raises(NotFound):
        writer.claimant(wrong)


@pytest.mark.parametrize(("made_by", "lives_s"), [("invite", INVITATION_LIVES_S), ("reset", LINK_LIVES_S)])
def test_links_expire(writer: UserWriter, clock: HandClock, made_by: str, lives_s: float) -> None:
    """An invitation lives for three days, a reset for an hour, and not a second longer."""
    user, token = writer.invite(NewUser(login="ada@shop.example", store_id="shop"))
    if made_by == "reset":
        _, token = writer.reset(user.id)
    clock.pass_s(lives_s - 1)
    assert writer.claimant(token).id == user.id
    clock.pass_s(1)
    assert state_of(writer.disable(user.id), 0) == "disabled"
    assert state_of(writer.enable(user.id), to_us(clock.now())) == "no-password"
    with pytest.raises(NotFound, match="too old"):
        writer.claim(token, GOOD)


def test_an_expired_link_leaves_nobody_in(writer: UserWriter, clock: HandClock) -> None:
    """The claim looks at the time again: a page that was open for too long sets nothing."""
    _, token = writer.invite(NewUser(login="ada@shop.example", store_id="shop"))
    clock.pass_s(INVITATION_LIVES_S)
    with pytest.raises(NotFound):
        writer.claim(token, GOOD)


def test_a_reset_voids_the_password_the_sessions_and_the_last_link(writer: UserWriter, clock: HandClock) -> None:
    """At once, not when the new link is used; the newest link is the only one."""
    user = writer.create(NewUser(login="ada@shop.example", store_id="shop"), GOOD)
    clock.pass_s(10)
    first, old = writer.reset(user.id)
    assert (first.password, first.sessions_after_us) == ("", to_us(clock.now()))
    _, new = writer.reset(user.id)
    with pytest.raises(NotFound):
        writer.claimant(old)
    assert writer.claim(new, OTHER).password == f"hash of {OTHER}"


def test_nobody_comes_in_while_disabled(writer: UserWriter) -> None:
    """Disabling takes the link away, and enabling brings neither that nor anything else back but the password."""
    user, token = writer.invite(NewUser(login="ada@shop.example", store_id="shop"))
    writer.disable(user.id)
    with pytest.raises(NotFound):
        writer.claim(token, GOOD)
    writer.enable(user.id)
    with pytest.raises(NotFound):
        writer.claim(token, GOOD)


def test_the_last_operator_stays(writer: UserWriter) -> None:
    """A disabled operator counts as none; admins do not count."""
    first = writer.create_first(NewUser(login="olga@example.com"), GOOD)
    writer.create(NewUser(login="ada@shop.example", store_id="shop"), GOOD)
    with pytest.raises(Conflict, match="last operator"):
        writer.disable(first.id)
    second = writer.create(NewUser(login="otto@example.com", role="operator"), GOOD)
    writer.disable(first.id)
    with pytest.raises(Conflict, match="last operator"):
        writer.disable(second.id)
    writer.enable(first.id)
    writer.disable(second.id)


def test_the_first_operator_is_the_first(writer: UserWriter) -> None:
    """Whatever role and store are asked for: an operator; and nobody after them."""
    made = writer.create_first(NewUser(login="olga@example.com", role="viewer", store_id="shop"), GOOD)
    assert (made.role, made.store_id, made.caller.allows("operator")) == (Role.OPERATOR, "", True)
    with pytest.raises(Conflict, match="set up already"):
        writer.create_first(NewUser(login="eve@example.com"), GOOD)


def test_of_two_writers_the_first_wins(log: MemoryLog, writer: UserWriter, clock: HandClock) -> None:
    """Who took the same login, or started from the same version, in another process is told; nothing of the first is lost."""
    other = UserWriter(log, QuickPasswords(), clock)
    log.between = lambda: other.invite(NewUser(login="ada@shop.example", name="First", store_id="shop"))
    with pytest.raises(Stale):
        writer.invite(NewUser(login="ada@shop.example", name="Second", store_id="shop"))
    user = log.known["ada@shop.example"]
    assert user.name == "First"
    log.between = lambda: other.disable(user.id)
    with pytest.raises(Stale):
        writer.rename(user.id, "Ada")
    assert log.known["ada@shop.example"].disabled_at_us


def test_what_cannot_be_read_is_not_written(log: MemoryLog, writer: UserWriter) -> None:
    """Without the end of the topic nobody knows whether a login is taken or a link used."""
    log.readable = False
    for act in (lambda: writer.invite(NewUser(login="ada@shop.example", store_id="shop")), lambda: writer.claimant("x")):
        with pytest.raises(BrokerUnavailable):
            act()
    assert log.known == {}


def test_a_login_is_taken_once_and_users_are_bounded(log: MemoryLog, writer: UserWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is written."""
    user, _ = writer.invite(NewUser(login="ada@shop.example", store_id="shop"))
    with pytest.raises(Conflict, match="is taken"):
        writer.invite(NewUser(login="ADA@shop.example", store_id="other"))
    monkeypatch.setattr("hookline.console.users_writer.MOST", 2)
    log.known["bob"] = replace(user, login="bob", id="usr_2")
    with pytest.raises(LimitExceeded):
        writer.invite(NewUser(login="eve@shop.example", store_id="shop"))


@pytest.mark.parametrize(
    "login", ["", "a", "ada shop", "ad\na", "-ada", "ada-", "ada<b>", "å@shop.example", "a" * 65, "../x", "user:x", "a\x00b"]
)
def test_bad_logins(login: str) -> None:
    """A login is plain, short, and means the same everywhere."""
    with pytest.raises(InputError) as told:
        checked_login(login)
    assert told.value.field == "login"


@given(st.text(max_size=80))
def test_a_login_that_is_taken_is_a_key_of_the_topic(text: str) -> None:
    """What passes is lower case ASCII without a colon or space, and passes again unchanged."""
    try:
        found = checked_login(text)
    except InputError:
        return
    assert found.isascii()
    assert not set(found) & set(": /\\<>\"'\n")
    assert found == found.lower() == checked_login(found)


def test_names_roles_and_stores() -> None:
    """A name is printable and short; an operator has no store, the others have one."""
    assert checked_name("  <b>Ada</b> ") == "<b>Ada</b>"
    for name in ("a\nb", "a\u202eb", "x" * 81):
        with pytest.raises(InputError):
            checked_name(name)
    with pytest.raises(InputError, match="is no role"):
        checked_role("owner")
    for role, store_id in ((Role.OPERATOR, "shop"), (Role.ADMIN, ""), (Role.VIEWER, "a b")):
        with pytest.raises(InputError) as told:
            checked_store(role, store_id)
        assert told.value.field == "store"


def test_what_each_role_may() -> None:
    """An admin everything in the own store and nothing of operators; a viewer only looks."""
    scopes = ("hooks:read", "results:read", "hooks:write", "dlq:replay", "events:write", "admin", "operator")
    callers = {role: User(id="u", login="u", name="", role=role, store_id="shop", created_at_us=1).caller for role in Role}
    assert [scope for scope in scopes if callers[Role.VIEWER].allows(scope)] == ["hooks:read", "results:read"]
    assert [scope for scope in scopes if callers[Role.ADMIN].allows(scope)] == list(scopes[:-1])
    assert [scope for scope in scopes if callers[Role.OPERATOR].allows(scope)] == list(scopes)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "x" * 11,
        "aaaaaaaaaaaaaaaa",
        "passwordpassword",
        "hookline123456",
        "ada.brenner.ada",
        "a" * (MOST + 1),
        "seven wet\x00otters sing",
    ],
)
def test_passwords_that_are_easily_guessed_are_refused(password: str) -> None:
    """Too short, too long, of few characters, well known, or the login again."""
    with pytest.raises(InputError) as told:
        QuickPasswords().hash(password, "ada.brenner@shop.example", "Ada Brenner")
    assert told.value.field == "password"


def test_the_slow_hash() -> None:
    """Argon2id; right is right, everything else wrong, also for nobody and for what is no hash."""
    passwords = Passwords()
    kept = passwords.hash(GOOD)
    assert kept.startswith("$argon2id$")
    assert passwords.verify(kept, GOOD)
    assert [passwords.verify(kept, OTHER), passwords.verify("", "there is no such person"), passwords.verify("x", GOOD)] == [False] * 3


def test_a_password_is_typed_twice() -> None:
    """And the same."""
    check_same(GOOD, GOOD)
    with pytest.raises(InputError):
        check_same(GOOD, GOOD + " ")


def test_how_users_look_tells_no_secret(writer: UserWriter) -> None:
    """Neither hash nor link."""
    user = writer.create(NewUser(login="ada@shop.example", store_id="shop"), GOOD)
    reset, _ = writer.reset(user.id)
    for one in (user, reset):
        looks = shown(one, 0).model_dump_json()
        assert "hash of" not in looks
        assert "link" not in looks
