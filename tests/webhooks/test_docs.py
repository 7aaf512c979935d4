"""What docs/ tells developers about filters and signatures is true: the code on the pages is run."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as Official
from svix.webhooks import Webhook as Svix

from hookline.console.panel.snippets import SNIPPETS
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.filters import Facts, check_examples, compile_filter
from hookline.webhooks.secrets import new_secret
from hookline.webhooks.store import MOST_PER_STORE, MOST_PER_TYPE, MOST_SECRETS

pytestmark = pytest.mark.unit

DOCS = Path(__file__).parents[2] / "docs"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
BODY = b'{"test": 2432232314}'
AT = 1614265330.0


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)\n```", (DOCS / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def verify() -> Callable[..., Any]:
    """Return the function of the page, as a developer would copy it."""
    names: dict[str, Any] = {}
    exec(blocks("signatures.md", "python")[1], names)
    found: Callable[..., Any] = names["verify"]
    return found


def test_the_vector_on_the_page_verifies(verify: Callable[..., Any]) -> None:
    """The published vector stands on the page in full and passes the code beside it."""
    page = (DOCS / "signatures.md").read_text()
    assert all(f"`{text}`" in page for text in (SECRET, *VECTOR.values(), BODY.decode()))
    assert verify(VECTOR, BODY, SECRET, AT) == {"test": 2432232314}


def test_both_official_libraries_agree(verify: Callable[..., Any]) -> None:
    """A call signed now passes the page's two functions and Svix's library."""
    names: dict[str, Any] = {}
    exec(blocks("signatures.md", "python")[0], names)
    headers = signed("msg_1", int(time.time()), BODY, SECRET)
    assert names["receive"](headers, BODY, SECRET) == verify(headers, BODY, SECRET) == Official(SECRET).verify(BODY, headers)
    Svix(SECRET).verify(BODY, headers)


@pytest.mark.parametrize(("name", "language"), [("Node", "javascript"), ("PHP", "php"), ("Go", "go")])
def test_the_receivers_are_those_of_the_panel(name: str, language: str) -> None:
    """The page shows each of the panel's receivers as it is there, with its file and its command."""
    [one] = [each for each in SNIPPETS if each.name == name]
    assert blocks("signatures.md", language) == [one.code.removesuffix("\n")]
    assert f"### {name}\n`{one.file}`, started with `{one.run}`:\n" in (DOCS / "signatures.md").read_text()


def signed(call_id: str, timestamp: int, body: bytes, secret: str) -> dict[str, str]:
    """Return the headers of a call."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{call_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": call_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


OTHER = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY, new_secret())["webhook-signature"]
TAMPERED: dict[str, tuple[dict[str, str], bytes]] = {
    "another id": (VECTOR | {"webhook-id": "msg_other"}, BODY),
    "another time": (VECTOR | {"webhook-timestamp": "1614265331"}, BODY),
    "another body": (VECTOR, BODY + b" "),
    "another secret": (VECTOR | {"webhook-signature": OTHER}, BODY),
    "another version": (VECTOR | {"webhook-signature": VECTOR["webhook-signature"].replace("v1", "v2")}, BODY),
    "no signature": (VECTOR | {"webhook-signature": ""}, BODY),
    "no signatures but spaces": (VECTOR | {"webhook-signature": "   "}, BODY),
    "a cut signature": (VECTOR | {"webhook-signature": VECTOR["webhook-signature"][:-2]}, BODY),
    "no comma": (VECTOR | {"webhook-signature": VECTOR["webhook-signature"][3:]}, BODY),
    "not ASCII": (VECTOR | {"webhook-signature": "v1,ä"}, BODY),
    "a huge header": (VECTOR | {"webhook-signature": "v1,x " * 100_000}, BODY),
    "no id": ({name: value for name, value in VECTOR.items() if name != "webhook-id"}, BODY),
    "no time": (VECTOR | {"webhook-timestamp": ""}, BODY),
    "a time that is none": (VECTOR | {"webhook-timestamp": "1e9"}, BODY),
    "a time in other digits": (VECTOR | {"webhook-timestamp": "１６１４２６５３３０"}, BODY),  # noqa: RUF001  # the point
    "nothing": ({}, b""),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_call_is_refused(verify: Callable[..., Any], name: str) -> None:
    """Each part that is changed, missing or malformed ends in the one error that the page names."""
    headers, body = TAMPERED[name]
    with pytest.raises(ValueError, match=r"missing|old|fits"):
        verify(headers, body, SECRET, AT)


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_without_a_secret_no_call_is_good(verify: Callable[..., Any], secret: str) -> None:
    """Anybody can sign with the empty key."""
    headers = signed("msg_1", int(AT), BODY, secret)
    with pytest.raises(ValueError, match="there is no secret"):
        verify(headers, BODY, secret, AT)


@pytest.mark.parametrize(("away", "passes"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)])
def test_a_call_is_good_for_five_minutes(verify: Callable[..., Any], away: int, passes: bool) -> None:
    """Older and newer calls are refused."""
    if passes:
        verify(VECTOR, BODY, SECRET, AT + away)
    else:
        with pytest.raises(ValueError, match="too old"):
            verify(VECTOR, BODY, SECRET, AT + away)


def test_during_a_rotation_either_secret_verifies(verify: Callable[..., Any]) -> None:
    """One signature among several that fits is enough, wherever it stands."""
    new, old = new_secret(), new_secret()
    headers = [signed("msg_1", 1614265330, BODY, secret) for secret in (new, old)]
    both = headers[0] | {"webhook-signature": " ".join(["v1a,abc", *(h["webhook-signature"] for h in headers)])}
    assert verify(both, BODY, new, AT) == verify(both, BODY, old, AT)


@given(st.text(max_size=40), st.binary(max_size=40))
def test_nothing_but_our_calls_verifies(signature: str, body: bytes) -> None:
    """Whatever somebody makes up is refused with the one error."""
    names: dict[str, Any] = {}
    exec(blocks("signatures.md", "python")[1], names)
    with pytest.raises(ValueError, match="fits"):
        names["verify"](VECTOR | {"webhook-signature": signature}, body, SECRET, AT)


def test_the_filters_on_the_page_work() -> None:
    """Every example is a filter that can be saved and that answers about the example order."""
    examples = [line for block in blocks("webhooks.md", "cel") for line in block.splitlines()]
    assert len(examples) >= 10
    facts = Facts({"type": "order.created", "store_id": "my-shop", "data": EVENT_TYPES["order.created"].example})
    answers = {text: compile_filter(text).matches(facts) for text in examples}
    for text in examples:
        check_examples(text, ["order.created"])
    assert [text for text, answer in answers.items() if not answer] == [
        "has(data.order.shipping.tracking_number) && data.order.shipping.tracking_number != null"
    ]


def test_the_limits_on_the_page_are_the_limits() -> None:
    """The table of limits says what the code does."""
    page = (DOCS / "webhooks.md").read_text()
    assert re.findall(r"^\| [^|]*(?:webhooks of|secrets of)[^|]*\| ([\d,]+) \|$", page, re.MULTILINE) == [
        str(MOST_PER_TYPE),
        f"{MOST_PER_STORE:,}",
        str(MOST_SECRETS),
    ]
