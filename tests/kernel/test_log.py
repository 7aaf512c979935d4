"""Logs: one JSON object a line, without secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hookline.kernel.log import redact

pytestmark = pytest.mark.unit

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "hlk_abc_0123456789abcdef_crc", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")


@pytest.mark.parametrize("secret", SECRETS)
def test_secret_looking_text_is_redacted_under_any_key(secret: str) -> None:
    """A secret inside an error message does not reach the log."""
    assert secret not in str(redact(None, "", {"event": f"failed with {secret}", "error": secret}))


def test_secret_looking_keys_are_redacted_whatever_they_hold() -> None:
    """A value under a key such as `password` is hidden."""
    assert redact(None, "", {"sasl_password": "x", "webhook_id": "wh_1"}) == {"sasl_password": "[redacted]", "webhook_id": "wh_1"}


def test_a_line_is_one_json_object_even_with_line_breaks_in_it() -> None:
    """Control characters are escaped, foreign loggers are structured too, exceptions become fields."""
    program = (
        "from hookline.kernel.log import configure, logger; import logging\n"
        "configure('INFO', process='p')\n"
        "logger('a').info('x', text='1\\n2\\x1b[31m')\n"
        "logging.getLogger('foreign').warning('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')\n"
        "try: 1/0\n"
        "except ZeroDivisionError: logger('a').exception('boom')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["x", "[redacted]", "boom"]
    assert lines[0]["text"] == "1\n2\x1b[31m"
    assert lines[2]["exception"][0]["exc_type"] == "ZeroDivisionError"


NESTED: tuple[object, ...] = (
    {"error": {"text": SECRETS[0]}},
    {"error": {"deep": [{"er": ({"x": SECRETS[0]},)}]}},
    {"error": [1, SECRETS[0]]},
    {"error": SECRETS[0].encode()},
    {"error": {"body": b"it was " + SECRETS[0].encode()}},
    {"error": {SECRETS[0]: 1}},
    {"error": ValueError(SECRETS[0])},
    {"error": {SECRETS[0]}},
    {"sasl_password": SECRETS[0].encode()},
    {"detail": {"password": b"plain"}},
    {"detail": {"secrets": ["plain"]}},
    {"detail": {b"api_key": "plain"}},
    {"headers": [("authorization", "plain"), ("x", "y")]},
    {"headers": ((b"webhook-signature", b"plain"),)},
    {"pepper": {"old": "plain"}},
)


@pytest.mark.parametrize("given", NESTED)
def test_a_secret_is_redacted_however_it_is_nested(given: dict[str, object]) -> None:
    """Within lists, maps and bytes, as a key, in the text of an exception: and what was given is not changed for its owner."""
    before = str(given)
    shown = json.dumps(redact(None, "", dict(given)))
    assert "[redacted]" in shown
    assert not [secret for secret in (SECRETS[0], "plain") if secret in shown]
    assert str(given) == before


def test_what_is_no_secret_stays_as_it_is() -> None:
    """Numbers, texts, nothing, lists and maps of them."""
    event = {
        "rows": 3,
        "delay": 1.5,
        "place": None,
        "ok": True,
        "of": {"a": [1, "x", None], "": {}},
        "has_token": False,
        "pair": ["a", "b"],
    }
    assert redact(None, "", dict(event)) == event


def test_redacting_costs_little_whatever_is_given() -> None:
    """What holds itself, is very deep, or is one list many times over is cut off: it would take for ever, or end in an error."""
    own: dict[str, object] = {"secret": SECRETS[0]}
    own["own"] = own
    wide: list[object] = ["x"]
    for _ in range(60):
        wide = [wide] * 10
    began = time.process_time()
    shown = json.dumps(redact(None, "", {"own": own, "wide": wide, "many": [SECRETS[0]] * 1_000_000}))
    assert time.process_time() - began < 1
    assert len(shown) < 100_000
    assert SECRETS[0] not in shown
    assert "[left out]" in shown


def test_a_secret_in_an_exception_reaches_no_log() -> None:
    """Neither in its text, nor in that of its cause, of its notes or of a group's; by our loggers and by foreign ones."""
    program = (
        "from hookline.kernel.log import configure, logger; import logging, sys\n"
        "configure('INFO')\n"
        "one, two, three = sys.argv[1:]\n"
        "def fail():\n"
        "    try: raise ValueError('opening ' + one)\n"
        "    except ValueError as cause:\n"
        "        error = KeyError('of ' + two); error.add_note(three)\n"
        "        raise ExceptionGroup('both ' + one, [error, OSError(three)]) from cause\n"
        "for log in (logger('a'), logging.getLogger('asyncio')):\n"
        "    try: fail()\n"
        "    except ExceptionGroup: log.exception('boom')\n"
        "    log.error('given', exc_info=ValueError(two))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *SECRETS], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["boom", "given"] * 2
    assert [line["exception"][0]["exc_type"] for line in lines] == ["ExceptionGroup", "ValueError"] * 2
    assert lines[0]["exception"][0]["frames"][0]["name"] == "<module>"
    assert not [secret for secret in SECRETS if secret in done.stderr]
    assert "opening [redacted]" in done.stderr


@pytest.mark.parametrize("where", ["full", "closed", "gone"])
def test_a_log_that_cannot_be_written_costs_lines_and_nothing_else(where: str) -> None:
    """Standard error on a full disk, closed, or a pipe whose reader has gone: whoever logs goes on."""
    program = (
        "from hookline.kernel.log import configure, logger; import logging, os, sys\n"
        "if sys.argv[1] == 'closed': os.close(2)\n"
        "configure('INFO')\n"
        "for _ in range(3000): logger('a').info('x', text='y' * 50); logging.getLogger('foreign').warning('z')\n"
        "print('went on')\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("wb") as full, os.fdopen(writing, "wb", buffering=0) as gone:
        error = full if where == "full" else gone
        done = subprocess.run([sys.executable, "-c", program, where], stdout=subprocess.PIPE, stderr=error, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"went on\n")
