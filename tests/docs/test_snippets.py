"""What README and docs tell a reader to type is typed here, on one real `hookline up`; what is not stands in the closed list."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest

from hookline.console.http.openapi import document
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.kernel.config import load
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.transport_conformance import Conformance
from tests.docs.pages import Block, Command, block, commands
from tests.docs.reader import IN_PLACE_OF, Reader, environment, prepared, receiving
from tests.docs.typed import DATA, IN_SENTENCES, PROGRAMS, TYPED

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

BY_NAME: Final = {  # pages whose programs are parts of one: the tests below run them
    "docs/console.md": "test_a_route_is_made_of_three_things",
    "docs/signatures.md": "test_a_real_call_passes_both_functions",
    "docs/transport.md": "test_a_transport_of_ones_own_gets_the_whole_suite",
}
WHOLE: Final = [each for each in PROGRAMS if each.page not in BY_NAME]
EXAMPLES: Final = [each for each in DATA if each.page == "docs/events.md"]
FILES: Final = {"docs/templates.md": "body.json", "docs/webhooks.md": "webhooks.yaml"}
"""What other blocks of a page read, under the name that they give it."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Yield a reader beside a running `hookline up`."""
    folder = tmp_path_factory.mktemp("reader")
    with receiving() as receiver, (folder / "up.log").open("wb") as log:
        found = Reader(folder, receiver, environment())
        process = subprocess.Popen(["hookline", "up"], env=found.environ, cwd=folder, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 240
            while not (folder / ".hookline" / "environment.json").exists():
                assert process.poll() is None, (folder / "up.log").read_text()
                assert time.monotonic() < deadline, (folder / "up.log").read_text()
                time.sleep(0.2)
            prepared(found)
            for page, name in FILES.items():
                [content] = [each.text for each in DATA if each.page == page]
                (folder / name).write_text(content, "utf-8")
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(150)


@pytest.mark.parametrize("one", TYPED, ids=str)
def test_what_is_typed_into_a_shell_works(reader: Reader, one: Block) -> None:
    """Each command succeeds, one after the other, with what those before it printed; each request gets the answer on the page."""
    reader.sits_down(one.page)
    for command in commands(one.text):
        reader.type(one.page, command)


@pytest.mark.parametrize(("text", "page"), IN_SENTENCES.items())
def test_what_a_sentence_says_works(reader: Reader, text: str, page: str) -> None:
    """A command in the middle of a text succeeds too."""
    reader.sits_down(page)
    reader.type(page, Command(text, ""))


@pytest.mark.parametrize("one", WHOLE, ids=str)
def test_a_program_runs(reader: Reader, one: Block) -> None:
    """As it stands, in the folder of the running stack."""
    if "log.parquet" in one.text and not (reader.folder / "log.parquet").exists():
        assert reader.run(["hookline", "export", "log.parquet"]).returncode == 0
    program = one.text
    for text, other in IN_PLACE_OF.items():
        program = program.replace(text, other)
    done = reader.run([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert "print(" not in program or re.match(r"\d+ \d+ \[", done.stdout)


def test_every_other_program_has_a_test_here() -> None:
    """By its page."""
    assert {each.page for each in PROGRAMS} - {each.page for each in WHOLE} == set(BY_NAME)
    assert [name for name in BY_NAME.values() if name not in globals()] == []


def test_files_and_examples_are_all_there_is() -> None:
    """Each piece of JSON and YAML is an event, or is read by a command of its page under the name that it has there."""
    assert {each.page for each in DATA} == {"docs/events.md", *FILES}
    for page, name in FILES.items():
        assert [each for each in TYPED if each.page == page and name in each.text], name


def test_every_example_event_is_taken(reader: Reader) -> None:
    """Each of the 17 examples can be published as it stands."""
    names = {each["type"]: each for each in reader.json("events", "types")}
    assert len(names) == len(EXAMPLES) == 17
    for name, example in zip(_types(), EXAMPLES, strict=True):
        assert name in names
        reader.publish(name, json.loads(example.text))


def _types() -> list[str]:
    """Return the event types of the page in its order."""
    from tests.docs.pages import text_of

    return re.findall(r"^### ([a-z._]+)$", text_of("docs/events.md"), re.MULTILINE)


def test_a_real_call_passes_both_functions(reader: Reader) -> None:
    """The two receivers on the page of signatures verify a call that a dispatcher made."""
    made = reader.json("webhooks", "create", "--url", f"{reader.receiver.url}/signatures", "--type", "order.paid")
    tested = reader.run(["hookline", "webhooks", "test", made["id"]])
    assert tested.returncode == 0, tested.stderr
    [(headers, body)] = [(headers, body) for path, headers, body in reader.receiver.calls if path == "/signatures"]
    names: dict[str, Any] = {}
    for each in PROGRAMS:
        if each.page == "docs/signatures.md":
            exec(each.text, names)
    assert names["receive"](headers, body, made["secret"]) == names["verify"](headers, body, made["secret"]) == json.loads(body)


def test_a_route_is_made_of_three_things() -> None:
    """The made-up route on the console's page answers, and is in the OpenAPI document."""
    names: dict[str, Any] = {"__name__": "greetings"}
    exec(block("docs/console.md", "from typing"), names)
    assert names["greet"](SimpleNamespace(store_id="demo")).value.text == "hello demo"
    made = document(names["ROUTES"])
    assert list(made["paths"]) == ["/api/v1/greetings"]
    assert made["components"]["schemas"]["Greeting"]["properties"]["text"]["description"] == "what to say"


def test_a_transport_of_ones_own_gets_the_whole_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class on the transport's page inherits every test, and makes what they ask for."""
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(MyTransport=NativeTransport))
    names: dict[str, Any] = {"__name__": "test_mine"}
    exec(block("docs/transport.md", "import ssl"), names)
    assert issubclass(names["TestMine"], Conformance)
    assert isinstance(names["TestMine"]().make(load(UrlPolicy, {})), NativeTransport)
