"""The Helm chart: helm lints and renders it, Kubernetes' own schemas take what comes out, and the pods are guarded."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from hookline.cli.config import components
from hookline.dispatcher.source import fresh
from hookline.kernel.config import settings_of
from hookline.schemas.topics import Topics

pytestmark = pytest.mark.unit

CHART: Final = Path(__file__).parents[2] / "deploy" / "helm" / "hookline"
VALUES: Final = sorted((CHART / "ci").glob("*.yaml"))
HELM: Final = shutil.which("helm")
needs_helm: Final = pytest.mark.skipif(HELM is None, reason="no helm here (with Go: go install helm.sh/helm/v3/cmd/helm@v3.21.4)")
KUBERNETES: Final = ("1.29", "1.34", "1.37")
"""The oldest that the chart names, and newer ones."""
FOREIGN: Final = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor"}
"""Kinds whose schemas are not Kubernetes' own."""
PAGE: Final = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text("utf-8")
INSTALL: Final = re.findall(r"^helm install (.*)$", PAGE, re.MULTILINE)[0].split()
SETTINGS: Final = {spec.env: spec for _, component in components() for _, spec in settings_of(component)}
PROCESSES: Final = {"ingest", "dispatcher", "sink", "console"}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm."""
    return subprocess.run([str(HELM), *arguments], capture_output=True, text=True, check=False, timeout=60)


def rendered(values: Path, *more: str) -> list[dict[str, Any]]:
    """Return the objects that a release named `shop` is made of."""
    done = helm("template", "shop", str(CHART), "--values", str(values), "--kube-version", f"{KUBERNETES[1]}.0", *more)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return component → pod of Deployments and Jobs."""
    made = [found["spec"]["template"] for found in objects if found["kind"] in {"Deployment", "Job"}]
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["spec"] for pod in made}


def environment(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return variable → entry of a pod's one container; a variable given twice is an error."""
    entries = pod["containers"][0]["env"]
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry for entry in entries}


def test_variables_are_settings_that_there_are() -> None:
    """A misspelt variable would be silently ignored."""
    text = "".join(path.read_text("utf-8") for path in (CHART / "templates").iterdir())
    named = set(re.findall(r"\b(?:HOOKLINE|KAFKA|CLICKHOUSE)_[A-Z_]+\b", text))
    keys = {"CLICKHOUSE_URL_SINK", "CLICKHOUSE_URL_CONSOLE", "CLICKHOUSE_URL_MIGRATOR"}
    assert named - keys <= SETTINGS.keys()
    assert keys <= named


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_values_fit_their_schema(path: Path) -> None:
    """The chart's values with those of each example fit; an unknown one does not, nor do the bare defaults."""
    schema = jsonschema_rs.validator_for(json.loads((CHART / "values.schema.json").read_text("utf-8")))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    given = yaml.safe_load(path.read_text("utf-8"))
    whole = {
        name: {**value, **given.get(name, {})} if isinstance(value, dict) else given.get(name, value) for name, value in defaults.items()
    }
    schema.validate(whole)
    assert not schema.is_valid({**whole, "dispatchers": {}})
    assert not schema.is_valid({**whole, "settings": {"IN_FLIGHT": "1"}})
    assert not schema.is_valid(defaults)


def test_values_that_the_page_names_are_values() -> None:
    """Each `name=value` has its place among the chart's values, and fits it; those of the first command are all that is needed."""
    schema = jsonschema_rs.validator_for(json.loads((CHART / "values.schema.json").read_text("utf-8")))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    install = [text.split("=", 1) for text in INSTALL if "=" in text]
    more = re.findall(r"`([a-z]\w*(?:\.\w+)+)=([^`]+)`", PAGE)
    assert (len(install), len(more)) >= (3, 4)
    for pairs in (install, more):
        for name, text in pairs:
            *way, last = name.split(".")
            place = values
            for each in way:
                place = place[each]
            assert last in place, name
            place[last] = yaml.safe_load(text)
        schema.validate(values)


