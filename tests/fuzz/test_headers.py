"""Headers both ways: a store's own on the request, a receiver's on the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import httptools
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.contract import MAX_BODY, MAX_HEAD, Request
from hookline.dispatcher.transport.exchange import rest_of_head
from hookline.dispatcher.transport.origins import target_of
from hookline.kernel.errors import InputError
from hookline.webhooks.headers import check_headers
from tests.fuzz.effort import cpu_within, tries

pytestmark = pytest.mark.unit

_OWN = {"host", "content-length", "content-type", "webhook-id", "user-agent"}
_NAMES = st.sampled_from(
    [
        "x-token",
        "Authorization",
        "x-a",
        "x-b",
        "x-c",
        "Host",
        "content-length",
        "Transfer-Encoding",
        "webhook-id",
        "x\r\ny",
        "x:y",
        "x y",
        "",
        "\u017f",
    ]
)
_VALUES = st.sampled_from(
    ["", "Bearer x", "a\r\nHost: evil", "a\nb", "a\0b", "é", "ü" * 5_000, " a", "a ", "\x7f", "\x85", "\u2028", "\ud800"]
)
_SANE = st.tuples(st.from_regex(r"x-[a-z]{1,12}", fullmatch=True), st.text("abc XYZ;=é\t", max_size=30).map(str.strip))
_ODD = st.sampled_from(["\n", "\r", "\r\n", "\0", " ", "\t", ":", "\x0b", "\x7f", "\x85", "\u2028", "é", "(", '"'])


@st.composite
def _nearly(draw: st.DrawFn) -> tuple[str, str]:
    """Return a sane header with one odd character, mostly at an end: of the name, or of the value."""
    texts = list(draw(_SANE))
    which = draw(st.integers(0, 1))
    place = draw(st.sampled_from([0, len(texts[which]), len(texts[which]) // 2]))
    texts[which] = texts[which][:place] + draw(_ODD) + texts[which][place:]
    return texts[0], texts[1]


_PAIRS = st.one_of(
    st.lists(st.tuples(_NAMES | st.text(max_size=20), _VALUES | st.text(max_size=40)), max_size=5),
    st.lists(_SANE, max_size=70, unique_by=lambda pair: pair[0]),
    st.tuples(_nearly(), _SANE).map(list),
)


class _Seen:
    """What an independent parser reads of a request."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.messages = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Count the requests."""
        self.messages += 1


@tries(400)
@given(_PAIRS)
@example([("x-a", "1\r\n\r\nPOST / HTTP/1.1")])
@example([("x-a\n", "1")])
def test_a_stores_headers_make_no_other_request(pairs: list[tuple[str, str]]) -> None:
    """Headers that pass arrive as they are, add no other and replace none of ours; the body is still the body."""
    with cpu_within(0.5):
        try:
            own = check_headers(pairs)
        except InputError as error:
            event("refused")
            error.message.encode()
            return
    event("accepted")
    body = b'{"id":"evt_1"}'
    request = Request(
        url="https://hooks.example.com/x",
        headers=(("content-type", "application/json"), ("user-agent", "x"), ("webhook-id", "y"), *own),
        body=body,
        timeout_s=5.0,
        webhook_id="wh_1",
    )
    seen = _Seen()
    httptools.HttpRequestParser(seen).feed_data(target_of(request.url).head + rest_of_head(request) + request.body)
    assert seen.messages == 1
    assert seen.body == body
    assert sorted(seen.headers) == sorted([("host", "hooks.example.com"), ("content-length", str(len(body))), *request.headers])
    assert not _OWN & {name for name, _ in own}


@dataclass
class _Listener:
    """Notes how a request ended."""

    ends: list[str] = field(default_factory=list)

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """Note an answer, and hold it against its bounds."""
        assert 100 <= connection.status <= 999
        assert sum(map(len, connection.body)) <= MAX_BODY + 1
        assert len(connection.head()) <= MAX_HEAD
        assert reusable is not connection.closed
        self.ends.append("answered")

    def broken(self, connection: Connection, error: Exception) -> None:
        """Note a failure."""
        assert connection.closed
        assert str(error)
        self.ends.append("broken")


