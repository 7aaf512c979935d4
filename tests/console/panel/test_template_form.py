"""Templates in the panel: chosen, copied, written, shown with the last events while one types, and what the webhook's page says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Panel = Any  # the fixtures' classes stand in conftest.py
Shop = Any
SAVE: Final = "form.hook .actions button.first"
OWN: Final = '{"text": "Order ${data.order.number}", "<b>": "${data.order.totals.grand_total | money}"}'


def new(panel: Panel, shop: Shop, path: str) -> Any:
    """Open the form of a new webhook for orders."""
    page = panel.open(f"/s/{shop.store}/webhooks/new")
    page.fill("#url", shop.stack.receiver.url(f"{shop.store}/{path}"))
    page.check("input[value='order.created']")
    return page


def test_a_preset_is_chosen_and_shown_with_real_events(panel: Panel, shop: Shop) -> None:
    """What Slack would get of the newest orders stands there before anything is saved, with its type and its size."""
    events = [shop.publish() for _ in range(2)]
    page = new(panel, shop, "slack")
    assert "Receivers get the whole event" in page.inner_text("#filled")
    assert not page.is_visible("#template")
    page.select_option("#template_kind", "slack")
    page.wait_for_selector("#filled >> text=2 real events")
    shown = page.inner_text("#filled")
    assert all(event in shown for event in events)
    assert "Order 10042: 111.10 EUR" in shown
    assert "content-type: application/json" in shown
    panel.accessible()
    panel.shoot("webhook-template-preset")
    assert shop.admin.get("/webhooks").json["data"] == []
    page.click(SAVE)
    page.wait_for_selector("text=shown this once")
    [made] = shop.admin.get("/webhooks").json["data"]
    assert made["template"] == "slack"
    page = panel.open(f"/s/{shop.store}/webhooks/{made['id']}")
    assert "Slack: a message for an incoming webhook" in page.inner_text("dl.facts")
    page = panel.open(f"/s/{shop.store}/webhooks/{made['id']}/edit")
    page.wait_for_selector("#filled >> text=2 real events")
    assert page.input_value("#template_kind") == "slack"


def test_a_preset_is_copied_and_changed(panel: Panel, shop: Shop) -> None:
    """The copy is a template of one's own; it is shown as it changes, and saved as it was written."""
    shop.publish()
    page = new(panel, shop, "copied")
    page.select_option("#template_kind", "discord")
    page.click("text=Make it a template of my own")
    assert page.input_value("#template_kind") == "own"
    copied = page.input_value("#template")
    assert json.loads(copied)["allowed_mentions"] == {"parse": []}
    assert "10042" in page.inner_text("#filled")
    page.fill(
        "#template", copied.replace('"Order $', '"Bestellung $').replace("Order ${data.order.number", "Bestellung ${data.order.number")
    )
    page.wait_for_selector("#filled >> text=Bestellung 10042")
    page.click(SAVE)
    page.wait_for_selector("text=shown this once")
    [made] = shop.admin.get("/webhooks").json["data"]
    assert "Bestellung" in made["template"]


def test_a_mistake_is_told_while_one_types(panel: Panel, shop: Shop) -> None:
    """No JSON, no CEL, a field that is not there: in words, with the place; nothing of it is markup; a template that fits is saved."""
    shop.publish()
    page = new(panel, shop, "mistakes")
    page.select_option("#template_kind", "own")
    for text, said in (
        ('{"text": ', "The template is no JSON"),
        ('{"text": "${data.order.}"}', "template.text, ${data.order.}: the placeholder is no CEL at position 12"),
        ('{"<script>": "${data.order.numbr}"}', "the event has no data.order.numbr"),
    ):
        page.fill("#template", text)
        page.wait_for_selector(f"#filled >> text={said}")
    assert "fails on 1" in page.inner_text("#filled summary")
    panel.accessible()
    panel.shoot("webhook-template-fails")
    page.click(SAVE)
    assert "the event has no data.order.numbr" in page.inner_text("#problem")
    assert page.get_attribute("#template", "aria-invalid") == "true"
    assert page.input_value("#template") == '{"<script>": "${data.order.numbr}"}'
    page.fill("#template", OWN)
    page.wait_for_selector("#filled >> text=111.10 EUR")
    panel.shoot("webhook-template-own")
    page.click(SAVE)
    page.wait_for_selector("text=shown this once")
    [made] = shop.admin.get("/webhooks").json["data"]
    assert json.loads(made["template"]) == json.loads(OWN)
    panel.open(f"/s/{shop.store}/webhooks/{made['id']}")
    panel.accessible()
    panel.shoot("webhook-with-template")
    page = panel.open(f"/s/{shop.store}/webhooks/{made['id']}/edit")
    page.fill("#template", OWN)  # the same in one line is no change
    page.click(SAVE)
    page.wait_for_url("**done=webhook-unchanged")


def test_an_own_template_that_was_not_written_is_asked_for(panel: Panel, shop: Shop) -> None:
    """Chosen and left empty: it says so, and saves nothing."""
    page = new(panel, shop, "empty")
    page.select_option("#template_kind", "own")
    page.wait_for_selector("#filled >> text=Write the template")
    page.click(SAVE)
    assert "Write the template" in page.inner_text("#problem")
    assert shop.admin.get("/webhooks").json["data"] == []


def test_the_doctor_tells_of_a_template_that_fails(panel: Panel, shop: Shop, until: Callable[..., None]) -> None:
    """On the webhook's page, with where it fails and a way to mend it; the log names the kind."""
    hook = shop.webhook(f"{shop.store}/doctor", template={"city": "${data.order.shipping_address.city}"})
    data = shop.admin.get("/event-types/order.created").json["example"]
    data["order"]["shipping_address"] = None
    assert shop.admin.post("/events", {"type": "order.created", "data": data}).status == 202
    until(lambda: shop.lines("error=template_error"), what="the attempt")
    page = panel.open(f"/s/{shop.store}/webhooks/{hook}")
    told = page.inner_text("main")
    assert "The template fails on some events" in told
    assert "the event has no data.order.shipping_address.city" in told
    panel.accessible()
    panel.shoot("webhook-template-doctor")
    page = panel.open(f"/s/{shop.store}/log?webhook={hook}")
    assert "Template failed" in page.inner_text("main")


def test_it_works_without_a_script(panel: Panel, shop: Shop) -> None:
    """The buttons show what is sent, and copy a preset; what was typed stays."""
    shop.publish()
    context = panel.page.context.browser.new_context(java_script_enabled=False, storage_state=panel.page.context.storage_state())
    page = context.new_page()
    page.goto(f"{panel.base}/s/{shop.store}/webhooks/new?event_types=order.created&name=Kept&template_kind=cloudevents-binary")
    page.click("button[name=try_template]")
    assert "ce-type: order.created" in page.inner_text("#filled")
    page.select_option("#template_kind", "teams")
    page.click("button[name=copy_preset]")
    assert "AdaptiveCard" in page.input_value("#template")
    assert (page.input_value("#name"), page.input_value("#template_kind")) == ("Kept", "own")
    context.close()
