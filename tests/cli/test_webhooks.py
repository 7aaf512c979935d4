"""`hookline webhooks` over the real broker: what people and programs see, and what bad input gets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from standardwebhooks.webhooks import Webhook as Verifier

from hookline.cli import output
from hookline.console.audit import AuditLog
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.audit import Entry
from hookline.schemas.registry import open_registry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.kafka

URL = "https://hooks.example.com/orders"
OWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def environ(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Give the test topics of its own, on the session's broker."""
    found = {
        **kafka_environ,
        "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}",
        "HOOKLINE_EVENT_PARTITIONS": "1",
        "HOOKLINE_RETRY_PARTITIONS": "1",
        "HOOKLINE_ATTEMPT_PARTITIONS": "1",
        "HOOKLINE_RETRY_TIERS": "300ms,1s",
        "HOOKLINE_RETRY_SCHEDULE": "300ms",
        "HOOKLINE_PARK_TIERS": "300ms",
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    create(load(KafkaConfig, found), specs(Topics(found["HOOKLINE_TOPIC_PREFIX"]), load(TopicsConfig, found)), 1)
    return found


def made(hookline: Callable[..., Any], *more: str, url: str = URL, kind: str = "order.created") -> dict[str, Any]:
    """Create a webhook; return what was shown."""
    said = hookline("webhooks", "create", "--url", url, "--type", kind, "--json", *more)
    assert said.status == 0, said.err
    found: dict[str, Any] = said.json
    return found


def test_the_life_of_a_webhook(hookline: Callable[..., Any]) -> None:
    """Create, list, show, update, pause, resume, disable, enable, rotate, delete: each tells in JSON what is now."""
    created = made(hookline, "--name", "Warehouse", "--store", "shop", "--header", "Authorization: Bearer topsecret")
    webhook_id = created["id"]
    assert (created["store_id"], created["state"], created["version"], created["url"]) == ("shop", "enabled", 1, URL)
    assert created["secret"].startswith("whsec_")
    assert created["headers"] == ["authorization: ********"]

    assert [row["id"] for row in hookline("webhooks", "list", "--json").json] == [webhook_id]
    assert hookline("webhooks", "list", "--store", "another", "--json").json == []
    shown = hookline("webhooks", "show", webhook_id, "--json")
    assert shown.json == {name: value for name, value in created.items() if name != "secret"}
    assert "topsecret" not in shown.out

    changed = hookline(
        "webhooks", "update", webhook_id, "--type", "order.paid", "--type", "order.created", "--timeout", "20", "--json"
    ).json
    assert (changed["event_types"], changed["timeout_s"], changed["name"], changed["version"]) == (
        ["order.paid", "order.created"],
        20.0,
        "Warehouse",
        2,
    )
    assert hookline("webhooks", "update", webhook_id, "--header", "", "--json").json["headers"] == []
    assert hookline("webhooks", "pause", webhook_id, "--json").json["state"] == "paused"
    assert hookline("webhooks", "resume", webhook_id, "--json").json["state"] == "enabled"
    disabled = hookline("webhooks", "disable", webhook_id, "--reason", "moving house", "--json").json
    assert (disabled["state"], disabled["state_reason"]) == ("disabled", "moving house")
    assert hookline("webhooks", "enable", webhook_id, "--json").json["state"] == "enabled"

    rotated = hookline("webhooks", "rotate-secret", webhook_id, "--secret", OWN_SECRET, "--json").json
    assert rotated["secret"] == OWN_SECRET
    assert rotated["old_secret_signs_until"].endswith("Z")
    ended = hookline("webhooks", "rotate-secret", webhook_id, "--overlap-hours", "0", "--json").json
    assert ended["old_secret_signs_until"] == ""

    assert hookline("webhooks", "delete", webhook_id, "--yes", "--json").json == {"id": webhook_id, "deleted": True}
    assert hookline("webhooks", "list", "--json").json == []


def test_a_template_is_given_by_name_or_from_a_file(hookline: Callable[..., Any], tmp_path: Path) -> None:
    """A preset, JSON, or a file with it; an empty one takes it away."""
    (tmp_path / "body.json").write_text('{"text": "Bestellung ${data.order.number} ü"}', "utf-8")
    webhook_id = made(hookline, "--template", "slack")["id"]
    for given, wanted in ((f"@{tmp_path}/body.json", '{\n  "text": "Bestellung ${data.order.number} ü"\n}'), ("", "")):
        assert hookline("webhooks", "update", webhook_id, "--template", given, "--json").json["template"] == wanted


def test_people_get_tables_and_hints(hookline: Callable[..., Any]) -> None:
    """Without --json: an empty list says how to begin, creating says to keep the secret, the list is a table."""
    assert "hookline webhooks create" in hookline("webhooks", "list").out
    said = hookline("webhooks", "create", "--url", URL, "--type", "all", "--name", "[bold]everything[/bold]")
    assert said.status == 0
    assert "whsec_" in said.out
    assert "cannot be shown again" in said.err
    listed = hookline("webhooks", "list")
    assert "[bold]everything[/bold]" in listed.out
    assert "order.created +16" in listed.out
    assert "newsletter.signed_up" not in listed.out
    assert "newsletter.signed_up" in hookline("webhooks", "list", "--wide").out
    assert "whsec_" not in listed.out
    webhook_id = next(word for word in said.out.split() if word.startswith("wh_"))
    assert "enabled" in hookline("webhooks", "show", webhook_id).out
    assert "cannot be shown again" in hookline("webhooks", "rotate-secret", webhook_id).err


def test_the_list_fits_the_terminal(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns: id and state whole, what is long gives way; --wide shows it in full."""
    long = "https://hooks.example.com/" + "orders/" * 20
    webhook_id = made(hookline, "--name", "The order desk of the shop at the corner", "--type", "order.paid", url=long)["id"]
    monkeypatch.setattr(output, "console", lambda: Console(width=80, highlight=False))
    said = hookline("webhooks", "list")
    assert max(len(line) for line in said.out.splitlines()) <= 80
    [line] = [line for line in said.out.splitlines() if webhook_id in line]
    assert "enabled" in line
    assert "…" in line
    assert "store id" not in hookline("webhooks", "list", "--store", "demo").out
    wide = hookline("webhooks", "list", "--wide").out
    assert "…" not in wide


BAD = {
    # what is wrong: the arguments, and what the error says
    "no such scheme": (("--url", "ftp://hooks.example.com/"), "must begin with https://"),
    "an address inside": (("--url", "https://10.0.0.1/hook"), "leads to an address (private)"),
    "metadata": (("--url", "https://169.254.169.254/latest"), "link-local"),
    "an address in disguise": (("--url", "https://0x7f000001/"), "full name such as"),
    "a local name": (("--url", "https://kafka.svc/"), "not a public host"),
    "a password in the URL": (("--url", "https://user:topsecret@hooks.example.com/"), "put them into a header"),
    "a broken filter": (("--filter", "data.order.total >"), "no CEL at position 19"),
    "an unknown name": (("--filter", "order.total > 5"), "'order', which is not there"),
    "a misspelt field": (("--filter", "data.order.totl > 5"), "'totl'"),
    "a costly filter": (("--filter", r"data.order.number.matches(r'\p{L}{500}')"), "too costly"),
    "an unknown preset": (("--template", "slak"), "no preset 'slak'"),
    "a template that is no JSON": (("--template", '{"text": '), "The template is no JSON"),
    "a template that fails": (("--template", '{"text": "${data.order.totl}"}'), "template.text, ${data.order.totl}: the event has no"),
    "a file that is not there": (("--template", "@nowhere.json"), "nowhere.json cannot be read"),
    "a short secret": (("--secret", "whsec_aHVudGVyMg=="), "24 to 64 random bytes"),
    "no secret at all": (("--secret", "hunter2hunter2"), "24 to 64 random bytes"),
    "an unknown type": (("--type", "order.craeted"), "Did you mean order.created"),
    "a reserved header": (("--header", "Webhook-Id: 1"), "set by Hookline"),
    "a header without colon": (("--header", "Authorization Bearer"), "'Name: value'"),
    "a header with a line break": (("--header", "x-a: b\r\nc: d"), "printable"),
    "a short timeout": (("--timeout", "1"), "from 5 to 30"),
    "an unknown schedule": (("--schedule", "never"), "default or long"),
    "an invisible name": (("--name", "a\u202eb"), "visible characters"),
    "a bad store": (("--store", "../etc"), "1 to 64 characters"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told(hookline: Callable[..., Any], name: str) -> None:
    """Each mistake: status 2, one clear error with what to do or where, no stack trace, no secret repeated."""
    arguments, words = BAD[name]
    base = {"--url": URL, "--type": "order.created"}
    for option in arguments[::2]:
        base.pop(option, None)
    said = hookline("webhooks", "create", *(part for pair in base.items() for part in pair), *arguments)
    assert said.status == 2, said
    assert words in said.err
    assert said.err.startswith("error:")
    assert "what to do: " in said.err or name not in {"a file that is not there", "a bad store"}  # the others' words say it themselves
    assert "topsecret" not in said.err
    assert "hunter2" not in said.err
    assert said.out == ""


def test_bad_input_is_told_without_a_broker(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing mistake is told at once, whether or not Kafka answers."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    for command in (("create", "--url", "https://10.0.0.1/"), ("update", "wh_1", "--filter", "data.x >")):
        said = hookline("webhooks", *command)
        assert said.status == 2
        assert "KAFKA" not in said.err


def test_mistakes_about_webhooks_that_are_there(hookline: Callable[..., Any]) -> None:
    """Unknown ids, nothing to change, another version, twice the same URL, a disabled one: each is told."""
    for command in ("show", "pause", "rotate-secret", "test"):
        said = hookline("webhooks", command, "wh_nothing")
        assert said.status == 2
        assert "no webhook 'wh_nothing'" in said.err
    assert "no webhook" in hookline("webhooks", "delete", "wh_nothing", "--yes").err
    webhook_id = made(hookline)["id"]
    assert "Nothing to change" in hookline("webhooks", "update", webhook_id).err
    stale = hookline("webhooks", "update", webhook_id, "--name", "x", "--if-version", "7")
    assert stale.status == 2
    assert "changed by somebody else" in stale.err
    twin = hookline("webhooks", "create", "--url", URL, "--type", "order.created", "--store", "demo")
    assert twin.status == 2
    assert webhook_id in twin.err
    hookline("webhooks", "disable", webhook_id)
    assert "is disabled" in hookline("webhooks", "resume", webhook_id).err
    assert hookline("webhooks", "create").status == 2
    assert hookline("webhooks", "update", webhook_id, "--timeout", "soon").status == 2


def test_deleting_asks_first(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without --yes the answer decides, and no answer means no."""
    webhook_id = made(hookline)["id"]
    answers = tmp_path / "answers"
    for answer, left in (("n\n", 1), ("", 1), ("y\n", 0)):
        answers.write_text(answer)
        with answers.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert (hookline("webhooks", "delete", webhook_id).status == 0) is (left == 0)
        assert len(hookline("webhooks", "list", "--json").json) == left


def test_keys_are_needed_for_writing_alone(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only looks needs no key of the secrets; who writes is told which variable to set, and never what it held."""
    made(hookline)
    monkeypatch.delenv("HOOKLINE_SECRET_KEYS")
    assert hookline("webhooks", "list").status == 0
    missing = hookline("webhooks", "create", "--url", URL + "2", "--type", "order.created")
    assert missing.status == 1
    assert "HOOKLINE_SECRET_KEYS is not set" in missing.err
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", "a:topsecret")
    wrong = hookline("webhooks", "create", "--url", URL + "2", "--type", "order.created")
    assert "HOOKLINE_SECRET_KEYS" in wrong.err
    assert "topsecret" not in wrong.err


def test_a_broker_that_is_away_is_named(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody at the address: status 1, the variable, no stack trace."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    said = hookline("webhooks", "list")
    assert said.status == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in said.err


def test_missing_topics_are_named(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster without our topics: the command that makes them is told."""
    monkeypatch.setenv("HOOKLINE_TOPIC_PREFIX", "nobody")
    said = hookline("webhooks", "list")
    assert said.status == 1
    assert "nobody.webhooks does not exist" in said.err
    assert "hookline topics create" in said.err


# ---- the test call ----


class Receiver:
    """A real receiver that answers with `status` and keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.calls: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"thanks")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver on this machine."""
    found = Receiver()
    yield found
    found.stop()


@pytest.fixture
def dispatcher(environ: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a running dispatcher process."""
    with (tmp_path / "dispatcher.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hookline.cli.main", "dispatch"],
            env={**os.environ, **environ, "HOOKLINE_STATE_DIR": str(tmp_path)},
            stdout=log,
            stderr=log,
        )
    yield process
    process.terminate()
    process.wait(30)


@pytest.mark.process
@pytest.mark.usefixtures("dispatcher")
def test_a_test_call_shows_the_receivers_answer(hookline: Callable[..., Any], receiver: Receiver, tmp_path: Path) -> None:
    """`test` makes one signed call that the official library verifies; its status follows the receiver's."""
    webhook = made(hookline, "--header", "Authorization: Bearer topsecret", url=receiver.url)
    said = hookline("webhooks", "test", webhook["id"], "--json")
    assert said.status == 0, said.err
    assert (said.json["outcome"], said.json["http_status"], said.json["response_body"]) == ("delivered", 200, "thanks")
    assert "topsecret" not in said.out
    headers, body = receiver.calls[0]
    assert headers["authorization"] == "Bearer topsecret"
    assert Verifier(webhook["secret"]).verify(body, headers)["type"] == "order.created"

    data = tmp_path / "data.json"
    data.write_text('{"order": 1}')
    for text in ("{", "[]", '{"order": 1}', f"@{data}", f"@{tmp_path}/missing"):
        said = hookline("webhooks", "test", webhook["id"], "--data", text)
        assert said.status == 2
        assert "data" in said.err or "cannot be read" in said.err
        assert "what to do: " in said.err
    assert hookline("webhooks", "test", webhook["id"], "--type", "order.nothing").status == 2

    receiver.status = 500
    said = hookline("webhooks", "test", webhook["id"])
    assert said.status == 1
    assert "500" in said.out


def test_a_test_call_without_a_dispatcher_says_so(hookline: Callable[..., Any]) -> None:
    """Nobody there to make the call: status 1, and what to start."""
    webhook = made(hookline)
    said = hookline("webhooks", "test", webhook["id"], "--wait", "0.5")
    assert said.status == 1
    assert "hookline dispatch" in said.err


def audited(environ: dict[str, str]) -> list[Entry]:
    """Return the entries of the store's audit, the oldest first."""
    registry = open_registry(environ)
    registry.start()
    log = AuditLog(load(KafkaConfig, environ), Topics(environ["HOOKLINE_TOPIC_PREFIX"]), Codec(registry))
    log.start()
    try:
        return sorted(log.of_store("shop"), key=lambda entry: entry.id)
    finally:
        log.stop()
        registry.stop()


def test_what_the_command_line_changes_is_on_the_audit(hookline: Callable[..., Any], environ: dict[str, str]) -> None:
    """Every change of a webhook and of a key leaves one line, by the command line, with digests and no secret."""
    webhook_id = made(hookline, "--store", "shop")["id"]
    for steps in (("update", webhook_id, "--timeout", "20"), ("pause", webhook_id), ("resume", webhook_id), ("disable", webhook_id)):
        assert hookline("webhooks", *steps).status == 0
    assert hookline("webhooks", "enable", webhook_id).status == 0
    secret = hookline("webhooks", "rotate-secret", webhook_id, "--json").json["secret"]
    assert hookline("webhooks", "delete", webhook_id, "--yes").status == 0
    key = hookline("api-keys", "create", "--store", "shop", "--json").json
    assert hookline("api-keys", "revoke", key["id"]).status == 0

    found = audited(environ)
    verbs = ("create", "update", "pause", "resume", "disable", "enable", "rotate-secret", "delete")
    assert [entry.action for entry in found] == [*(f"webhook.{verb}" for verb in verbs), "api-key.create", "api-key.revoke"]
    assert {(entry.actor, entry.store_id) for entry in found} == {("command-line", "shop")}
    assert [entry.target for entry in found] == [webhook_id] * 8 + [key["id"]] * 2
    assert (found[0].before, found[7].after) == ("", "")
    assert found[1].before == found[0].after != found[1].after
    raw = repr(found)
    assert secret not in raw
    assert key["key"] not in raw