@needs_helm
def test_helm_takes_the_command_of_the_page() -> None:
    """What it would install is every process, from the image that is named there."""
    words = [str(CHART) if text == "deploy/helm/hookline" else text for text in INSTALL]
    done = helm("template", *words, "--kube-version", f"{KUBERNETES[1]}.0")
    assert done.returncode == 0, done.stderr
    objects = [found for found in yaml.safe_load_all(done.stdout) if found]
    assert set(pods(objects)) >= PROCESSES
    assert "registry.example.com/hookline:" in done.stdout


@needs_helm
@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_helm_finds_nothing(path: Path) -> None:
    """`helm lint --strict` has no complaint."""
    done = helm("lint", "--strict", str(CHART), "--values", str(path), "--kube-version", f"{KUBERNETES[1]}.0")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_helm
def test_helm_refuses_what_is_missing() -> None:
    """Without brokers and secret the install ends with an error that names both."""
    done = helm("template", "shop", str(CHART), "--kube-version", f"{KUBERNETES[1]}.0")
    assert done.returncode != 0
    assert "bootstrapServers" in done.stderr
    assert "existingSecret" in done.stderr


@needs_helm
@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_kubernetes_takes_every_object(path: Path, version: str) -> None:
    """Each object fits the strict schema of its kind; no name is used twice."""
    objects = rendered(path)
    for found in objects:
        if found["kind"] not in FOREIGN:
            kubernetes_validate.validate(found, version, strict=True)
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(set(names)) == len(names)


