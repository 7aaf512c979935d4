"""Client certificates for the tests, good and bad."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hookline.webhooks.certificates import ClientCertificate

Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
P256 = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Return an RSA key, the same each time."""
    return rsa.generate_private_key(65_537, bits)


def name(text: str) -> x509.Name:
    """Return the name of a subject."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    key: Key = P256,
    *,
    days: tuple[float, float] = (-1, 30),
    uses: tuple[x509.ObjectIdentifier, ...] = (CLIENT,),
    subject: str = "shop",
    issuer: tuple[str, Key] | None = None,
    at: datetime = NOW,
) -> str:
    """Return a certificate as PEM, valid between so many days from `at`; `issuer` None: signed by itself."""
    by, signing = issuer or (subject, key)
    built = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(by))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at + timedelta(days=days[0]))
        .not_valid_after(at + timedelta(days=days[1]))
    )
    if uses:
        built = built.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    own = isinstance(signing, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return built.sign(signing, None if own else hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def pem(key: Key = P256, password: bytes = b"") -> str:
    """Return a private key as PEM, encrypted when there is a password."""
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


def given(key: Key = P256, at: datetime = NOW) -> ClientCertificate:
    """Return a certificate that is good at a time, with its key."""
    return ClientCertificate(certificate(key, at=at), pem(key))
