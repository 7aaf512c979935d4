"""What the models of all resources are made of: strict, closed, and described for the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from hookline.kernel.clock import from_us, rfc3339
from hookline.kernel.errors import UnknownEventType
from hookline.schemas.catalogue import EVENT_TYPES, event_type

ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}$"
VISIBLE: Final = r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]*$"
STATUS_PATTERN: Final = r"^([1-5][0-9]{2}|[1-5]xx|none)$"
HEADER_PATTERN: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"
LETTER_PATTERN: Final = r"^[A-Za-z0-9._-]{1,200}:[0-9]{1,9}:[0-9]{1,19}$"
ACTION_PATTERN: Final = r"^[a-z.-]{1,64}$"
ACTOR_PATTERN: Final = r"^[a-z-]{1,32}(:[A-Za-z0-9_-]{1,64})?$"
WRITTEN: Final[Mapping[str, str]] = {
    ID_PATTERN: "1 to 64 letters, digits, hyphens and underscores",
    VISIBLE: "a text without line breaks and characters that cannot be seen",
    STATUS_PATTERN: "a status such as 404, a class such as 5xx, or none",
    HEADER_PATTERN: "1 to 128 letters, digits, hyphens and other characters that HTTP allows in the name of a header",
    LETTER_PATTERN: "the id of a dead letter as the list gives it, such as hookline.dead-letters.orders:0:42",
    ACTION_PATTERN: "an action as the audit names it, such as webhook.create",
    ACTOR_PATTERN: "who made a change as the audit names it, such as operator or key:0123456789abcdef",
}
"""What a text must be that has to match a pattern: so it is said, and not by the pattern."""
MOST: Final = 1_000
USUAL: Final = 50
UNKNOWN_TYPE: Final = "unknown_event_type"
_DIGITS: Final = 4


class Model(BaseModel):
    """A body or an answer: unknown fields are refused, types are not bent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Item = TypeVar("Item", bound=Model)


class Page(Model, Generic[Item]):
    """One page of a list, in an order that new things do not disturb."""

    data: list[Item]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null on the last one")


def _whole(text: object) -> object:
    """Take plain digits only: Python would take `+5`, ` 5` and `1_0` as well."""
    if isinstance(text, str):
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise ValueError(f"must be a whole number from 1 to {MOST}")
        return int(text)
    return text


def _known(name: str) -> str:
    """Return the name of an event type that there is."""
    try:
        return event_type(name).name
    except UnknownEventType as error:
        raise PydanticCustomError(UNKNOWN_TYPE, "{message}", {"message": error.message, "remedy": error.remedy}) from error


StoreId = Annotated[str, Field(pattern=ID_PATTERN, description="a store's id", examples=["demo"])]
Limit = Annotated[int, Field(ge=1, le=MOST, description="most items of the page"), BeforeValidator(_whole)]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T14:02:00.123456Z"]})]
"""A time in answers, in UTC with microseconds."""
EventTypeName = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": list(EVENT_TYPES), "description": "an event type of the catalogue"}),
]
"""Refused with `unknown_event_type` and the closest names."""


class Query(Model):
    """What every route takes in its query string."""

    store: StoreId | None = Field(None, description="the store to act for; only an operator needs it, a key has its own")


class PageQuery(Query):
    """What every list takes."""

    limit: Limit = USUAL
    cursor: Annotated[str, Field(max_length=2_048)] | None = Field(None, description="`next_cursor` of the page before, same filters")


def time_of(us: int) -> str | None:
    """Return a time of microseconds since the epoch as text, None for 0."""
    return rfc3339(from_us(us)) if us else None


def names_of(model: type[BaseModel]) -> Sequence[str]:
    """Return the names of a model's fields, as callers write them."""
    return sorted(field.alias or name for name, field in model.model_fields.items())
