"""A receiver that wants a client certificate, called by a dispatcher process: with its webhook's, or refused as a TLS error."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from hookline.schemas.records import ErrorKind, Outcome
from hookline.webhooks.certificates import ClientCertificate
from hookline.webhooks.store import NewWebhook

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


@contextmanager
def mutual(authority: trustme.CA) -> Iterator[tuple[int, list[str]]]:
    """Yield the port of a receiver that insists on a certificate of the authority, and the names it was shown."""
    shown: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found: Any = self.connection
            shown.append(dict(pair for part in found.getpeercert()["subject"] for pair in part)["commonName"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Stay silent: a caller without a certificate is refused within its first read."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1], shown
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize("transport", ["aiohttp", "native"])
def test_a_webhook_shows_its_certificate(pipeline: Pipeline, until: Until, tmp_path: Path, transport: str) -> None:
    """The one with a certificate is delivered to as itself; the one without is a TLS error or a reset, and tried again."""
    authority = trustme.CA()
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    leaf = authority.issue_cert(common_name="shop-a")
    given = ClientCertificate("".join(one.bytes().decode() for one in leaf.cert_chain_pems), leaf.private_key_pem.bytes().decode())
    with mutual(authority) as (port, shown):
        hooks = [
            pipeline.webhooks.create(
                NewWebhook(
                    store_id="shop", url=f"https://127.0.0.1:{port}/{path}", event_types=("order.created",), client_certificate=certificate
                )
            )[0]
            for path, certificate in (("with", given), ("without", None))
        ]
        pipeline.start_dispatcher(SSL_CERT_FILE=str(trusted), HOOKLINE_TRANSPORT=transport)
        pipeline.publish(count=3)
        until(lambda: len(shown) >= 3 and len(pipeline.attempts()) >= 6, what="the calls")
        records = pipeline.attempts()
    assert shown == ["shop-a"] * 3
    assert {(one.webhook_id, one.outcome) for one in records if one.outcome is Outcome.DELIVERED} == {(hooks[0].id, Outcome.DELIVERED)}
    refused = [one for one in records if one.webhook_id == hooks[1].id]
    assert refused
    assert {one.error_kind for one in refused} <= {ErrorKind.TLS, ErrorKind.RESET}
