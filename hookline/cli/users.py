"""`hookline users`: who may sign in to the admin panel; also where nobody can sign in any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hookline.cli.broker import reached
from hookline.cli.output import AsJson, say, show_fields, show_table
from hookline.kernel.clock import SystemClock, from_us, rfc3339, to_us
from hookline.kernel.config import environment, load
from hookline.kernel.errors import Conflict, NotFound

if TYPE_CHECKING:
    from hookline.console.audit import AuditLog
    from hookline.console.users import User
    from hookline.console.users_log import UsersLog
    from hookline.console.users_writer import UserWriter

app = typer.Typer(no_args_is_help=True, help="Users: who may sign in to the admin panel.")
_COLUMNS: Final = ("id", "login", "name", "role", "store_id", "state", "created_at")
_ACTOR: Final = "command-line"
_HAND_OVER: Final = "Hand the link over by a way that nobody else reads: it works once and cannot be shown again."
Who = Annotated[str, typer.Argument(metavar="LOGIN", help="The user's login, or id.")]


@app.command("list")
def list_users(
    store: Annotated[str, typer.Option("--store", help="Only this store's; empty: everybody.")] = "",
    as_json: AsJson = False,
) -> None:
    """List users, disabled ones too."""
    with open_people() as people:
        rows = [people.row(user) for user in people.users.users() if store in {"", user.store_id}]
    show_table(rows, _COLUMNS, as_json=as_json, empty="No users. Make the first operator with: hookline users first-link")


@app.command()
def invite(
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="What they will sign in with; an e-mail address is a good one.")],
    role: Annotated[str, typer.Option("--role", help="operator, admin or viewer.")] = "admin",
    store: Annotated[
        str, typer.Option("--store", help="The store of an admin or viewer; empty: the one of HOOKLINE_STORE, else demo.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="What they are called.")] = "",
    as_json: AsJson = False,
) -> None:
    """Let somebody in, and print the one-time link with which they choose a password."""
    from hookline.console.users_writer import NewUser

    of_store = store or ("" if role == "operator" else environment().get("HOOKLINE_STORE") or "demo")
    with open_people() as people:
        user, token = people.writer.invite(NewUser(login=login, name=name, role=role, store_id=of_store))
        people.note("user.invite", None, user)
        people.show_link(user, token, as_json=as_json)


@app.command()
def reset(who: Who, as_json: AsJson = False) -> None:
    """Void somebody's password, end their sessions, and print the one-time link with which they choose another."""
    with open_people() as people:
        before = people.found(who)
        if before.disabled_at_us:
            raise Conflict(f"{before.login} is disabled", remedy=f"hookline users enable {before.login}")
        after, token = people.writer.reset(before.id)
        people.note("user.reset", before, after)
        people.show_link(after, token, as_json=as_json)


@app.command()
def disable(who: Who, as_json: AsJson = False) -> None:
    """Let somebody in no more, and end their sessions; the last operator stays."""
    with open_people() as people:
        show_fields(people.changed(who, "user.disable", people.writer.disable), as_json=as_json)


@app.command()
def enable(who: Who, as_json: AsJson = False) -> None:
    """Let somebody in again."""
    with open_people() as people:
        show_fields(people.changed(who, "user.enable", people.writer.enable), as_json=as_json)


@app.command("first-link")
def first_link(as_json: AsJson = False) -> None:
    """Print the one-time link that makes the first operator; it is good until there is a user."""
    from hookline.console.panel.first_run import link
    from hookline.console.panel.services import first_run_token
    from hookline.producers.api_keys import ApiKeyConfig

    with open_people() as people:
        if people.users.users():
            raise Conflict(
                "Hookline is set up already", remedy="hookline users invite LOGIN --role operator, or: hookline users reset LOGIN"
            )
        url = link(people.base, first_run_token(load(ApiKeyConfig, environment()).pepper))
    show_fields({"link": url}, as_json=as_json)
    if not as_json:
        say("Open it once, in the browser of whoever is to be the operator.")


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The users over the environment's cluster; `base` is the console's address."""

    users: UsersLog
    writer: UserWriter
    audit: AuditLog
    base: str

    def found(self, who: str) -> User:
        """Return a user by login or id; raise `NotFound`."""
        user = self.users.by_login(who.strip().lower()) or self.users.user(who)
        if user is None:
            raise NotFound(f"There is no user {who[:64]!r}", field="login", remedy="`hookline users list` shows them.")
        return user

    def changed(self, who: str, action: str, change: Callable[[str], User]) -> dict[str, Any]:
        """Change a user, put that onto the audit, and return how they look."""
        before = self.found(who)
        after = change(before.id)
        self.note(action, before, after)
        return self.row(after)

    def note(self, action: str, before: User | None, after: User) -> None:
        """Put a change onto the audit."""
        from hookline.cli.trail import Trail
        from hookline.console.audit import digest_of
        from hookline.console.users_shown import shown

        now_us = _now_us()
        looked = digest_of(shown(before, now_us) if before is not None else None)
        Trail(self.audit).write(action, after.store_id, after.id, looked, digest_of(shown(after, now_us)))

    def row(self, user: User) -> dict[str, Any]:
        """Return a user as commands show them."""
        from hookline.console.users_shown import shown

        return shown(user, _now_us()).model_dump()

    def show_link(self, user: User, token: str, *, as_json: bool) -> None:
        """Print a user and their one-time link."""
        from hookline.console.panel.first_run import link

        until = rfc3339(from_us(user.link_expires_at_us))
        show_fields({**self.row(user), "link": link(self.base, token), "link_expires_at": until}, as_json=as_json)
        if not as_json:
            say(_HAND_OVER)


@contextmanager
def open_people() -> Iterator[People]:
    """Yield the users over the environment's cluster."""
    from hookline.console.audit import AuditLog
    from hookline.console.config import ConsoleConfig
    from hookline.console.panel.config import PanelConfig
    from hookline.console.panel.first_run import base_of
    from hookline.console.users_log import UsersLog
    from hookline.console.users_passwords import Passwords
    from hookline.console.users_writer import UserWriter
    from hookline.schemas.registry import open_registry
    from hookline.schemas.topics import Topics
    from hookline.schemas.wire import Codec

    environ = environment()
    config, panel, console = reached(environ), load(PanelConfig, environ), load(ConsoleConfig, environ)
    topics, registry = Topics(config.topic_prefix), open_registry(environ)
    registry.start()
    codec = Codec(registry)
    users = UsersLog(config, topics, codec)
    try:
        users.start()
        writer = UserWriter(users, Passwords(), SystemClock())
        yield People(users=users, writer=writer, audit=AuditLog(config, topics, codec), base=base_of(panel, console))
    finally:
        users.stop()
        registry.stop()


def _now_us() -> int:
    return to_us(SystemClock().now())
