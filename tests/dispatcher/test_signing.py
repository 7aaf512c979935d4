"""Signatures against the published vector and both official libraries."""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import replace

import pytest
import standardwebhooks.webhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher.signatures import Signatures, shown, without_echoes
from hookline.dispatcher.signing import Signer
from hookline.dispatcher.transport.contract import MAX_BODY, Failure, Reply, Result, header_lines
from hookline.kernel.clock import SystemClock, to_us
from hookline.kernel.errors import ConfigError
from hookline.schemas.records import ErrorKind
from hookline.webhooks.certificates import open_identity, seal_certificate
from hookline.webhooks.model import SealedSecret
from hookline.webhooks.secrets import MasterKey, Vault, aad_of, parse_secret, seal_headers
from hookline.webhooks.templates import Content
from tests.dispatcher.fakes import KEY, VAULT, FakeClock, delivery, webhook
from tests.webhooks import certified

pytestmark = pytest.mark.unit

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # Standard Webhooks' published test vector


def whsec(key: bytes) -> str:
    """Return key bytes as a secret."""
    return "whsec_" + base64.b64encode(key).decode()


def test_the_published_vector() -> None:
    """Standard Webhooks' own example comes out as published."""
    signature = Signer([parse_secret(SECRET)]).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=500), st.text("abcXYZ019_-", min_size=1, max_size=40))
def test_both_official_libraries_accept(key: bytes, body: bytes, number: str) -> None:
    """Whatever the key, the id and the body, `standardwebhooks` and `svix` verify the signature, and refuse a changed body."""
    body = b'"' + base64.b64encode(body) + b'"'
    now = int(time.time())
    headers = {"webhook-id": f"msg_{number}", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = Signer([key]).headers(headers["webhook-id"], now, body)
    standardwebhooks.webhooks.Webhook(whsec(key)).verify(body, headers)
    svix.webhooks.Webhook(whsec(key)).verify(body, headers)
    with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
        standardwebhooks.webhooks.Webhook(whsec(key)).verify(body + b" ", headers)
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(whsec(key)).verify(body, headers | {"webhook-id": "msg_another"})


def test_two_keys_satisfy_either_receiver() -> None:
    """During a rotation there are two signatures, the new key's first, and a receiver with either secret accepts."""
    old, new, now = bytes(32), bytes(range(32)), int(time.time())
    signature = Signer([new, old]).headers("msg_1", now, b"{}")
    assert signature.split(" ")[0] == Signer([new]).headers("msg_1", now, b"{}")
    assert len(signature.split(" ")) == 2
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}
    for key in (old, new):
        standardwebhooks.webhooks.Webhook(whsec(key)).verify(b"{}", headers)
        svix.webhooks.Webhook(whsec(key)).verify(b"{}", headers)


# ---- the headers of an attempt ----


def test_the_headers_of_an_attempt() -> None:
    """A call carries the documented headers in a fixed order, the store's own behind them, and verifies."""
    clock = SystemClock()
    one = webhook(headers=seal_headers([("x-token", "hush")], VAULT, "shop", "wh_1"))
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    headers = Signatures(VAULT, clock).headers(one, delivery(attempt=2, traceparent=trace))
    assert [name for name, _ in headers] == [
        "content-type",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "hookline-attempt",
        "hookline-webhook",
        "traceparent",
        "x-token",
    ]
    found = dict(headers)
    assert found["hookline-attempt"] == "3"
    assert found["webhook-id"] == "msg_1"
    assert found["x-token"] == "hush"
    assert found["user-agent"].startswith("Hookline/")
    standardwebhooks.webhooks.Webhook(whsec(KEY)).verify(b"{}", found)


@pytest.mark.parametrize(
    "body", [b"", b" {} ", b"{}\n", b"\xef\xbb\xbf{}", b"\r\n", b"\0", bytes(range(256)), b"x" * 70_000 + b"y", b"z" * 3_000_000]
)
def test_every_byte_of_the_body_is_signed(body: bytes) -> None:
    """The signature is that of the very bytes that are sent: nothing is trimmed, decoded or left out at the end."""
    expected = hmac.digest(KEY, b"msg_1.1614265330." + body, "sha256")
    assert Signer([KEY]).headers("msg_1", 1614265330, body) == "v1," + base64.b64encode(expected).decode()


