"""Client certificates: what a store may give, how it is kept (encrypted, with what may be shown beside), and how a call gets it.

A receiver that wants mutual TLS is shown the certificate and proven that its key is there. The two are sealed together,
as secrets are; subject, fingerprint and end stand beside in plain text, so that they can be shown without opening.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from hookline.kernel.clock import to_us
from hookline.kernel.errors import CertificateError
from hookline.webhooks.model import SealedCertificate, Webhook
from hookline.webhooks.secrets import Vault, certificate_aad

MOST_CHAIN: Final = 4
MAX_CERTIFICATE: Final = 16_384
MAX_KEY: Final = 4_096
"""Holds RSA of 4,096 bits; what is longer is not even parsed, since checking a key takes time that grows fast with its length."""
_RSA_BITS: Final = (2_048, 4_096)
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_MAX_SUBJECT: Final = 256
_SKEW: Final = timedelta(minutes=5)
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_BEGIN_KEY: Final = b"-----BEGIN PRIVATE KEY-----"
_PEM: Final = serialization.Encoding.PEM
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a store gives, both PEM: the certificate with those of its chain behind it, and the private key."""

    certificate: str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, ready to be shown to a receiver. Two are equal when their bytes are; `name` is a digest of them."""

    name: str
    certificate: bytes = field(compare=False, repr=False)
    private_key: bytes = field(compare=False, repr=False)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have a context present it; raise `CertificateError`. The key goes through a pipe: it never lies in a file."""
        with _readable(self.certificate) as chain, _readable(self.private_key) as key:
            try:
                context.load_cert_chain(chain, key, password=_no_password)
            except OSError as error:  # ssl.SSLError is one; OpenSSL's words are lost to a seek that a pipe refuses
                raise _wrong("OpenSSL does not take the client certificate", "Have it and its chain issued anew, with SHA-256.") from error


def seal_certificate(given: ClientCertificate, vault: Vault, store_id: str, webhook_id: str, now: datetime) -> SealedCertificate:
    """Check a certificate and its key and return them encrypted; raise `CertificateError`, which shows nothing of the key."""
    chain = _chain(given.certificate)
    leaf = chain[0]
    _check_leaf(leaf, now)
    _check_order(chain)
    plain = b"".join(one.public_bytes(_PEM) for one in chain) + _key_of(given.private_key, leaf)
    # As a call will: OpenSSL's own rules, such as on SHA-1 in the chain, are told now and not at every call.
    _identity(plain).load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    fingerprint = leaf.fingerprint(hashes.SHA256()).hex()
    return SealedCertificate(
        blob=vault.seal(plain, certificate_aad(store_id, webhook_id, fingerprint)),
        subject=_subject(leaf),
        fingerprint=fingerprint,
        not_after_us=to_us(leaf.not_valid_after_utc),
    )


def open_identity(webhook: Webhook, vault: Vault) -> Identity | None:
    """Return what a webhook presents, None for nothing; raise `ConfigError` as `Vault.open` does."""
    sealed = webhook.client_certificate
    if sealed is None:
        return None
    return _identity(vault.open(sealed.blob, certificate_aad(webhook.store_id, webhook.id, sealed.fingerprint)))


def _identity(plain: bytes) -> Identity:
    at = plain.index(_BEGIN_KEY)
    return Identity(hashlib.sha256(plain).hexdigest(), plain[:at], plain[at:])


# ---- the certificate ----


def _chain(text: str) -> list[x509.Certificate]:
    if not isinstance(text, str) or len(text) > MAX_CERTIFICATE:
        raise _wrong(f"The certificate must be PEM of up to {MAX_CERTIFICATE:,} characters", "Give it with its chain, without the root.")
    if text.count(_BEGIN) > MOST_CHAIN:
        raise _wrong(f"The chain has more than {MOST_CHAIN} certificates", "Give the certificate and those between it and the root.")
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except _UNREADABLE as error:
        raise _wrong("The certificate is not PEM that can be read", f"It begins with {_BEGIN}.") from error


