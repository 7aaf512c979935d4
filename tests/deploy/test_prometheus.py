"""The alert rules: every metric in them is one of ours, every alert has its section in the runbook, and promtool's own tests pass."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

pytestmark = pytest.mark.unit

ROOT: Final = Path(__file__).parent.parent.parent
RULES: Final = ROOT / "deploy" / "prometheus" / "hookline.rules.yaml"
CASES: Final = RULES.with_name("hookline.tests.yaml")
PROMTOOL: Final = shutil.which("promtool")
_SUFFIXES: Final = ("_bucket", "_count", "_sum")


def alerts() -> list[str]:
    """Return the names of all alerts."""
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def our_metrics() -> set[str]:
    """Return the names of all metrics, as the code makes them."""
    found: set[str] = set()
    for room in ("hookline", "producers", "webhooks", "dispatcher", "analytics", "console"):
        for path in (ROOT / room).rglob("metrics.py"):
            found |= set(re.findall(r'"(hookline_[a-z_]+)"', path.read_text()))
    return found


def test_rules_use_metrics_that_there_are() -> None:
    """A metric that was renamed would make its alert silent for ever."""
    known = our_metrics()
    asked = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    used = set(re.findall(r"\b(hookline_[a-z_]+)\b", " ".join(asked)))
    assert used
    assert {name for name in used if name not in known and not (name.endswith(_SUFFIXES) and name.rpartition("_")[0] in known)} == set()


@pytest.mark.parametrize("name", alerts())
def test_every_alert_has_a_runbook_and_a_test(name: str) -> None:
    """The runbook's section is the one that the alert names, and promtool's tests see the alert fire."""
    rules, runbook = RULES.read_text(), (ROOT / "docs" / "runbook.md").read_text()
    assert f'runbook_url: "{{{{ $externalLabels.hookline_docs }}}}/runbook.html#{name.lower()}"\n' in rules
    assert f"### {name}\n" in runbook
    fired = re.findall(r"alertname: (\w+)\n\s+eval_time: \w+\n\s+exp_alerts:\n", CASES.read_text())
    assert name in fired


def test_the_address_of_the_runbook_is_configured() -> None:
    """Prometheus's configuration gives the label that the links begin with, and takes it from the alerts that it sends."""
    config = yaml.safe_load(RULES.with_name("prometheus.yaml").read_text())
    assert config["global"]["external_labels"]["hookline_docs"].startswith("https://")
    assert config["alerting"]["alert_relabel_configs"] == [{"action": "labeldrop", "regex": "hookline_docs"}]


def test_a_component_without_any_target_is_missed() -> None:
    """Every component that is scraped is also missed when its targets vanish."""
    config = yaml.safe_load(RULES.with_name("prometheus.yaml").read_text())
    scraped = {each["labels"]["component"] for job in config["scrape_configs"] for each in job["static_configs"]}
    assert set(re.findall(r'absent\(up\{job="hookline", component="(\w+)"\}\)', RULES.read_text())) == scraped


def test_the_runbook_knows_no_other_alerts() -> None:
    """A section without an alert is left over."""
    assert set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)) == set(alerts())


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here (Debian: apt-get install prometheus)")
def test_promtool_agrees() -> None:
    """Prometheus itself finds the rules sound, and sees each alert fire when it should and stay silent when it should not."""
    for command in (
        ["check", "rules", str(RULES)],
        ["test", "rules", str(CASES)],
        ["check", "config", "--syntax-only", str(RULES.with_name("prometheus.yaml"))],
    ):
        done = subprocess.run([str(PROMTOOL), *command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
