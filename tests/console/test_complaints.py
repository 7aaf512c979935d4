"""What is said of a wrong value: its field, what is wrong in plain words, what is allowed; no word of the libraries behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from hookline.console.api.deliveries_filter import DeliveryFilter
from hookline.console.api.replays_models import ReplayCreate
from hookline.console.api.table import ROUTES
from hookline.console.api.webhook_models import WebhookCreate
from hookline.console.http.bodies import explained
from hookline.console.http.models import WRITTEN, Model, PageQuery
from hookline.kernel.errors import InputError

pytestmark = pytest.mark.unit

GOOD: dict[str, Any] = {"url": "https://shop.example.com/hooks", "event_types": ["order.created"]}


def refused(model: type[Model], given: object) -> InputError:
    """Return how a value is refused."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    return explained(caught.value, model)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "The body must be a JSON object"),
        (None, "The body must be a JSON object"),
        ({**GOOD, "timeout_s": "10"}, "timeout_s must be a number"),
        ({**GOOD, "timeout_s": 1}, "timeout_s must be at least 5"),
        ({**GOOD, "timeout_s": 31}, "timeout_s must be at most 30"),
        ({**GOOD, "event_types": []}, "event_types must not be empty"),
        ({**GOOD, "event_types": "order.created"}, "event_types must be a list"),
        ({**GOOD, "event_types": [5]}, "event_types[0] must be a text"),
        ({**GOOD, "name": "a\nb"}, "name must be a text without line breaks and characters that cannot be seen"),
        ({**GOOD, "name": "x" * 129}, "name has more than 128 characters"),
        ({**GOOD, "schedule": "often"}, "schedule must be 'default' or 'long'"),
        ({**GOOD, "headers": []}, "headers must be an object"),
        ({**GOOD, "headers": {"x y": "1"}}, f"headers has a name that is not {WRITTEN[next(p for p in WRITTEN if p.startswith('^[!#$'))]}"),
        ({**GOOD, "headers": {"x": 1}}, "headers.x must be a text"),
        ({**GOOD, "headers": {f"x-{n}": "1" for n in range(65)}}, "headers has more than 64 entries"),
        ({**GOOD, "headers": {"a": 1, "b": 2}}, "headers.a must be a text"),
        ({**GOOD, "template": 5}, "template must be a text or an object"),
        ({**GOOD, "client_certificate": "pem"}, "client_certificate must be a JSON object"),
        ({"url": GOOD["url"]}, "event_types is missing"),
        ({**GOOD, "nope": 1}, "nope is not a field of this request"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_a_wrong_webhook(given: object, said: str) -> None:
    """Each kind of fault, in words that its writer understands."""
    assert refused(WebhookCreate, given).message == said


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (DeliveryFilter, {"status": "6xx"}, "status must be a status such as 404, a class such as 5xx, or none"),
        (DeliveryFilter, {"from": "yesterday"}, "from must be a time such as 2026-11-23T14:02:00Z; in a URL write + as %2B"),
        (PageQuery, {"limit": "-1"}, "limit must be a whole number from 1 to 1000"),
        (PageQuery, {"limit": "0"}, "limit must be at least 1"),
        (ReplayCreate, {"source": "logs"}, "source must be 'dead_letters' or 'log'"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_a_wrong_question(model: type[Model], given: object, said: str) -> None:
    """Our own words come as they are; a sentence that says what must be is not parted from its field."""
    assert refused(model, given).message == said


def test_a_body_that_is_no_object_is_told_its_fields() -> None:
    """There is no field to correct then: the remedy names those that there are."""
    error = refused(WebhookCreate, [])
    assert error.field == ""
    assert error.remedy.startswith("Fields: client_certificate, event_types, ")


def patterns(shape: object) -> Iterator[str]:
    """Yield every pattern of a JSON schema."""
    if isinstance(shape, dict):
        if isinstance(shape.get("pattern"), str):
            yield shape["pattern"]
        for part in shape.values():
            yield from patterns(part)
    elif isinstance(shape, list):
        for part in shape:
            yield from patterns(part)


def test_every_pattern_has_words() -> None:
    """So that no caller is shown one in place of what is allowed."""
    asked = [model for route in ROUTES for model in (route.body, route.query) if model is not None]
    found = {pattern for model in asked for pattern in patterns(model.model_json_schema())}
    assert found == set(WRITTEN)