def test_each_attempt_is_signed_anew() -> None:
    """A later attempt has the same id, another timestamp and another signature."""
    clock = FakeClock()
    signatures = Signatures(VAULT, clock)
    first = dict(signatures.headers(webhook(), delivery()))
    clock.move(5)
    second = dict(signatures.headers(webhook(), delivery(attempt=1)))
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 5
    assert first["webhook-signature"] != second["webhook-signature"]


def test_an_old_secret_signs_until_it_runs_out() -> None:
    """A replaced secret signs beside the new one for its grace, and not a moment longer, though nothing else changes."""
    clock = FakeClock()
    now_us = to_us(clock.at)
    old = SealedSecret(VAULT.seal(bytes(32), aad_of("shop", "wh_1", 1)), 1, now_us + 60_000_000)
    new = SealedSecret(VAULT.seal(KEY, aad_of("shop", "wh_1", 2)), 2)
    rotated, signatures = webhook(secrets=(new, old)), Signatures(VAULT, clock)
    assert len(dict(signatures.headers(rotated, delivery()))["webhook-signature"].split()) == 2
    clock.move(61)
    assert len(dict(signatures.headers(rotated, delivery()))["webhook-signature"].split()) == 1


def test_a_changed_webhook_is_signed_with_its_new_secret() -> None:
    """What is cached of a webhook does not outlive a change of it."""
    clock = FakeClock()
    signatures = Signatures(VAULT, clock)
    before = dict(signatures.headers(webhook(), delivery()))["webhook-signature"]
    other = webhook(secrets=(SealedSecret(VAULT.seal(bytes(40), aad_of("shop", "wh_1", 3)), 3),))
    assert dict(signatures.headers(other, delivery()))["webhook-signature"] != before
    signatures.forget("wh_1")
    assert dict(signatures.headers(webhook(), delivery()))["webhook-signature"] == before


def test_a_missing_key_is_an_error_of_ours() -> None:
    """A secret sealed with a key that is not configured raises, naming the key."""
    with pytest.raises(ConfigError, match="k1"):
        Signatures(Vault((MasterKey("k2", bytes(32)),)), FakeClock()).headers(webhook(), delivery())


def test_what_the_log_shows() -> None:
    """The log has neither the signature nor a value that the store chose."""
    one = webhook(headers=seal_headers([("x-token", "hush")], VAULT, "shop", "wh_1"))
    text = shown(Signatures(VAULT, FakeClock()).headers(one, delivery()), one)
    assert "hush" not in text
    assert "v1," not in text
    assert "x-token: ********" in text
    assert "webhook-id: msg_1" in text


@given(
    st.one_of(st.just("msg_1"), st.text(max_size=5), st.text("ab\r\n\0: \x7f\xe9\u20ac", max_size=5)),
    st.one_of(st.just(""), st.just("00-" + "a" * 32 + "-" + "b" * 16 + "-01"), st.text("a\n\xe9\u20ac", max_size=3)),
    st.integers(0, 30),
    st.sampled_from([(), (("x-token", "hush"),), (("content-type", "text/xml"), ("traceparent", "mine"))]),
    st.sampled_from([None, Content(b"<a/>", "text/xml", ()), Content(b"x", "application/json", (("x-event", "1"),))]),
    st.booleans(),
)
def test_what_is_sent_and_shown_is_what_the_headers_make_whoever_writes_it(
    number: str, trace: str, attempt: int, own: tuple[tuple[str, str], ...], content: Content | None, rotated: bool
) -> None:
    """The usual call's lines are written in one go; they, and the log's text, are the same as from the pairs, or left to those."""
    clock = FakeClock()
    now_us = to_us(clock.at)
    secrets = (
        (*webhook().secrets, SealedSecret(VAULT.seal(bytes(32), aad_of("shop", "wh_1", 2)), 2, now_us + 1))
        if rotated
        else webhook().secrets
    )
    one, signatures = webhook(secrets=secrets, headers=seal_headers(own, VAULT, "shop", "wh_1")), Signatures(VAULT, clock)
    made = delivery(attempt=attempt, traceparent=trace, delivery_id=number)
    request, text = signatures.request(one, made, content=content)
    assert request.headers == signatures.headers(one, made, content=content)
    assert text == shown(request.headers, one)
    assert (request.url, request.timeout_s, request.webhook_id, request.identity) == (one.url, one.timeout_s, one.id, None)
    assert request.body == (made.body if content is None else content.body)
    if request.lines:
        assert request.lines == header_lines(request.headers)
    usual = content is None and not own and (number + trace).isascii() and (number + trace).isprintable()
    assert bool(request.lines) == usual


