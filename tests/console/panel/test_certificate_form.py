"""A client certificate in the panel: given in the form, shown on the page, its key never, taken away by a tick."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest

from tests.webhooks.certified import OTHER, certificate, pem

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Panel = Any  # the fixtures' classes stand in conftest.py
Shop = Any
SAVE: Final = "form.hook .actions button.first"
CERTIFICATE: Final = "[name='client_certificate.certificate']"
KEY: Final = "[name='client_certificate.private_key']"


def test_a_client_certificate_is_given_and_taken_away(panel: Panel, shop: Shop) -> None:
    """A key that does not fit is told at its field and not shown again; then the page names the certificate, until it is ticked away."""
    page = panel.open(f"/s/{shop.store}/webhooks/new")
    page.fill("#url", "https://hooks.example.com/mutual")
    page.check("input[value='order.created']")
    page.click("summary >> text=Client certificate")
    page.fill(CERTIFICATE, certificate(at=datetime.now(UTC)))
    page.fill(KEY, pem(OTHER))
    page.click(SAVE)
    assert "not that of the certificate" in page.inner_text("#problem")
    assert page.get_attribute(KEY, "aria-invalid") == "true"
    assert (page.input_value(KEY), "BEGIN CERTIFICATE" in page.input_value(CERTIFICATE)) == ("", True)
    panel.accessible()
    page.fill(KEY, pem())
    page.click(SAVE)
    page.wait_for_selector("text=shown this once")
    [made] = shop.admin.get("/webhooks").json["data"]
    page = panel.open(f"/s/{shop.store}/webhooks/{made['id']}")
    assert made["client_certificate"]["fingerprint_sha256"] in page.inner_text("dl.facts")
    assert "The client certificate ends soon" in page.inner_text("main")
    page = panel.open(f"/s/{shop.store}/webhooks/{made['id']}/edit")
    page.click("summary >> text=Client certificate")
    assert page.input_value(CERTIFICATE) == ""
    panel.accessible()
    page.check("[name='without_certificate']")
    page.click(SAVE)
    page.wait_for_selector("dl.facts")
    assert shop.admin.get(f"/webhooks/{made['id']}").json["client_certificate"] is None
