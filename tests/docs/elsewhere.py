"""The closed list: what pages show and these tests do not type, why, and the test that does the same. What is in no list is typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Why something is not typed here; `test` is a file, or `file::function`, that does the same; empty: there is nothing to run."""

    why: str
    test: str = ""


DRAWING: Final = Elsewhere("a drawing")
BENCH: Final = Elsewhere("minutes long; figures, cases and sums are looked at", "tests/benchmarks/test_cases.py")
CHAOS: Final = Elsewhere("minutes long; a selection of the same faults", "tests/chaos/test_chaos.py")
DEMO: Final = Elsewhere("a stack of its own, half a minute long", "tests/local/test_demo.py")
EXAMPLE: Final = Elsewhere("a stack of its own, half a minute long", "tests/examples/test_shows.py")
COMPOSE: Final = Elsewhere("needs Docker; the same files", "tests/deploy/test_compose.py")
HELM: Final = Elsewhere("needs a cluster; the chart is linted and rendered", "tests/deploy/test_helm.py")
RELEASE: Final = Elsewhere("installs, or writes into the checkout", "tests/test_release.py")
CI: Final = Elsewhere("is what runs these tests", "tests/test_ci.py")
RECEIVERS: Final = Elsewhere("another language", "tests/console/test_panel_snippets.py")
QUICK: Final = Elsewhere("runs until it is stopped", "tests/docs/test_quick_start.py")
MIGRATE: Final = Elsewhere("with `hookline up` ClickHouse is its process's", "tests/cli/test_migrate.py")
CERTIFICATE: Final = Elsewhere("needs a certificate", "tests/cli/test_webhook_certificates.py")

BLOCKS: Final[dict[tuple[str, str], Elsewhere]] = {
    ("README.md", " store's code"): DRAWING,
    ("README.md", "make demo"): DEMO,
    ("README.md", "make up"): Elsewhere("runs until it is stopped", "tests/local/test_up.py"),
    ("docs/analytics.md", "hookline.attempts ─▶ fetch"): DRAWING,
    ("docs/backup.md", "BACKUP DATABASE"): Elsewhere("needs a server with a disk for backups", "tests/integration/test_backup.py"),
    ("docs/backup.md", "hookline topics create"): Elsewhere("needs an empty cluster", "tests/integration/test_backup.py"),
    ("docs/backup.md", "kafka-consumer-groups.sh"): Elsewhere(
        "needs a sink that is stopped", "tests/integration/test_backup.py::test_a_lost_log_is_written_again"
    ),
    ("docs/chaos.md", "make chaos"): CHAOS,
    ("docs/chaos.md", "python -m tests.chaos isolation"): CHAOS,
    ("docs/console.md", "connection ─▶"): DRAWING,
    ("docs/demo-store.md", "DemoStore (store.py)"): DRAWING,
    ("docs/demo.md", "make demo"): DEMO,
    ("docs/deploy.md", "docker build"): COMPOSE,
    ("docs/deploy.md", "cp deploy/compose/env.example"): COMPOSE,
    ("docs/deploy.md", "kubectl create namespace"): Elsewhere(
        "needs a cluster; rendered with the same words", "tests/deploy/test_helm.py::test_helm_takes_the_command_of_the_page"
    ),
    ("docs/dispatcher.md", "Kafka poll ─▶"): DRAWING,
    ("docs/examples/README.md", "make example"): EXAMPLE,
    ("docs/examples/low-stock.md", "data.available"): Elsewhere("the filter of the example", "tests/examples/test_shows.py"),
    ("docs/ingest.md", "request ─▶"): DRAWING,
    ("docs/ingest.md", "→ 207"): Elsewhere("an answer", "tests/producers/test_ingest_app.py"),
    ("docs/local-stack.md", "hookline up ["): Elsewhere("what may be given", "tests/local/test_up.py"),
    ("docs/quick-start.md", "make wheel"): RELEASE,
    ("docs/quick-start.md", "import os"): QUICK,
    ("docs/quick-start.md", "python3 receiver.py"): QUICK,
    ("docs/rights.md", "PREFIX=hookline deploy/kafka"): Elsewhere(
        "needs a cluster with rights", "tests/deploy/test_kafka_rights.py::test_the_script_says_the_same"
    ),
    ("docs/schemas.md", "from confluent_kafka.schema_registry"): Elsewhere(
        "needs Confluent's own packages; the format is read byte by byte", "tests/schemas/test_wire.py"
    ),
    ("docs/signatures.md", "const { createHmac"): RECEIVERS,
    ("docs/signatures.md", "<?php"): RECEIVERS,
    ("docs/signatures.md", "package main"): RECEIVERS,
    ("docs/slo.md", "promtool check rules"): Elsewhere(
        "needs promtool, which not every machine has", "tests/deploy/test_prometheus.py::test_promtool_agrees"
    ),
    ("docs/tracing.md", "pip install 'hookline[otel]'"): Elsewhere(
        "an installation, and settings", "tests/integration/test_traces.py::test_a_trace_from_publish_to_receiver"
    ),
    ("docs/webhooks.md", "data.order.totals"): Elsewhere(
        "filters, each of them asked", "tests/webhooks/test_docs.py::test_the_filters_on_the_page_work"
    ),
    ("docs/webhooks.md", "jq -n"): Elsewhere("needs jq and a certificate; the same body", "tests/console/test_client_certificates.py"),
    ("docs/webhooks.md", "hookline webhooks certificate"): CERTIFICATE,
}
"""(page, how the block begins)."""

