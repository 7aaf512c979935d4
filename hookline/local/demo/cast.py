"""Who takes part in the demo: the receivers, how they behave, and which events their webhooks ask for.

What a webhook should get is said here a second time, in Python, so that the reconciliation does not take the
dispatcher's matching and filtering for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from hookline.schemas.catalogue import EVENT_TYPES

Rule: TypeAlias = Callable[[Mapping[str, Any]], bool]
_LARGE_MINOR: Final = 20_000


class Behaviour(StrEnum):
    """How a receiver answers."""

    HEALTHY = "healthy"
    FLAKY = "flaky"
    SLOW = "slow"
    BROKEN = "broken"
    GONE = "gone"
    FORGETFUL = "forgetful"
    """Answers 200 but leaves some calls out of its count: what a reconciliation must notice."""


def _any(_data: Mapping[str, Any]) -> bool:
    return True


def _large_order(data: Mapping[str, Any]) -> bool:
    return int(data["order"]["totals"]["grand_total"]["amount_minor"]) >= _LARGE_MINOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One receiver and its webhook.

    `filter` is CEL, `rule` the same in Python over an event's data. `fails` tells whether dead letters are to be expected;
    `outage` whether it is taken down and up on the way.
    """

    name: str
    does: str
    behaviour: Behaviour
    event_types: tuple[str, ...]
    filter: str = ""
    rule: Rule = _any
    fails: bool = False
    outage: bool = False

    def wants(self, event_type: str, data: Mapping[str, Any]) -> bool:
        """Tell whether the webhook should get an event."""
        return event_type in self.event_types and self.rule(data)


WAREHOUSE: Final = Role(name="warehouse", does="healthy, wants every event", behaviour=Behaviour.HEALTHY, event_types=tuple(EVENT_TYPES))
CAST: Final = (
    WAREHOUSE,
    Role(
        name="big-orders",
        does="healthy, filter: 200.00 and up",
        behaviour=Behaviour.HEALTHY,
        event_types=("order.created",),
        filter=f"data.order.totals.grand_total.amount_minor >= {_LARGE_MINOR}",
        rule=_large_order,
    ),
    Role(
        name="accounting",
        does="flaky: answers 503 now and then",
        behaviour=Behaviour.FLAKY,
        event_types=("order.created", "order.paid", "order.status_changed", "return.created"),
    ),
    Role(
        name="search",
        does="slow: takes 300 ms",
        behaviour=Behaviour.SLOW,
        event_types=("product.changed", "product.inventory_changed", "category.changed"),
    ),
    Role(
        name="mailer",
        does="down for a while, then back",
        behaviour=Behaviour.HEALTHY,
        event_types=("order.created", "order.paid", "checkout.thank_you_viewed", "customer.created", "newsletter.signed_up"),
        outage=True,
        fails=True,
    ),
    Role(
        name="loyalty",
        does="always 500, mended at the end",
        behaviour=Behaviour.BROKEN,
        event_types=("customer.created", "return.created"),
        fails=True,
    ),
    Role(
        name="old-crm",
        does="gone: answers 410",
        behaviour=Behaviour.GONE,
        event_types=("order.approved",),
        fails=True,
    ),
)
SABOTEUR: Final = Role(
    name="saboteur",
    does="answers 200, loses calls from its count",
    behaviour=Behaviour.FORGETFUL,
    event_types=("cart.item_added", "cart.updated"),
)
