"""Secrets planted in a running pipeline, and the search for them in everything that it leaves behind."""

from __future__ import annotations

import base64
import os
import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hookline.analytics.client import open_client
from hookline.kernel import kafka
from hookline.kernel.config import load


def marker(name: str) -> str:
    """Return a text that stands nowhere by chance, and says what it was when it is found."""
    return f"planted{name}{os.urandom(12).hex()}"


@dataclass
class Planted:
    """What must be found nowhere: name to the forms in which it would show."""

    forms: dict[str, list[bytes]] = field(default_factory=dict)

    def add_pem(self, name: str, key: str) -> str:
        """Plant a private key as PEM; return it. Any line of it counts, and its bytes."""
        lines = [line.encode() for line in key.splitlines() if not line.startswith("-----")]
        self.forms[name] = [*(line for line in lines if len(line) >= 16), base64.b64decode(b"".join(lines))]
        return key

    def add(self, name: str, secret: str) -> str:
        """Plant a text; return it. Its base64 and its parts count as well."""
        forms = [secret.encode(), base64.b64encode(secret.encode()), *(part.encode() for part in re.split("[_ ]", secret))]
        if secret.startswith("whsec_"):
            forms.append(base64.b64decode(secret.removeprefix("whsec_")))
        self.forms[name] = [form for form in forms if len(form) >= 16]
        return secret

    def found_in(self, text: bytes, *names: str) -> set[str]:
        """Return what is found in a text, of these names or of all."""
        return {name for name, forms in self.forms.items() if (not names or name in names) and any(form in text for form in forms)}


def topics_of(environ: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield (topic, key, headers and value in one) of every record of every topic of the cluster that is this test's, and `_schemas`."""
    config = load(kafka.KafkaConfig, environ)
    every = kafka.admin(config).list_topics(timeout=10).topics
    for topic in sorted(name for name in every if name.startswith(config.topic_prefix + ".") or name == "_schemas"):
        for message in kafka.scan(config, [topic]):
            head = b"\n".join(f"{name}: ".encode() + value for name, value in kafka.headers_of(message).items())
            yield topic, b"\n".join([_bytes(message.key()), head, _bytes(message.value())])


def tables_of(environ: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield (table, one column of it) for all that an embedded ClickHouse holds, its own log tables included; no process may have it."""
    client = open_client(environ)
    try:
        tables = client.rows(
            "SELECT database, name, engine FROM system.tables WHERE database IN ('default', 'system') AND engine LIKE '%Tree%'"
        )
        for table in tables:
            name = f"{table['database']}.{table['name']}"
            columns = client.rows(
                "SELECT name FROM system.columns WHERE database = {d:String} AND table = {t:String} AND type NOT LIKE 'AggregateFunction%'",
                {"d": table["database"], "t": table["name"]},
            )
            for column in columns:
                rows = client.rows(f"SELECT toString(`{column['name']}`) AS text FROM {name}")
                yield f"{name}.{column['name']}", b"\n".join(_bytes(row["text"]) for row in rows)
    finally:
        client.close()


def files_under(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of every file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


def pages_of(log: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (page, text) of the metrics and health port that a process's log names."""
    found = re.search(rb'"metrics_port": (\d+)|"port": (\d+), [^\n]*"event": "metrics.listening"', log.read_bytes())
    assert found is not None, f"{log.name} names no metrics port"
    for page in ("metrics", "healthz", "readyz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{int(found[1] or found[2])}/{page}", timeout=10) as answer:
            yield f"{log.name}/{page}", answer.read()


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape") if value is not None else b""
