"""Values of a store's own headers that a receiver repeats, in the ways that JSON writers have."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hookline.dispatcher.signatures import Signatures, without_echoes
from hookline.dispatcher.transport.contract import Failure, Reply
from hookline.schemas.records import ErrorKind
from hookline.webhooks.secrets import seal_headers
from tests.dispatcher.fakes import VAULT, FakeClock, delivery, webhook

pytestmark = pytest.mark.unit


def in_ascii(text: str) -> str:
    """Write it as Python, PHP and Java do."""
    return json.dumps(text)


def as_it_is(text: str) -> str:
    """Write it as JavaScript, Go and Rust do."""
    return json.dumps(text, ensure_ascii=False)


def with_slashes(text: str) -> str:
    """Write it as PHP does."""
    return json.dumps(text).replace("/", "\\/")


@pytest.mark.parametrize("write", [in_ascii, as_it_is, with_slashes])
@pytest.mark.parametrize(
    "value", ['Signature keyId="k",token="PLANTED/value"', 'a\\PLANTED"b', "PLANTED\tvalue", "PLANTED-é/ü", 'é"PLANTED/\\']
)
def test_what_json_escapes_is_masked_too(value: str, write: Callable[[str], str]) -> None:
    """A value with quotes, backslashes, tabs, letters beyond ASCII: in body, head and failure, the whole and each of its words."""
    one = webhook(headers=seal_headers([("authorization", value)], VAULT, "shop", "wh_1"))
    headers = Signatures(VAULT, FakeClock()).headers(one, delivery())
    for said in (value, *(word for word in value.split() if "PLANTED" in word)):
        echo = write(said)
        for encoding in ("utf-8", "latin-1"):
            found = without_echoes(Reply(400, f"x-echo: {echo}", f'{{"got":{echo},"n":1}}'.encode(encoding), 1.0), headers, one)
            assert found == Reply(400, 'x-echo: "********"', b'{"got":"********","n":1}', 1.0)
        told = without_echoes(Failure(ErrorKind.PROTOCOL, f"bad line: {echo}", 1.0), headers, one)
        assert told == Failure(ErrorKind.PROTOCOL, 'bad line: "********"', 1.0)
