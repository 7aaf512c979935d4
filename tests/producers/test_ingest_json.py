"""JSON is read strictly: what parsers forgive is refused, and nothing valid is."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.producers.ingest.errors import Refused
from hookline.producers.ingest.strict_json import MAX_DEPTH, parse, refuse_deep

pytestmark = pytest.mark.unit

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_all_valid_json_is_read(value: Any, ascii_only: bool, indent: int | None) -> None:
    """Whatever the standard library writes comes back the same."""
    found = parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace"))
    assert found == json.loads(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace"))


@given(VALUES, st.text(), VALUES, st.booleans())
def test_a_doubled_key_is_always_found(value: Any, key: str, other: Any, ascii_only: bool) -> None:
    """Wherever it stands and however it is written, the second of two equal keys is not silently dropped."""
    name = json.dumps(key, ensure_ascii=ascii_only)
    text = f'{{"a": [{{{name}: {json.dumps(value)}, {name}: {json.dumps(other)}}}]}}'
    with pytest.raises(Refused) as caught:
        parse(text.encode("utf-8", "replace"))
    assert caught.value.problem.code == "duplicate_key"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": "\\u0022\\u0022", "b": 1, "b": 2}',
        b'{"a/b": 1, "a\\/b": 2}',
        b'{"": 1, "": 1}',
        b'{"x": {"a": 1}, "y": [{"a": 1, "a": 1}]}',
    ],
)
def test_keys_that_only_look_different_are_equal(body: bytes) -> None:
    """Escapes hide no doubled key."""
    with pytest.raises(Refused) as caught:
        parse(body)
    assert caught.value.problem.code == "duplicate_key"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" \n\t ", "empty_body"),
        (b"{", "malformed_json"),
        (b"{} {}", "malformed_json"),
        (b'{"a":1}x', "malformed_json"),
        (b"\xef\xbb\xbf{}", "malformed_json"),
        ("{}".encode("utf-16"), "malformed_json"),
        ("{}".encode("utf-16-le"), "malformed_json"),
        ("{}".encode("utf-32"), "malformed_json"),
        (b'{"a": NaN}', "malformed_json"),
        (b'{"a": Infinity}', "malformed_json"),
        (b'{"a": -Infinity}', "malformed_json"),
        (b'{"a": 1e400}', "malformed_json"),
        (b'{"a": "\\ud800"}', "malformed_json"),
        (b'{"a": "\\udc00\\ud800"}', "malformed_json"),
        (b'{"a": "\xed\xa0\x80"}', "malformed_json"),
        (b'{"a": "\xff"}', "malformed_json"),
        (b'{"a": "\x00"}', "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b'{"a": 01}', "malformed_json"),
        (b'{"a": /* no */ 1}', "malformed_json"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "malformed_json"),
        (b'{"a": 18446744073709551616}', "number_too_large"),
        (b'{"a": -9223372036854775809}', "number_too_large"),
        (b'{"a": 100000000000000000000000000}', "number_too_large"),
        (b"[" * 300 + b"]" * 300, "nested_too_deep"),
        (b"[" * 100_000, "nested_too_deep"),
        (b"[" * 5_000 + b"]" * 5_000, "nested_too_deep"),
    ],
)
def test_what_is_refused_has_its_code(body: bytes, code: str) -> None:
    """Each line of the catalogue of malformed bodies."""
    with pytest.raises(Refused) as caught:
        parse(body)
    assert caught.value.problem.code == code
    assert caught.value.problem.status == 400


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**63, 0, 10**18, 10**19 - 1])
def test_64_bits_are_kept_exactly(number: int) -> None:
    """Numbers at the edge are neither refused nor turned into floats."""
    assert parse(b'{"a": %d}' % number) == {"a": number}


@pytest.mark.parametrize(
    "text", ["%d", "[%d]", "[ %d]", "[1,%d]", '{"a":%d}', '{"a" :\n%d}', '{"a":\t-%d}', '["1234567890123456789",%d]', "-%d"]
)
def test_a_number_over_64_bits_is_found_wherever_it_stands(text: str) -> None:
    """Alone, in lists and objects, after white space and signs, behind texts of digits."""
    with pytest.raises(Refused) as caught:
        parse((text % (2 * 10**19)).encode())
    assert caught.value.problem.code == "number_too_large"


def test_long_digits_in_texts_are_no_numbers() -> None:
    """A card's or parcel's number in a text is fine."""
    assert parse(b'{"parcel": "003404341609400000123456"}') == {"parcel": "003404341609400000123456"}


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_64_levels_are_the_limit(opening: bytes, closing: bytes) -> None:
    """One level more is refused, in objects, lists and both; brackets in texts do not count."""
    levels = opening.count(b"[") + opening.count(b"{")
    times = MAX_DEPTH // levels
    refuse_deep(opening * times + b'"[[[[{{{{"' + closing * times)
    with pytest.raises(Refused, match="more than 64 levels"):
        refuse_deep(b"[" + opening * times + b"1" + closing * times + b"]")


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 500_000,
        b'{"a":"' + b'\\"' * 500_000,
        b"[" * 1_000_000,
        b"[" + b"[]," * 300_000 + b"[]]x",
        b'{"\\u0061":' + b"[" + b"[]," * 300_000 + b"[]]}",
        b"{" + b",".join(b'"k%d":1' % n for n in range(80_000)) + b',"k79999":1}',
    ],
)
def test_hostile_megabytes_cost_little(body: bytes) -> None:
    """No text of a megabyte takes more than a fraction of a second of CPU, whatever is wrong with it."""
    began = time.process_time()
    with suppress(Refused):
        parse(body)
    assert time.process_time() - began < 3
