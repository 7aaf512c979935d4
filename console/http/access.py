"""Who may come in, and for which store: API keys, the operator, and how often an address may be wrong about them."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from aiohttp import hdrs, web

from hookline.console import metrics
from hookline.console.config import ConsoleConfig
from hookline.console.http.problems import Code, Refused
from hookline.console.http.routes import ALL_STORES, NOBODY, OPERATOR, PUBLIC, Caller, Route, StoreUse
from hookline.kernel.clock import Clock
from hookline.kernel.errors import InputError, Unauthorized
from hookline.producers.api_keys import ApiKeys
from hookline.producers.ingest.door import CatchUp, Failures
from hookline.schemas.events import check_id

STORE_HEADER: Final = "Hookline-Store"
_OPERATOR: Final = Caller(actor="operator", scopes=frozenset({OPERATOR}))


class Access:
    """Admits requests; used from the event loop.

    A right key passes whatever its address did before: behind a proxy all stores come from one address, and nobody may lock the
    others out. Of the operator's token only its SHA-256 is known, and compared in constant time.
    """

    def __init__(self, keys: ApiKeys, config: ConsoleConfig, clock: Clock) -> None:
        self._keys = keys
        self._operator = config.operator
        self._failures = Failures(config.auth_failures, clock)
        self._catch_up = CatchUp(keys)

    async def admit(self, route: Route, request: web.BaseRequest) -> Caller:
        """Return who asks; raise `Unauthorized`, or `Refused` for too small a scope or too many failures.

        A key that is not known here may have been made a moment ago, by another process: that is looked up first.
        """
        if route.scope == PUBLIC:
            return NOBODY
        token = bearer(request)
        if self._keys.may_be_new(token):
            await self._catch_up.now()
        try:
            caller = self._recognised(token)
        except Unauthorized:
            metrics.REFUSED_KEYS.labels("key").inc()
            self._failures.count(request.remote or "")
            raise
        if not caller.allows(route.scope):
            metrics.REFUSED_KEYS.labels("scope").inc()
            raise Refused(Code.MISSING_SCOPE, f"This needs the scope {route.scope}, which the key does not have")
        return caller

    def _recognised(self, token: str) -> Caller:
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        if hmac.compare_digest(digest, self._operator):
            return _OPERATOR
        key = self._keys.verify(token)
        return Caller(actor=f"key:{key.id}", store_id=key.store_id, scopes=frozenset(key.scopes))


def bearer(request: web.BaseRequest) -> str:
    """Return the token of `Authorization: Bearer ...`, empty when there is none or there are two."""
    found = request.headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, token = found[0].partition(" ") if len(found) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else ""


def store_of(route: Route, caller: Caller, asked: str | None, header: str | None) -> str:
    """Return the store that a request is about, from the key, or for an operator from `?store=` or the Hookline-Store header.

    Raises `InputError` when an operator names none where one is needed, or two, and `Refused` when a key names another than its own; the
    answer is the same whether that store exists or not.
    """
    named = {text for text in (asked, header) if text is not None}
    if len(named) > 1:
        raise InputError(f"?store= and {STORE_HEADER} name different stores", field="store")
    name = check_id(named.pop(), "store") if named else ALL_STORES
    if caller.store_id != ALL_STORES:
        if name not in {ALL_STORES, caller.store_id}:
            raise Refused(Code.OTHER_STORE, "The key belongs to another store than the one that is named", field="store")
        return caller.store_id if route.store is not StoreUse.NONE else ALL_STORES
    if route.store is StoreUse.ONE and name == ALL_STORES:
        raise InputError("The store is missing", field="store", remedy=f"An operator names it with ?store= or {STORE_HEADER}.")
    return name
