"""One row per endpoint: the routes of the server, its OpenAPI document and the tests of access are all made of these rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hookline.console.http.etags import NO_VERSIONS, Versions
from hookline.console.http.models import Item, Model, Page, PageQuery, Query
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.producers.api_keys import SCOPES

if TYPE_CHECKING:
    from hookline.console.parts import Parts

PREFIX: Final = "/api/v1"
PUBLIC: Final = ""
"""The scope of routes that need no key."""
ANY_KEY: Final = "any"
"""The scope of routes that every live key may use."""
OPERATOR: Final = "operator"
"""The scope of routes that only the operator may use."""
KNOWN_SCOPES: Final = (PUBLIC, ANY_KEY, OPERATOR, *SCOPES)
MAX_BODY: Final = 65_536
ALL_STORES: Final = ""

M = TypeVar("M", bound=Model)
T = TypeVar("T")


class StoreUse(StrEnum):
    """Whether a route is about one store."""

    ONE = "one"
    """A key's own store; an operator must name one."""
    ONE_OR_ALL = "one or all"
    """A key's own store; an operator may name one, else it is about all."""
    NONE = "none"
    """About no store."""


class IfMatch(StrEnum):
    """Whether a route's requests may, or must, say in If-Match which version they were made from."""

    NONE = "none"
    MAY = "may"
    MUST = "must"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: `actor` is `key:<id>`, `operator` or nobody; `store_id` is empty for an operator, who belongs to none."""

    actor: str
    store_id: str = ALL_STORES
    scopes: frozenset[str] = frozenset()

    def allows(self, scope: str) -> bool:
        """Tell whether the caller may use routes of this scope; `admin` may do everything in its store."""
        if scope in {PUBLIC, *self.scopes} or OPERATOR in self.scopes:
            return True
        return bool(self.scopes) and scope != OPERATOR and (scope == ANY_KEY or "admin" in self.scopes)


NOBODY: Final = Caller(actor="nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked: what a handler gets.

    `store_id` is the store that it is about, empty for all or none; `ids` are the ids of the path; `if_match` the versions
    that the caller accepts; `address` where it comes from.
    """

    parts: Parts
    route: Route
    caller: Caller
    store_id: str
    ids: Mapping[str, str]
    query: Query
    body: Model | None = None
    raw: bytes = b""
    if_match: Versions = NO_VERSIONS
    idempotency_key: str = ""
    address: str = ""
    request_id: str = ""

    @property
    def id(self) -> str:
        """The `{id}` of the path."""
        return self.ids["id"]

    def asked(self, kind: type[M]) -> M:
        """Return the query, or the body, as its model, which is the route's own."""
        found = self.query if isinstance(self.query, kind) else self.body
        if not isinstance(found, kind):
            raise TypeError(f"{self.route.name} takes no {kind.__name__}")
        return found

    def position(self) -> list[Any] | None:
        """Return where the page before ended, None for the first page; raise `Refused` for a cursor of another list."""
        query = self.asked(PageQuery)
        return self.parts.cursors.open(query.cursor, self._bound()) if query.cursor else None

    def cursor(self, position: Sequence[str | int]) -> str:
        """Return the cursor that continues this list behind a position."""
        return self.parts.cursors.seal(position, self._bound())

    def page(
        self, items: Sequence[T], position: Callable[[T], tuple[str | int, ...]], view: Callable[[T], Item], *, newest_first: bool = False
    ) -> Page[Item]:
        """Return a page of things in memory: sorted by `position`, which must be unique, cut after the cursor's, shown by `view`."""
        after, limit = self.position(), self.asked(PageQuery).limit
        ordered = sorted(items, key=position, reverse=newest_first)
        if after is not None:
            last = tuple(after)
            ordered = [item for item in ordered if (position(item) < last if newest_first else position(item) > last)]
        shown = ordered[:limit]
        more = self.cursor(position(shown[-1])) if len(ordered) > limit else None
        return Page(data=[view(item) for item in shown], next_cursor=more)

    def _bound(self) -> dict[str, Any]:
        """Return what makes this list this list: the store, the route with its ids, the filters."""
        filters = self.query.model_dump(exclude={"limit", "cursor", "store"}, exclude_none=True)
        return {"store": self.store_id, "route": self.route.name, "ids": dict(self.ids), "filters": filters}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a handler changed, for the audit: the id of the thing, and how it looked before and looks now (None: not there)."""

    target: str
    before: Model | None = None
    after: Model | None = None


UNCHANGED: Final = Change(target="")
"""What a route that changes something answers when it only looked: it leaves no line on the audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a handler answers.

    `value` becomes JSON; a document that is no model goes as `text` or, piece by piece, as `stream`, of `content_type`.
    `version` becomes the ETag. `status` 0 means the route's. `location` is the path of what was made, below the prefix.
    `change` goes to the audit.
    """

    value: Model | None = None
    text: bytes = b""
    stream: AsyncGenerator[bytes, None] | None = None
    content_type: str = "application/json"
    status: int = 0
    version: int | None = None
    location: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    change: Change | None = None


Handler = Callable[[Call], "Answer | Awaitable[Answer]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint.

    `name` is its operation id (`webhooks.create`) and its name in metrics and cursors. `work` says where the handler runs: on the loop
    (a coroutine, or a look into memory) or in a pool of threads. `action` is what the audit calls the change; empty for routes that change
    nothing that is worth a record. `codes` are the problems of this route beyond those that every route of its kind has.
    `version` tells that the answer has an ETag, `if_match` whether the request has one. `other_statuses` and `other_types` are
    what it may answer with instead of `status` and `content_type`. `remembered` is False for POST routes whose answers are not kept under
    an Idempotency-Key: they change nothing, or show what a receiver said, which may name a person who is erased later.
    """

    name: str
    method: str
    path: str
    scope: str
    summary: str
    handler: Handler
    description: str = ""
    work: Work = Work.LOOP
    store: StoreUse = StoreUse.ONE
    query: type[Query] = Query
    body: type[Model] | None = None
    answer: type[Model] | None = None
    status: int = 200
    content_type: str = "application/json"
    other_statuses: tuple[int, ...] = ()
    other_types: tuple[str, ...] = ()
    codes: tuple[Code, ...] = ()
    action: str = ""
    version: bool = False
    if_match: IfMatch = IfMatch.NONE
    max_body: int = MAX_BODY
    remembered: bool = True
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The resource it belongs to."""
        return self.name.partition(".")[0]
