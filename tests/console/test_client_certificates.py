"""Client certificates over the API, on the real process: given, shown without the key, replaced, taken away, refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.webhooks.certified import OTHER, P256, certificate, pem

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Client = Any
URL = "https://hooks.example.com/mutual"


def fresh(subject: str = "shop", key: Any = P256) -> dict[str, str]:
    """Return a client certificate that is valid now, as the API takes it."""
    return {"certificate": certificate(key, subject=subject, at=datetime.now(UTC)), "private_key": pem(key)}


def body(**more: Any) -> dict[str, Any]:
    """Return a webhook to make."""
    return {"url": URL, "event_types": ["order.created"], **more}


def test_a_client_certificate_is_shown_without_its_key(admin: Client) -> None:
    """Made with the webhook, shown by subject, fingerprint and end, kept by other changes, replaced, and taken away by an empty one."""
    first = fresh()
    made = admin.post("/webhooks", body(client_certificate=first))
    assert made.status == 201, made
    parsed = x509.load_pem_x509_certificate(first["certificate"].encode())
    shown = made.json["client_certificate"]
    assert shown == {
        "subject": "CN=shop",
        "fingerprint_sha256": parsed.fingerprint(hashes.SHA256()).hex(),
        "not_after": shown["not_after"],
    }
    assert datetime.fromisoformat(shown["not_after"]) == parsed.not_valid_after_utc
    path, match = f"/webhooks/{made.json['id']}", {"If-Match": "*"}
    for kept in ({"name": "other"}, {"name": "more", "client_certificate": None}):
        assert admin.call("PATCH", path, kept, match).json["client_certificate"] == shown
    second = admin.call("PATCH", path, {"client_certificate": fresh("shop-b", OTHER)}, match)
    assert second.json["client_certificate"]["subject"] == "CN=shop-b"
    before, after = (second.json, admin.call("PATCH", path, {"client_certificate": {}}, match))
    assert (after.json["client_certificate"], after.json["version"]) == (None, before["version"] + 1)
    told = [made, second, after, admin.get(path), admin.get("/audit"), admin.get("/webhooks")]
    assert not any(b"PRIVATE" in reply.body or pem().split("\n")[1].encode() in reply.body for reply in told)
    entries = [one for one in admin.get("/audit").json["data"] if one["target"] == made.json["id"]]
    assert sorted(one["action"] for one in entries) == ["webhook.create", *["webhook.update"] * 4]
    assert len({one["after"] for one in entries}) == 5


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"private_key": pem(OTHER)}, "private_key", "not that of the certificate"),
        ({"private_key": pem(password=b"hunter2")}, "private_key", "encrypted"),
        ({"private_key": ""}, "private_key", "not PEM"),
        ({"certificate": certificate(days=(-9, -1))}, "certificate", "expired"),
        ({"certificate": certificate(at=datetime.now(UTC)) * 5}, "certificate", "more than 4"),
        ({"certificate": ""}, "certificate", "not PEM"),
    ],
)
def test_a_bad_one_is_refused_by_code_and_field(admin: Client, given: dict[str, str], field: str, said: str) -> None:
    """The same words when it is made and when it is changed; nothing is written, nothing of the key is repeated."""
    made = admin.post("/webhooks", body()).json
    wrong = {"client_certificate": {**fresh(), **given}}
    for reply in (
        admin.post("/webhooks", body(url=f"{URL}/2", **wrong)),
        admin.call("PATCH", f"/webhooks/{made['id']}", wrong, {"If-Match": "*"}),
    ):
        assert (reply.status, reply.code, reply.json["field"]) == (422, "certificate_invalid", f"client_certificate.{field}")
        assert said in reply.json["detail"]
        assert b"PRIVATE KEY-----\\n" not in reply.body
    assert admin.get(f"/webhooks/{made['id']}").json["version"] == 1


def test_plain_http_presents_none(stack: Stack, admin: Client) -> None:
    """Where an operator allows http, a certificate there is a mistake that is told, also when the URL is changed to it."""
    url = stack.receiver.url("plain")
    refused = admin.post("/webhooks", body(url=url, client_certificate=fresh()))
    assert (refused.status, refused.code, refused.json["field"]) == (422, "certificate_invalid", "client_certificate")
    made = admin.post("/webhooks", body(client_certificate=fresh())).json
    assert admin.call("PATCH", f"/webhooks/{made['id']}", {"url": url}, {"If-Match": "*"}).code == "certificate_invalid"
    both = {"url": url, "client_certificate": {}}
    assert admin.call("PATCH", f"/webhooks/{made['id']}", both, {"If-Match": "*"}).status == 200