@needs_helm
@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_a_pod_is_guarded(path: Path) -> None:
    """No root, no capabilities, nothing written but to memory, no token of the cluster, memory bounded, probes."""
    found = pods(rendered(path))
    assert found.keys() == {"migrate", *PROCESSES}
    for name, pod in found.items():
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        guard = container["securityContext"]
        assert guard == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["limits"]["memory"]
        assert name == "migrate" or {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


@needs_helm
@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_a_process_gets_its_settings_and_no_other_secrets(path: Path) -> None:
    """Secrets come by reference, each only to who reads it; what is written out is valid."""
    wanted = {
        "ingest": {"HOOKLINE_API_KEY_PEPPER"},
        "dispatcher": {"HOOKLINE_SECRET_KEYS"},
        "sink": {"CLICKHOUSE_URL"},
        "console": {"HOOKLINE_API_KEY_PEPPER", "HOOKLINE_SECRET_KEYS", "HOOKLINE_OPERATOR_TOKEN", "CLICKHOUSE_URL"},
        "migrate": {"CLICKHOUSE_URL"},
    }
    for name, pod in pods(rendered(path)).items():
        given = environment(pod)
        secret = {variable for variable, entry in given.items() if "valueFrom" in entry}
        more = (
            {"ingest": {"HOOKLINE_OTLP_HEADERS"}, "dispatcher": {"HOOKLINE_OTLP_HEADERS", "HOOKLINE_PROXY"}} if path.stem == "all" else {}
        )
        assert secret - {"KAFKA_SASL_PASSWORD"} == wanted[name] | more.get(name, set())
        for variable in given.keys() - secret:
            assert not SETTINGS[variable].secret
            SETTINGS[variable].parse(given[variable]["value"])
        assert ("KAFKA_SASL_PASSWORD" in secret) == (path.stem == "all")


@needs_helm
def test_dispatchers_scale_on_the_lag_of_their_group() -> None:
    """KEDA watches the group that dispatchers read events in, and says how many there are instead of the Deployment."""
    objects = rendered(CHART / "ci" / "all.yaml")
    [scaled] = [found for found in objects if found["kind"] == "ScaledObject"]
    [deployment] = [found for found in objects if found["kind"] == "Deployment" and found["metadata"]["name"].endswith("-dispatcher")]
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    group = fresh(Topics("shop"), bool).group
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["metadata"]["consumerGroup"] == f"shop.{group}"
    assert trigger["metadata"]["sasl"] == "scram_sha512"
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


@needs_helm
@pytest.mark.parametrize(
    ("protocol", "tls", "secrets"),
    [
        ("PLAINTEXT", "disable", set()),
        ("SSL", "enable", {"ca"}),
        ("SASL_PLAINTEXT", "disable", {"username", "password", "ca"}),
        ("SASL_SSL", "enable", {"username", "password", "ca"}),
    ],
)
def test_keda_speaks_with_brokers_as_dispatchers_do(protocol: str, tls: str, secrets: set[str]) -> None:
    """The protocol alone says whether its trigger uses TLS and SASL, and what it must know for them."""
    objects = rendered(CHART / "ci" / "all.yaml", "--set", f"kafka.securityProtocol={protocol}")
    [scaled] = [found for found in objects if found["kind"] == "ScaledObject"]
    [trigger] = scaled["spec"]["triggers"]
    given = [one["parameter"] for found in objects if found["kind"] == "TriggerAuthentication" for one in found["spec"]["secretTargetRef"]]
    assert (trigger["metadata"]["tls"], set(given), "authenticationRef" in trigger) == (tls, secrets, bool(secrets))
    assert ("sasl" in trigger["metadata"]) == protocol.startswith("SASL")


@needs_helm
def test_only_dispatchers_may_go_out() -> None:
    """Ingest, sink and console reach Kafka and ClickHouse; the internet is the dispatchers', without private networks."""
    policies = {
        found["metadata"]["name"]: found["spec"] for found in rendered(CHART / "ci" / "small.yaml") if found["kind"] == "NetworkPolicy"
    }
    assert policies.keys() == {f"shop-hookline-{name}" for name in ("migrate", *PROCESSES)}
    ports = {name: {port["port"] for rule in policy["egress"] for port in rule["ports"]} for name, policy in policies.items()}
    assert [name for name, found in ports.items() if 443 in found] == ["shop-hookline-dispatcher"]
    blocks = [peer["ipBlock"] for rule in policies["shop-hookline-dispatcher"]["egress"] for peer in rule.get("to", ())]
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(blocks[0]["except"])


@needs_helm
def test_dispatchers_with_a_proxy_reach_nothing_else() -> None:
    """Their way out is the proxy's address and port alone."""
    [policy] = [
        found["spec"]
        for found in rendered(CHART / "ci" / "all.yaml")
        if found["kind"] == "NetworkPolicy" and found["metadata"]["name"].endswith("-dispatcher")
    ]
    rules = {rule["ports"][0]["port"]: rule.get("to") for rule in policy["egress"]}
    assert rules.keys() == {53, 9093, 8081, 4318, 3128}
    assert rules[3128] == [{"ipBlock": {"cidr": "10.2.0.9/32"}}]


@needs_helm
@pytest.mark.parametrize(("enabled", "refused"), [("true", True), ("false", False)])
def test_a_proxy_has_a_place(enabled: str, refused: bool) -> None:
    """Without `to` dispatchers might reach everything inside on its port: the chart says what is missing. Without policies nothing is."""
    settings = ["--kube-version", f"{KUBERNETES[1]}.0", "--set", f"dispatcher.proxy.key=HOOKLINE_PROXY,networkPolicy.enabled={enabled}"]
    done = helm("template", "shop", str(CHART), "--values", str(CHART / "ci" / "small.yaml"), *settings)
    assert (done.returncode != 0) is refused
    assert ("dispatcher.proxy.to is needed with dispatcher.proxy.key" in done.stderr) is refused


@needs_helm
def test_a_release_without_the_extras_asks_for_nothing_that_may_not_be_there() -> None:
    """KEDA and the Prometheus operator are asked for only when they are turned on."""
    assert FOREIGN.isdisjoint(found["kind"] for found in rendered(CHART / "ci" / "small.yaml"))
    assert {found["kind"] for found in rendered(CHART / "ci" / "all.yaml")} >= FOREIGN
