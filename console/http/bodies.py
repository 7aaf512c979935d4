"""Bodies: read within their limits, strict JSON, then the route's model; every fault has its code and its field."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from hookline.console.http.complaints import complaint, places_of
from hookline.console.http.models import UNKNOWN_TYPE, names_of
from hookline.console.http.problems import Code, Refused
from hookline.kernel.errors import InputError, UnknownEventType
from hookline.producers.ingest.strict_json import parse, refuse_deep

_SHOWN: Final = 60
M = TypeVar("M", bound=BaseModel)


async def read(request: web.Request, most: int, within_s: float) -> bytes:
    """Return the whole body, empty when there is none; raise `Refused` for one that is too large, slow, packed or not JSON."""
    headers = request.headers
    if headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise Refused(Code.ENCODING_UNSUPPORTED, "The body must not be packed", field=hdrs.CONTENT_ENCODING)
    if request.content_length is not None and request.content_length > most:
        raise _too_large(most)
    if not request.can_read_body:
        return b""
    if not is_json(headers.get(hdrs.CONTENT_TYPE, "")):
        raise Refused(Code.CONTENT_TYPE_UNSUPPORTED, "The body must be application/json in UTF-8", field=hdrs.CONTENT_TYPE)
    return await whole(request, most, within_s)


async def whole(request: web.Request, most: int, within_s: float) -> bytes:
    """Return the bytes of a body of any type; raise `Refused` for one that is too large, slow or broken."""
    found = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while not request.content.at_eof():
                found += await request.content.readany()
                if len(found) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise Refused(Code.BODY_TIMEOUT, f"The body did not arrive in {within_s:g} s", headers={"Connection": "close"}) from None
    except web.RequestPayloadError as error:
        raise Refused(Code.MALFORMED_REQUEST, "The body's chunks are broken, or its length is wrong") from error
    return bytes(found)


def is_json(kind: str) -> bool:
    """Tell whether a Content-Type is JSON in UTF-8."""
    media, _, parameters = kind.partition(";")
    names = [part.partition("=") for part in parameters.split(";") if part.strip()]
    utf8 = all(name.strip().lower() != "charset" or value.strip().strip('"').lower() in {"utf-8", "utf8"} for name, _, value in names)
    return media.strip().lower() == "application/json" and utf8


def body_of(model: type[M] | None, raw: bytes) -> M | None:
    """Return the body as the route's model, None where it takes none; raise `Refused` (400) or `InputError` with the field's path.

    Where every field may be left out, so may the whole body.
    """
    if model is None:
        if raw.strip() not in {b"", b"{}"}:
            raise InputError("This request takes no body", remedy="Leave the body out.")
        return None
    if not raw.strip():
        if any(field.is_required() for field in model.model_fields.values()):
            raise Refused(Code.EMPTY_BODY, "The body is empty")
        raw = b"{}"
    value = parse(raw)
    refuse_deep(raw)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise explained(error, model) from error


def query_of(model: type[M], pairs: Sequence[tuple[str, str]]) -> M:
    """Return the query string as the route's model; raise `InputError` naming the parameter."""
    given = dict(pairs)
    if len(given) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:_SHOWN]
        raise InputError(f"The parameter {twice!r} is given twice", field=twice, remedy="Give each parameter once.")
    if any("\0" in text or "\ufffd" in text for pair in pairs for text in pair):
        raise InputError("The query string holds a NUL, or is not UTF-8", field="query")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise explained(error, model) from error


def explained(error: ValidationError, model: type[BaseModel]) -> InputError:
    """Return the first fault in our words; never the value itself, which may be a secret."""
    faults = error.errors(include_url=False, include_input=False)
    first, field = faults[0], path_of(places_of(faults))
    if first["type"] == "extra_forbidden":
        return InputError(f"{field} is not a field of this request", field=field, remedy=_fields_of(model, first["loc"]))
    if first["type"] == "missing":
        return InputError(f"{field} is missing", field=field)
    if first["type"] == UNKNOWN_TYPE:
        return UnknownEventType(first["msg"], field=field, remedy=first["ctx"]["remedy"])
    if not field:
        return InputError(f"The body{complaint(faults)}", remedy=_fields_of(model, ("",)))
    return InputError(f"{field}{complaint(faults)}", field=field)


def path_of(places: Sequence[str | int]) -> str:
    """Return `lines[0].sku` for the place of a fault; texts that a caller may have written are cut."""
    found = ""
    for place in places:
        found += f"[{place}]" if isinstance(place, int) else f".{place[:_SHOWN]}" if found else place[:_SHOWN]
    return found


def _fields_of(model: type[BaseModel], places: Sequence[str | int]) -> str:
    return f"Fields: {', '.join(names_of(model))}." if len(places) == 1 else "Leave it out."


def _too_large(most: int) -> Refused:
    return Refused(Code.BODY_TOO_LARGE, f"The body has more than {most:,} bytes", headers={"Connection": "close"})
