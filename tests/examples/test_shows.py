"""The five examples as `make example` shows them, on one running Hookline."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.show import ACTS, Shop
from examples.stand import Stand
from hookline.kernel.config import STATE_DIR
from tests.calm import calmly
from tests.examples.processes import left_of

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SHOP = Shop(rate=120, for_s=3)
# The first that runs low does after some 500 events.
LONGER = Shop(rate=200, for_s=3)
ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "examples")
OURS = ("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_")


def example(*arguments: str, state: str) -> subprocess.CompletedProcess[str]:
    """Run the command of `make example`."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith(OURS)} | {STATE_DIR: state}
    return subprocess.run([*COMMAND, *arguments], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def webhooks(stand: Stand) -> int:
    """Return how many webhooks the store has."""
    return len(stand.ask("GET", "/webhooks")["data"])


@pytest.mark.parametrize(("name", "shop"), [("erp", SHOP), ("low-stock", LONGER), ("marketing", SHOP), ("slack", SHOP)])
def test_a_program_does_its_work_on_a_shop_that_publishes(stand: Stand, name: str, shop: Shop) -> None:
    """What comes out is what was published: the ERP killed at its work, the mail server down, Slack asking to wait."""
    assert ACTS[name](stand, shop) == []
    assert webhooks(stand) == 1
    stand.clear()


def test_an_order_is_on_the_dashboard_within_a_second(stand: Stand) -> None:
    """The command joins a running Hookline, each of twenty orders is pushed within a second of its 202, its webhook is deleted."""

    def attempt() -> None:
        done = example("dashboard", "--join", "--rate=120", "--for=2", state=str(stand.folder / "state"))
        assert done.returncode == 0, done.stdout + done.stderr
        pushed = re.search(r"(\d+) more orders, one by one: each on the page within ([\d,]+) ms", done.stdout)
        assert pushed is not None
        assert int(pushed[1]) == 20
        assert int(pushed[2].replace(",", "")) <= 1_000
        assert "all is as it should be" in done.stdout

    calmly(attempt, tries=3)
    assert webhooks(stand) == 0


def test_nothing_to_join_and_unknown_names_are_told(tmp_path: Path) -> None:
    """Without a running Hookline `--join` says what to do; a name that is none is answered with those there are."""
    alone = example("erp", "--join", state=str(tmp_path))
    assert alone.returncode == 1
    assert alone.stderr == "No `hookline up` runs in this folder. Start it first, or leave --join out.\n"
    unknown = example("crm", state=str(tmp_path))
    assert unknown.returncode == 2
    assert all(name in unknown.stderr for name in ACTS)


def test_ctrl_c_stops_it_at_any_moment(tmp_path: Path) -> None:
    """Stopped while Kafka starts: status 130, no process and no file left."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([*COMMAND, "slack"], env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("starting Kafka" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert left_of(tmp_path) == []
