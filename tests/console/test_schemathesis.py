"""schemathesis makes requests out of the OpenAPI document, right and wrong ones; no answer contradicts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.process]

BUDGET_S: Final = 30
SEED: Final = os.environ.get("HOOKLINE_TEST_SEED", "1")
# What a wrong request may be answered with, beside the tool's own list: our own limits and If-Match.
CONFIG: Final = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "414", "415", "422", "428", "429", "431"]
[checks.missing_required_header]
expected-statuses = ["400", "401", "403", "404", "406", "412", "415", "422", "428", "429"]
"""
# A filter in CEL, a URL that may be called or a secret are not to be told by a JSON schema: some right-looking ones are refused.
NOT_ASKED: Final = "positive_data_acceptance"


@pytest.fixture
def console(kafka_environ: dict[str, str], tmp_path: Path, console_process: Any) -> Iterator[int]:
    """Yield the port of a console that does not mind how often a key is wrong, with a dispatcher beside it."""
    with console_process(kafka_environ, tmp_path, HOOKLINE_CONSOLE_AUTH_FAILURES="100000") as port:
        yield port


def test_schemathesis_finds_nothing(console: int, tmp_path: Path, operator_token: str) -> None:
    """All checks but one, as the operator, for a bounded time; its report is the failure's message."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(tmp_path / "schemathesis.toml"), "run"]
    command += [f"http://127.0.0.1:{console}/api/v1/openapi.json", "--checks", "all", "--exclude-checks", NOT_ASKED]
    command += ["--max-time", str(BUDGET_S), "--generation-database", "none", "--warnings", "off", "--seed", SEED]
    command += ["-H", f"Authorization: Bearer {operator_token}", "-H", "Hookline-Store: fuzz"]
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}  # the tool's own, not ours
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert "Tested: " in done.stdout