class _Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drop what is sent."""

    def abort(self) -> None:
        """Have nothing to close."""

    def get_write_buffer_size(self) -> int:
        """Have sent all of it."""
        return 0


_STARTS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 503 x\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 x\r\n",
    b"HTTP/2 200\r\n",
    b"HTTP/1.1 9999\r\n",
]
_LINES = [
    *(
        b"Content-Length: 2\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding : chunked\r\n", b" folded\r\n"),
    *(b"Retry-After: 5\r\n", b"Retry-After: " + b"9" * 9_000 + b"\r\n", b"X: " + b"a" * 70_000 + b"\r\n", b"X: y\r\n" * 200, b"X\0: y\r\n"),
    *(
        b"Connection: close\r\n",
        b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"X: \xff\xfe\r\n",
        b": empty\r\n",
        b"X: a\nb\r\n",
        b"\r\n",
        b"\r\n",
    ),
]
_BODIES = [
    b"ok",
    b"2\r\nok\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"-1\r\n",
    b"zz\r\n",
    b"0\r\nTrailer: x\r\n\r\n",
    b"a" * 20_000,
    b"HTTP/1.1 200 OK\r\n\r\n",
]
_SOUND = st.sampled_from(
    [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n", b"Retry-After: 5\r\n", b"Connection: close\r\n", b"X: y\r\n"]
)
_PARTS = st.sampled_from([*_STARTS, *_LINES, *_BODIES]) | st.binary(max_size=12)
_WILD = st.tuples(st.sampled_from(_STARTS) | st.binary(max_size=20), st.lists(_PARTS, max_size=12))
_NEARLY = st.tuples(
    st.sampled_from(_STARTS[:4]), st.lists(_SOUND, max_size=2), st.just([b"\r\n"]), st.lists(st.sampled_from(_BODIES) | _PARTS, max_size=3)
)
ANSWERS = _WILD.map(lambda a: a[0] + b"".join(a[1])) | _NEARLY.map(lambda a: a[0] + b"".join([*a[1], *a[2], *a[3]]))


@tries(800)
@given(answer=ANSWERS, cuts=st.lists(st.integers(0, 100_000), max_size=6), eof=st.booleans())
@example(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", cuts=[3], eof=False)
@example(answer=b"HTTP/1.1 100 Continue\r\n\r\n" * 100, cuts=[], eof=True)
def test_any_answer_ends_a_request_once_at_most(answer: bytes, cuts: list[int], eof: bool) -> None:
    """Whatever a receiver sends, in whatever pieces: one end or none yet, within the bounds, nothing raised; a closed line ends it."""
    connection, listener = Connection("origin"), _Listener()
    connection.connection_made(_Wire())
    with cpu_within(0.5):
        connection.request((b"POST / HTTP/1.1\r\n\r\n",), listener)
        places = sorted({0, len(answer), *(cut % (len(answer) + 1) for cut in cuts)})
        for start, end in pairwise(places):
            connection._received(answer[start:end])
        if eof:
            connection.eof_received()
            connection.connection_lost(None)
    event(listener.ends[0] if listener.ends else "waiting")
    assert len(listener.ends) == 1 if eof else len(listener.ends) <= 1


@tries(300)
@given(first=ANSWERS, second=ANSWERS)
def test_no_answer_is_taken_for_the_next_ones(first: bytes, second: bytes) -> None:
    """A connection that goes on after an answer has nothing of it left; one that got more than it asked for is closed."""
    connection, listener = Connection("origin"), _Listener()
    connection.connection_made(_Wire())
    connection.request((b"x",), listener)
    connection._received(first)
    if not listener.ends or connection.closed:
        return
    connection._received(second)
    assert connection.closed or not second
    assert len(listener.ends) == 1


@st.composite
def _whole(draw: st.DrawFn) -> bytes:
    """Return a sound answer with an end of its own, after which a connection may be kept."""
    head = b"HTTP/1.1 %d OK\r\n" % draw(st.sampled_from([200, 201, 404, 429, 503]))
    head += b"".join(draw(st.lists(st.sampled_from([b"Retry-After: 5\r\n", b"X: y\r\n"]), max_size=2)))
    body = draw(st.sampled_from([b"", b"ok", b"a" * 300]))
    if draw(st.booleans()):
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"


def _taken(pieces: list[bytes]) -> tuple[Connection, tuple[object, ...]]:
    """Return a connection that got these, and what it took of them as the one answer."""
    connection, listener = Connection("origin"), _Listener()
    connection.connection_made(_Wire())
    connection.request((b"x",), listener)
    for piece in pieces:
        connection._received(piece)
    assert listener.ends == ["answered"]
    return connection, (connection.status, connection.headers, b"".join(connection.body), connection.retry_after)


@tries(300)
@given(first=_whole(), second=_whole() | ANSWERS.filter(bool), cut=st.integers(0, 1_000))
def test_what_follows_an_answer_changes_nothing_of_it(first: bytes, second: bytes, cut: int) -> None:
    """A second answer in the same piece, or in the one in which the first ends: the first counts as if alone, and the line is closed."""
    alone, taken = _taken([first])
    assert not alone.closed
    together = first + second
    cut %= len(together)
    for pieces in ([together], [together[:cut], together[cut:]], [first, second]):
        connection, found = _taken(pieces)
        assert found == taken
        assert connection.closed
