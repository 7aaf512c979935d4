"""Client certificates: what is taken and what is refused, kept encrypted, opened by their webhook alone, moved to a new key."""

from __future__ import annotations

import ssl
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from hypothesis import given as drawn
from hypothesis import strategies as st

from hookline.kernel.errors import CertificateError, ConfigError
from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.compatibility import check
from hookline.webhooks.certificates import MAX_CERTIFICATE, MAX_KEY, ClientCertificate, open_identity, seal_certificate
from hookline.webhooks.model import SealedCertificate, Webhook
from hookline.webhooks.secrets import MasterKey, Vault, resealed, sealed_blobs
from tests.webhooks.certified import NOW, OTHER, P256, SERVER, Key, certificate, given, pem, rsa_key
from tests.webhooks.test_secrets import webhook

pytestmark = pytest.mark.unit

OLD, NEW = MasterKey("old", b"o" * 32), MasterKey("new", b"n" * 32)
VAULT = Vault((NEW,))
CERTIFICATE, KEY = "client_certificate.certificate", "client_certificate.private_key"


def sealed(what: ClientCertificate, vault: Vault = VAULT) -> SealedCertificate:
    """Return it as `wh_1` of `shop` keeps it."""
    return seal_certificate(what, vault, "shop", "wh_1", NOW)


def holding(what: SealedCertificate) -> Webhook:
    """Return that webhook."""
    return replace(webhook(), client_certificate=what)


def chain(length: int) -> str:
    """Return a certificate and those that issued each other behind it."""
    keys = [P256, *(ec.generate_private_key(ec.SECP256R1()) for _ in range(length))]
    named = ["shop", *(f"ca{number}" for number in range(length))]
    pairs = zip(named, keys, named[1:], keys[1:], strict=False)
    return "".join(certificate(key, subject=own, issuer=(by, signing)) for own, key, by, signing in pairs)


@pytest.mark.parametrize(
    "key",
    [P256, ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate(), rsa_key(2_048), rsa_key(4_096)],
    ids=["P-256", "P-521", "Ed25519", "RSA 2048", "RSA 4096"],
)
def test_what_is_taken_opens_and_can_be_presented(key: Key) -> None:
    """Each kind of key is kept encrypted, opened by its webhook, and loaded by OpenSSL; what may be shown stands beside it."""
    what = sealed(given(key))
    assert (what.subject, len(what.fingerprint)) == ("CN=shop", 64)
    assert what.not_after_us == (int(NOW.timestamp()) + 30 * 86_400) * 1_000_000
    assert b"PRIVATE" not in what.blob
    found = open_identity(holding(what), VAULT)
    assert found is not None
    found.load_into(ssl.create_default_context())
    assert "PRIVATE" not in repr(found) + repr(given(key))
    assert open_identity(webhook(), VAULT) is None


def test_a_chain_is_kept_in_its_order() -> None:
    """The certificate goes first, then who issued it; four are taken, five are not."""
    found = open_identity(holding(sealed(ClientCertificate(chain(4), pem()))), VAULT)
    assert found is not None
    assert found.certificate.count(b"BEGIN CERTIFICATE") == 4
    with pytest.raises(CertificateError, match="more than 4"):
        sealed(ClientCertificate(chain(5), pem()))


