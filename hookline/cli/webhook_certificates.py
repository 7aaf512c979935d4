"""`hookline webhooks certificate`: what a webhook shows to receivers that want mutual TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hookline.cli.output import AsJson, show_fields
from hookline.kernel.errors import InputError

if TYPE_CHECKING:
    from hookline.webhooks.certificates import ClientCertificate

_EITHER = "Give --certificate and --private-key, or --remove."


def certificate(
    webhook_id: Annotated[str, typer.Argument(metavar="WEBHOOK", help="The webhook's id (wh_…), as `list` shows it.")],
    chain: Annotated[str, typer.Option("--certificate", help="PEM file: the certificate, then those of its chain, without the root.")] = "",
    key: Annotated[str, typer.Option("--private-key", help="PEM file of its private key, without a password.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take away the one that there is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a webhook a client certificate for receivers that want mutual TLS, or take it away; the key is shown to nobody."""
    from hookline.cli.webhooks import open_writer, row

    given = _given(chain, key, remove=remove)
    with open_writer() as webhooks:
        show_fields(row(webhooks.update(webhook_id, {"client_certificate": given})), as_json=as_json)


def _given(chain: str, key: str, *, remove: bool) -> ClientCertificate | None:
    from hookline.webhooks.certificates import ClientCertificate

    if remove and not chain and not key:
        return None
    if remove or not chain or not key:
        raise InputError("A certificate comes with its private key" if not remove else "A certificate is given or removed", remedy=_EITHER)
    return ClientCertificate(_text(chain, "--certificate"), _text(key, "--private-key"))


def _text(path: str, option: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except UnicodeDecodeError as error:
        raise InputError(f"{option}: {path} is not PEM", remedy="Convert it, for example with `openssl x509` or `openssl pkey`.") from error
    except OSError as error:
        raise InputError(f"{option}: {path} cannot be read: {error.strerror}", remedy="Give the path of a PEM file.") from error