def _check_leaf(leaf: x509.Certificate, now: datetime) -> None:
    try:
        _check_time(leaf, now)
        _check_strength(leaf.public_key())
        _check_use(leaf)
    except _UNREADABLE as error:
        raise _wrong("The certificate holds something that cannot be read", "Have it issued anew.") from error


def _check_time(leaf: x509.Certificate, now: datetime) -> None:
    if leaf.not_valid_after_utc <= now:
        raise _wrong(f"The certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}", "Give one that is valid.")
    if leaf.not_valid_before_utc > now + _SKEW:
        raise _wrong(f"The certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", "Give it once it is valid.")


def _check_strength(public: object) -> None:
    low, high = _RSA_BITS
    if isinstance(public, rsa.RSAPublicKey):
        if not low <= public.key_size <= high:
            raise _wrong(
                f"The certificate's RSA key has {public.key_size:,} bits, not {low:,} to {high:,}", "Have one issued for such a key."
            )
    elif not (isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, _CURVES)) and not isinstance(
        public, ed25519.Ed25519PublicKey
    ):
        raise _wrong("The certificate's key is of a kind that is not taken", "Use RSA, P-256, P-384, P-521 or Ed25519.")


def _check_use(leaf: x509.Certificate) -> None:
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(uses):
        raise _wrong(
            "The certificate is not for clients: its extended key usage lacks clientAuth", "Have it issued for client authentication."
        )


def _check_order(chain: list[x509.Certificate]) -> None:
    for number, (one, issuer) in enumerate(itertools.pairwise(chain), 2):
        try:
            one.verify_directly_issued_by(issuer)
        except (*_UNREADABLE, InvalidSignature) as error:
            said = f"Certificate {number} of the chain did not issue the one before it"
            raise _wrong(said, "Give the webhook's own certificate first, then each one's issuer.") from error


def _subject(leaf: x509.Certificate) -> str:
    text = leaf.subject.rfc4514_string()[:_MAX_SUBJECT]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


# ---- the key ----


def _key_of(text: str, leaf: x509.Certificate) -> bytes:
    """Return the private key of a certificate in PKCS 8."""
    if not isinstance(text, str) or len(text) > MAX_KEY:
        raise _wrong_key(f"The private key must be PEM of up to {MAX_KEY:,} characters", "Give the key alone.")
    key = _parsed_key(text.encode())
    if _public(key) != leaf.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo):
        raise _wrong_key("The private key is not that of the certificate", "Give the key that the certificate was requested with.")
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _parsed_key(text: bytes) -> _Key:
    try:
        key: Any = serialization.load_pem_private_key(text, None)
    except TypeError:  # what cryptography says of a password that is missing
        raise _wrong_key(
            "The private key is encrypted", "Decrypt it first (openssl pkey); Hookline encrypts it with its own keys."
        ) from None
    except (ValueError, UnsupportedAlgorithm):  # no cause: its words may hold some of the key
        raise _wrong_key("The private key is not PEM that can be read", "It begins with -----BEGIN PRIVATE KEY-----.") from None
    if not isinstance(key, _Key):
        raise _wrong_key("The private key is of a kind that is not taken", "Use RSA, P-256, P-384, P-521 or Ed25519.")
    return key


def _public(key: _Key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@contextmanager
def _readable(data: bytes) -> Iterator[str]:
    """Yield a path that bytes can be read from once, without a file: OpenSSL wants paths. Fits a pipe (64 KiB)."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)


def _no_password() -> bytes:
    """Answer OpenSSL, which would ask at the terminal otherwise."""
    return b""


def _wrong(said: str, remedy: str) -> CertificateError:
    return CertificateError(said, field="client_certificate.certificate", remedy=remedy)


def _wrong_key(said: str, remedy: str) -> CertificateError:
    return CertificateError(said, field="client_certificate.private_key", remedy=remedy)
