"""`hookline webhooks plan` and `apply` over the real broker: declared, looked at, made, and then nothing more to do."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics, TopicsConfig, create, specs

pytestmark = pytest.mark.kafka

TEXT = """
store: shop
webhooks:
  - name: Warehouse
    url: https://hooks.example.com/in
    event_types: [order.created, order.paid]
    headers:
      authorization: {env: WAREHOUSE_TOKEN}
  - name: Mail
    url: https://mail.example.com/in
    event_types: [customer.created]
    state: paused
    secret: {env: MAIL_SECRET}
"""
OWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def environ(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test topics of its own, and the variables that the file names."""
    found = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}", "HOOKLINE_RETRY_TIERS": "1s"}
    found |= {f"HOOKLINE_{kind}_PARTITIONS": "1" for kind in ("EVENT", "RETRY", "ATTEMPT")}
    found |= {"WAREHOUSE_TOKEN": "Bearer topsecret", "MAIL_SECRET": OWN_SECRET}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    create(load(KafkaConfig, found), specs(Topics(found["HOOKLINE_TOPIC_PREFIX"]), load(TopicsConfig, found)), 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a file that declares two webhooks."""
    made = tmp_path / "webhooks.yaml"
    made.write_text(TEXT, "utf-8")
    return made


def test_declared_planned_applied(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """A plan changes nothing; applied, the webhooks are as declared; a second plan is empty; a changed file is followed."""
    planned = hookline("webhooks", "plan", str(file), "--detailed-exitcode")
    assert planned.status == 2, planned
    assert "2 to create, 0 to change, 0 to delete; 0 as declared." in planned.err
    assert "topsecret" not in planned.out + planned.err
    assert hookline("webhooks", "list", "--json").json == []

    applied = hookline("webhooks", "apply", str(file), "--yes", "--json")
    assert applied.status == 0, applied
    secrets = {row["name"]: row["secret"] for row in applied.json}
    assert secrets["Warehouse"].startswith("whsec_")
    assert secrets["Mail"] == ""  # whoever gave it knows it
    rows = {row["name"]: row for row in hookline("webhooks", "list", "--store", "shop", "--json").json}
    assert {name: row["state"] for name, row in rows.items()} == {"Warehouse": "enabled", "Mail": "paused"}
    assert rows["Warehouse"]["headers"] == ["authorization: ********"]

    again = hookline("webhooks", "plan", str(file), "--detailed-exitcode", "--prune")
    assert again.status == 0, again
    assert "Nothing to do" in again.out
    assert hookline("webhooks", "apply", str(file)).status == 0  # nothing to ask about

    monkeypatch.setenv("WAREHOUSE_TOKEN", "Bearer another")
    file.write_text(TEXT.partition("  - name: Mail")[0].replace("/in", "/out"), "utf-8")
    steps = hookline("webhooks", "plan", str(file), "--prune", "--json").json
    assert [(step["action"], step["name"], sorted(step["fields"])) for step in steps] == [
        ("delete", "Mail", ["url"]),
        ("change", "Warehouse", ["header authorization", "url"]),
    ]
    assert hookline("webhooks", "apply", str(file), "--prune", "--yes").status == 0
    [left] = hookline("webhooks", "list", "--json").json
    assert (left["id"], left["url"]) == (rows["Warehouse"]["id"], "https://hooks.example.com/out")


def test_a_secret_is_shown_once_to_people_too(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Without --json: the plan, a question, each step with the new secret, and the word to keep it."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    said = hookline("webhooks", "apply", str(file))
    assert said.status == 0, said
    assert said.out.count("whsec_") == 1
    assert OWN_SECRET not in said.out + said.err
    assert "cannot be shown again" in said.err
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))
    assert hookline("webhooks", "plan", "-", "--detailed-exitcode").status == 0


def test_what_fails_on_the_way_says_how_far_it_came(hookline: Callable[..., Any], file: Path) -> None:
    """A step that the store refuses ends it: what was made before stands, its secret was shown, and the next plan has the rest."""
    twin = "\n  - {name: Twin, url: 'https://hooks.example.com/in', event_types: [order.paid]}\n"
    file.write_text(TEXT + twin, "utf-8")
    said = hookline("webhooks", "apply", str(file), "--yes")
    assert said.status == 2
    assert "2 of 3 changes were made" in said.err
    assert "whsec_" in said.out
    planned = hookline("webhooks", "plan", str(file))
    assert "1 to create, 0 to change, 0 to delete; 2 as declared." in planned.err
    assert "Warehouse in the file: apply will be refused. Declare one of them, or give it another URL." in planned.err


def test_a_renamed_webhook_is_told(hookline: Callable[..., Any], file: Path) -> None:
    """Plan says what apply would refuse, and with --prune what is lost; with the id that it names it is one change."""
    assert hookline("webhooks", "apply", str(file), "--yes").status == 0
    webhook_id = next(row["id"] for row in hookline("webhooks", "list", "--json").json if row["name"] == "Warehouse")
    file.write_text(TEXT.replace("Warehouse", "Stock"), "utf-8")
    said = f"Stock sends order.created to the URL of {webhook_id}, Warehouse until now. If it was renamed, give it `id: {webhook_id}`; else"
    assert f"{said} apply will be refused." in hookline("webhooks", "plan", str(file)).err
    assert f"{said} Warehouse is deleted" in hookline("webhooks", "plan", str(file), "--prune").err
    assert hookline("webhooks", "apply", str(file), "--yes").status == 2
    file.write_text(TEXT.replace("name: Warehouse", f"name: Stock\n    id: {webhook_id}"), "utf-8")
    [change] = hookline("webhooks", "plan", str(file), "--prune", "--json").json
    assert (change["action"], change["fields"]) == ("change", {"name": {"now": "Warehouse", "wanted": "Stock"}})


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("plan", "nowhere.yaml"), 2, "cannot be read"),
        (("plan", "nowhere.yaml", "--detailed-exitcode"), 1, "cannot be read"),
        (("apply", "nowhere.yaml"), 2, "cannot be read"),
    ],
)
def test_a_mistake_is_told(hookline: Callable[..., Any], arguments: tuple[str, ...], status: int, words: str) -> None:
    """With --detailed-exitcode 2 means that there is something to do, so a mistake leaves with 1."""
    said = hookline("webhooks", *arguments)
    assert said.status == status
    assert words in said.err
    assert "what to do: " in said.err