IN_PASSING: Final[dict[str, Elsewhere]] = {
    ".ci/run": CI,
    ".venv/bin/pre-commit install": Elsewhere("changes the checkout; the linters that it runs are CI's", "tests/test_ci.py"),
    "make bench": BENCH,
    "make bench-compare A=old.json B=new.json": Elsewhere("needs two results", "tests/benchmarks/test_repeats.py"),
    "make bench-full": BENCH,
    "make chaos SEED=20261206": CHAOS,
    "make docs": Elsewhere("writes into the checkout; the same build", "tests/docs/test_site.py"),
    "make example NAME=low-stock": EXAMPLE,
    "make example NAME=marketing": EXAMPLE,
    "make fuzz": Elsewhere("minutes long; the same tests, shorter", "tests/fuzz/effort.py"),
    "make lint types test": CI,
    "make sbom": RELEASE,
    "make setup": CI,
    "python -m deploy.grafana": Elsewhere(
        "writes into the checkout", "tests/deploy/test_dashboards.py::test_what_is_committed_is_what_the_generator_gives"
    ),
    "python -m deploy.strimzi CLUSTER | kubectl -n kafka apply -f -": Elsewhere("needs a cluster", "tests/deploy/test_strimzi.py"),
    "PORT=8080 WEBHOOK_SECRET=whsec_… python -m examples.erp": Elsewhere("runs until it is stopped", "tests/examples/test_erp.py"),
    "docker run hookline:0.1.0 dispatch": COMPOSE,
    "helm lint deploy/helm/hookline --values deploy/helm/hookline/ci/small.yaml": Elsewhere(
        "needs helm; the same values", "tests/deploy/test_helm.py::test_helm_finds_nothing"
    ),
    "kubectl describe pod": HELM,
    "pip install 'hookline[embedded]'": RELEASE,
    "pip install 'hookline[embedded,otel]'": RELEASE,
    "pip install 'confluent-kafka[avro,schemaregistry]'": Elsewhere("installs, for readers", "tests/schemas/test_wire.py"),
    "pip install standardwebhooks": Elsewhere("installs; the library is used", "tests/webhooks/test_docs.py"),
    "python -m tests.dispatcher.clauses > docs/conformance.md": Elsewhere("writes into the checkout", "tests/dispatcher/test_clauses.py"),
    "hookline config --reference > docs/configuration.md": Elsewhere(
        "writes into the checkout", "tests/cli/test_config.py::test_the_page_is_what_the_code_says"
    ),
    "hookline events types --reference > docs/events.md": Elsewhere("writes into the checkout", "tests/schemas/test_reference.py"),
    "hookline console": Elsewhere("runs until it is stopped", "tests/console/test_process.py"),
    "hookline dispatch": Elsewhere("runs until it is stopped", "tests/local/test_workers.py"),
    "hookline dispatch --workers N": Elsewhere("runs until it is stopped", "tests/local/test_workers.py"),
    "hookline ingest": Elsewhere("runs until it is stopped", "tests/producers/test_ingest_process.py"),
    "hookline sink": Elsewhere("runs until it is stopped", "tests/analytics/test_sink_process.py"),
    "hookline migrate": MIGRATE,
    "hookline migrate up": MIGRATE,
    "hookline migrate down": MIGRATE,
    "wrk -t1 -c64": BENCH,
    "py-spy record --native": BENCH,
    "py-spy record --gil": BENCH,
    "py-spy record --nonblocking -t -r 200": BENCH,
}
"""Commands in the middle of a sentence, as they stand there."""
