"""Logs: one JSON object a line, without secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
