"""Declared webhooks: what a file may say, and how a mistake in it is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hookline.kernel.config import load
from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.declared import Declaration, read
from hookline.webhooks.model import State
from hookline.webhooks.urls import UrlPolicy

pytestmark = pytest.mark.unit

POLICY = load(UrlPolicy, {})
ENVIRON = {"TOKEN": "Bearer topsecret", "SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "SHORT": "whsec_aHVudGVyMg=="}
ONE: dict[str, Any] = {"name": "Warehouse", "url": "https://hooks.example.com/in", "event_types": ["order.created"]}


def file(*webhooks: dict[str, Any], **more: Any) -> str:
    """Return a file with these webhooks."""
    return yaml.safe_dump({"store": "shop", "webhooks": list(webhooks), **more})


def declared(text: str) -> Declaration:
    """Return what a file declares."""
    return read(text, ENVIRON, POLICY)


def test_what_is_left_out_has_the_defaults() -> None:
    """Name, URL and event types are enough; the rest is as in a webhook made by hand, and the state is left alone."""
    [one] = declared(file(ONE)).webhooks
    assert (one.event_types, one.filter, one.headers, one.timeout_s, one.schedule) == (("order.created",), "", (), 10.0, "default")
    assert (one.state, one.secret, one.id) == (None, "", "")


def test_all_that_there_is_to_say() -> None:
    """Every field comes through; values of headers and the secret are those of the variables."""
    text = """
store: shop
webhooks:
  - name: Warehouse
    id: wh_1
    url: https://hooks.example.com/in
    event_types: all
    filter: store_id != ""
    template: {text: "${type}"}
    headers:
      Authorization: {env: TOKEN}
    timeout_s: 20
    schedule: long
    state: paused
    secret: {env: SECRET}
"""
    found = declared(text)
    [one] = found.webhooks
    assert found.store_id == "shop"
    assert one.event_types == tuple(EVENT_TYPES)
    assert one.headers == (("authorization", "Bearer topsecret"),)
    assert one.template == '{\n  "text": "${type}"\n}'
    assert (one.id, one.timeout_s, one.schedule, one.state, one.secret) == ("wh_1", 20.0, "long", State.PAUSED, ENVIRON["SECRET"])


def test_the_example_of_the_documentation_is_right() -> None:
    """What docs/webhooks.md shows can be applied."""
    [text] = re.findall(r"```yaml\n(.*?)\n```", (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8"), re.DOTALL)
    [one] = read(text, {"WAREHOUSE_TOKEN": "x"}, POLICY).webhooks
    assert (one.name, one.state, one.headers) == ("Warehouse", State.PAUSED, (("authorization", "x"),))


BAD = {
    "no YAML": ("store: [", "no YAML"),
    "a list": ("- store", "the file: a mapping such as `store: shop` must stand here"),
    "nothing": ("", "the file: a mapping such as `store: shop` must stand here"),
    "a webhook that is a text": ("store: shop\nwebhooks: [x]", "webhooks[0]: a mapping such as `name: Warehouse` must stand here"),
    "no store": ("webhooks: []", "store: field required"),
    "a bad store": ("store: ../etc\nwebhooks: []", "1 to 64 characters"),
    "an unknown field": (file({**ONE, "urls": "x"}), "webhooks[0].urls: extra inputs"),
    "no name": (file({key: value for key, value in ONE.items() if key != "name"}), "webhooks[0].name: field required"),
    "an empty name": (file({**ONE, "name": "  "}), "the name is empty"),
    "the same name twice": (file(ONE, {**ONE, "url": "https://hooks.example.com/b"}), "webhooks[1] (Warehouse): the name is given twice"),
    "a key given twice": ("store: a\nstore: b\nwebhooks: []", "'store' is given twice"),
    "an address inside": (file({**ONE, "url": "https://10.0.0.1/"}), "webhooks[0] (Warehouse): "),
    "a misspelt type": (file({**ONE, "event_types": ["order.craeted"]}), "webhooks[0] (Warehouse): "),
    "types as a text": (file({**ONE, "event_types": "order.created"}), "event_types must be a list"),
    "a broken filter": (file({**ONE, "filter": "data.order.total >"}), "webhooks[0] (Warehouse): "),
    "a header with its value": (file({**ONE, "headers": {"Authorization": "Bearer topsecret"}}), "must come from the environment"),
    "a secret in the file": (file({**ONE, "secret": ENVIRON["SECRET"]}), "must come from the environment"),
    "a variable that is not set": (file({**ONE, "headers": {"x-a": {"env": "MISSING"}}}), "the variable MISSING is not set"),
    "a weak secret": (file({**ONE, "secret": {"env": "SHORT"}}), "24 to 64 random bytes"),
    "a reserved header": (file({**ONE, "headers": {"Webhook-Id": {"env": "TOKEN"}}}), "set by Hookline"),
    "an unknown state": (file({**ONE, "state": "asleep"}), "'enabled', 'paused' or 'disabled'"),
    "a timeout as a text": (file({**ONE, "timeout_s": "20"}), "webhooks[0].timeout_s: "),
    "a tag that makes objects": ("store: !!python/name:os.system x\nwebhooks: []", "no YAML"),
    "too large": ("#" * (1 << 20) + "\n", "larger than"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_told(name: str) -> None:
    """The place, what is wrong, and no secret."""
    text, words = BAD[name]
    with pytest.raises(InputError) as told:
        declared(text)
    assert words in told.value.message
    assert "topsecret" not in told.value.message + told.value.remedy
    assert "_FromEnvironment" not in told.value.message