def test_a_receiver_that_repeats_our_headers_does_not_bring_them_into_the_log() -> None:
    """The store's own values are masked in head, body and failure, whole and word by word; the rest of an answer is as it came."""
    one = webhook(headers=seal_headers([("authorization", "Bearer topsecret"), ("x-n", "12345")], VAULT, "shop", "wh_1"))
    headers = Signatures(VAULT, FakeClock()).headers(one, delivery())
    reply = Reply(500, "x-echo: Bearer topsecret", b'{"token":"topsecret","n":"12345"}' + b"topsecret" * 2_000, 1.0, "topsecret")
    found = without_echoes(reply, headers, one)
    assert isinstance(found, Reply)
    assert found.headers == "x-echo: ********"
    assert found.body.startswith(b'{"token":"********","n":"12345"}')
    assert b"topsecret" not in found.body
    assert len(found.body) <= MAX_BODY
    assert (found.status, found.retry_after) == (500, "topsecret")
    failure = without_echoes(Failure(ErrorKind.PROTOCOL, "bad line: topsecret", 1.0), headers, one)
    assert failure == Failure(ErrorKind.PROTOCOL, "bad line: ********", 1.0)
    plain = webhook()
    assert without_echoes(reply, Signatures(VAULT, FakeClock()).headers(plain, delivery()), plain) is reply


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_receiver_that_repeats_the_signature_does_not_bring_it_into_the_log(own: bool, escaped: bool) -> None:
    """Both signatures of a rotation are masked in head, body and failure, also without their version and as JSON with escaped slashes."""
    now_us = to_us(FakeClock().at)
    sealed = [SealedSecret(VAULT.seal(bytes([n] * 32), aad_of("shop", "wh_1", n)), n, now_us + 60_000_000) for n in (8, 9)]
    one = webhook(secrets=tuple(sealed), headers=seal_headers([("x-n", "topsecret")], VAULT, "shop", "wh_1") if own else ())
    headers = Signatures(VAULT, FakeClock()).headers(one, delivery())
    signed = dict(headers)["webhook-signature"].replace("/", "\\/" if escaped else "/")
    digests = [piece.removeprefix("v1,") for piece in signed.split()]
    assert [("/" in digest, len(digest.replace("\\", ""))) for digest in digests] == [(True, 44)] * 2
    for echo in (signed, *digests):
        for reply in (Reply(400, f"x-echo: {echo}", b"", 1.0), Reply(400, "", f'{{"got":"{echo}"}}'.encode(), 1.0)):
            assert_unsigned(without_echoes(reply, headers, one), digests)
        assert_unsigned(without_echoes(Failure(ErrorKind.PROTOCOL, f"bad line: {echo}", 1.0), headers, one), digests)


def assert_unsigned(result: Result, digests: list[str]) -> None:
    """Hold a result to have masked what it repeated."""
    assert not any(digest in repr(result).replace("\\\\", "\\") for digest in digests)
    assert "********" in repr(result)


def test_a_webhook_presents_its_own_certificate_and_no_other_any() -> None:
    """What the transport is given is the webhook's certificate as it is by now; one that no key opens is an error of ours."""
    clock = FakeClock()
    signatures = Signatures(VAULT, clock)
    assert signatures.identity(webhook()) is None
    first, second = (
        webhook(number, client_certificate=seal_certificate(certified.given(key, clock.at), VAULT, "shop", f"wh_{number}", clock.at))
        for number, key in ((1, certified.P256), (2, certified.OTHER))
    )
    found = [signatures.identity(one) for one in (first, second)]
    assert found == [open_identity(first, VAULT), open_identity(second, VAULT)]
    assert found[0] != found[1]
    assert signatures.identity(replace(first, client_certificate=None)) is None
    with pytest.raises(ConfigError):
        signatures.identity(replace(second, id="wh_1"))