REFUSED: list[tuple[str, ClientCertificate, str, str]] = [
    ("expired", ClientCertificate(certificate(days=(-9, -1)), pem()), CERTIFICATE, "expired on 2026-03-13"),
    ("not valid yet", ClientCertificate(certificate(days=(1, 9)), pem()), CERTIFICATE, "not valid before 2026-03-15 12:00"),
    ("another key", ClientCertificate(certificate(), pem(OTHER)), KEY, "not that of the certificate"),
    ("a key of another kind", ClientCertificate(certificate(), pem(rsa_key(2_048))), KEY, "not that of the certificate"),
    ("encrypted key", ClientCertificate(certificate(), pem(password=b"hunter2")), KEY, "is encrypted"),
    ("no key", ClientCertificate(certificate(), ""), KEY, "not PEM"),
    ("no certificate", ClientCertificate("", pem()), CERTIFICATE, "not PEM"),
    ("swapped", ClientCertificate(pem(), certificate()), CERTIFICATE, "not PEM"),
    ("RSA 1024", ClientCertificate(certificate(rsa_key(1_024)), pem(rsa_key(1_024))), CERTIFICATE, "1,024 bits"),
    ("a curve of no use", given(ec.generate_private_key(ec.SECP256K1())), CERTIFICATE, "of a kind that is not taken"),
    ("Ed448", given(ed448.Ed448PrivateKey.generate()), CERTIFICATE, "of a kind that is not taken"),
    ("for servers", ClientCertificate(certificate(uses=(SERVER,)), pem()), CERTIFICATE, "clientAuth"),
    ("a stranger behind it", ClientCertificate(certificate() + certificate(OTHER, subject="x"), pem()), CERTIFICATE, "Certificate 2"),
    ("five", ClientCertificate(certificate() * 5, pem()), CERTIFICATE, "more than 4"),
    ("too long", ClientCertificate(certificate() + " " * MAX_CERTIFICATE, pem()), CERTIFICATE, "16,384 characters"),
    ("key too long", ClientCertificate(certificate(), pem() + " " * MAX_KEY), KEY, "4,096 characters"),
    ("half a key", ClientCertificate(certificate(), pem()[:90]), KEY, "not PEM"),
]


@pytest.mark.parametrize(("what", "field", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused(what: ClientCertificate, field: str, said: str) -> None:
    """Each fault names its field, says what to do, and shows nothing of the key."""
    with pytest.raises(CertificateError, match=said) as refused:
        sealed(what)
    assert refused.value.field == field
    assert refused.value.remedy
    told = f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    assert not any(line in told for line in what.private_key.splitlines() if len(line) > 20 and "-----" not in line)


@drawn(st.text(max_size=200), st.text(max_size=200), st.sampled_from(["BEGIN CERTIFICATE", "BEGIN PRIVATE KEY", "END CERTIFICATE"]))
def test_any_text_is_refused(first: str, second: str, mark: str) -> None:
    """Whatever is no certificate gives the one error."""
    for what in (ClientCertificate(f"-----{mark}-----\n{first}", second), ClientCertificate(certificate(), f"-----{mark}-----\n{second}")):
        with pytest.raises(CertificateError):
            sealed(what)


def test_a_certificate_does_not_open_for_another() -> None:
    """Moved to another webhook or store, or beside another fingerprint, it is worthless."""
    good = sealed(given())
    for wrong in (
        replace(holding(good), id="wh_2"),
        replace(holding(good), store_id="store"),
        holding(replace(good, fingerprint="0" * 64)),
    ):
        with pytest.raises(ConfigError):
            open_identity(wrong, VAULT)


def test_sealing_anew_moves_it_under_the_first_key() -> None:
    """Re-encryption counts and moves the certificate too; afterwards the old key is needed no more."""
    before = holding(sealed(given(), Vault((OLD,))))
    after = resealed(before, Vault((NEW, OLD)))
    assert [Vault((NEW, OLD)).key_of(blob) for one in (before, after) for blob in sealed_blobs(one)] == ["old", "new"]
    assert open_identity(after, VAULT) == open_identity(before, Vault((OLD,)))


def test_builds_before_and_after_read_each_other() -> None:
    """A webhook that an older build wrote has no certificate; an older build reads a newer one without it."""
    new: dict[str, Any] = dict(SCHEMAS["hookline.Webhook"])
    old = deepcopy(new)
    old["fields"] = [field for field in old["fields"] if field["name"] != "client_certificate"]
    assert len(old["fields"]) == len(new["fields"]) - 1
    assert check(new, old) == check(old, new) == []
    one = holding(sealed(given()))
    assert Webhook.from_datum(one.to_datum()) == one
    written_before = {name: value for name, value in one.to_datum().items() if name != "client_certificate"}
    assert Webhook.from_datum({**written_before, "client_certificate": None}).client_certificate is None
