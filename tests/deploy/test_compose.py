"""Dockerfile and compose file: only real settings, pinned images, guarded containers, no secrets; compose itself takes the file."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from hookline.cli.config import OTHERS, components
from hookline.kernel.config import load, settings_of
from hookline.producers.api_keys import ApiKeyConfig
from hookline.schemas.topics import TopicsConfig
from hookline.webhooks.secrets import SecretsConfig

pytestmark = pytest.mark.unit

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose.yaml"
EXAMPLE: Final = DEPLOY / "compose" / "env.example"
SERVICES: Final[dict[str, dict[str, Any]]] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
OURS: Final = {name for name, service in SERVICES.items() if service["image"].startswith("hookline:")}
SETTINGS: Final = {spec.env: spec for _, component in components() for _, spec in settings_of(component)} | {
    spec.env: spec for spec in OTHERS
}
PROCESSES: Final = {"ingest", "dispatcher", "sink", "console"}


def compose() -> list[str] | None:
    """Return the command of Compose 2 or later, None where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False, timeout=30).stdout
            if re.match(r"v?([2-9]|\d\d)\.", said):
                return command
    return None


def test_there_is_everything() -> None:
    """The whole system is there, and each process of Hookline runs its own command."""
    assert {"kafka", "clickhouse", "karapace", "prometheus", "grafana", "migrate", *PROCESSES} == SERVICES.keys()
    assert {"migrate"} | PROCESSES == OURS
    assert {SERVICES[name]["command"][0] for name in PROCESSES} == {"ingest", "dispatch", "sink", "console"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_are_settings_that_there_are(name: str) -> None:
    """A misspelt variable would be silently ignored; what is required is set, and what is written out is valid."""
    given = SERVICES[name]["environment"]
    assert given.keys() <= SETTINGS.keys()
    for variable, text in given.items():
        assert isinstance(text, str)
        if "${" not in text:
            SETTINGS[variable].parse(text)
    assert {variable for variable, spec in SETTINGS.items() if spec.default is None} <= given.keys()
    assert load(TopicsConfig, given).replication_factor == 1  # there is one broker


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_is_guarded(name: str) -> None:
    """No root, nothing written outside volumes and memory, no capabilities, limits, a health check, a version in the image's name."""
    service = SERVICES[name]
    assert re.fullmatch(r"\d+:\d+", service["user"])
    assert not service["user"].startswith("0:")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)*", service["image"])
    assert name in OURS or "test" in service["healthcheck"]  # ours has its own in the Dockerfile
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert not service.get("privileged")


def test_no_secret_is_in_the_file() -> None:
    """Whatever is secret comes from the environment, each name of it is in the example, and the example is empty."""
    text = COMPOSE.read_text("utf-8")
    named = set(re.findall(r"\$\{(\w+)", text))
    assert named == set(re.findall(r"^(\w+)=$", EXAMPLE.read_text("utf-8"), re.MULTILINE))
    assert re.findall(r"^\w+=.+", EXAMPLE.read_text("utf-8"), re.MULTILINE) == []
    for variable in re.findall(r"\$\{(\w+[^}]*)\}", text):
        assert ":?" in variable, "an empty secret must stop the start"
    for name in OURS:
        for variable, value in SERVICES[name]["environment"].items():
            assert not SETTINGS[variable].secret or "${" in value
    assert "deploy/.env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_what_the_example_says_to_type_makes_values_that_are_taken() -> None:
    """A password that will do as a pepper, and a key that opens secrets."""
    words, key = re.findall(r"^#\s+(python3 -c '.*')\s+for ", EXAMPLE.read_text("utf-8"), re.MULTILINE)
    made = [subprocess.run(["bash", "-c", each], capture_output=True, text=True, check=True, timeout=30).stdout for each in (words, key)]
    pepper, keys = (text.removesuffix("\n") for text in made)
    assert load(ApiKeyConfig, {"HOOKLINE_API_KEY_PEPPER": pepper}).pepper
    assert load(SecretsConfig, {"HOOKLINE_SECRET_KEYS": keys})


def test_what_is_mounted_is_there() -> None:
    """Every file of a volume exists, and Prometheus scrapes the services by their names."""
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source, _, _ = volume.partition(":")
            assert not source.startswith(".") or (DEPLOY / source).exists()
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text("utf-8"))["scrape_configs"]
    scraped = {target.partition(":")[0] for job in jobs for config in job["static_configs"] for target in config["targets"]}
    assert scraped == PROCESSES
    ET.parse(DEPLOY / "compose" / "clickhouse-users.xml")


def test_a_record_that_kills_a_dispatcher_is_remembered() -> None:
    """The dispatchers' folder is a volume, over a folder that the image gives to their user."""
    dispatcher = SERVICES["dispatcher"]
    folder = dispatcher["environment"]["HOOKLINE_STATE_DIR"]
    assert f"dispatcher:{folder}" in dispatcher["volumes"]
    assert f"install --directory --owner=10001 --group=10001 {folder}\n" in (ROOT / "Dockerfile").read_text("utf-8")


def test_grafana_gets_what_its_data_sources_ask_for() -> None:
    """A variable of the provisioning files that Grafana does not have would be empty."""
    text = (DEPLOY / "grafana" / "provisioning" / "datasources" / "hookline.yaml").read_text("utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= SERVICES["grafana"]["environment"].keys()
    kinds = {source["type"] for source in yaml.safe_load(text)["datasources"]}
    assert kinds == {"prometheus", "grafana-clickhouse-datasource"}


def test_the_image_sets_settings_that_there_are() -> None:
    """So does the Dockerfile; it runs as nobody in particular, checks hashes, and has a health check."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert set(re.findall(r"\b(HOOKLINE_\w+)=", text)) <= SETTINGS.keys()
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert re.search(r"^HEALTHCHECK ", text, re.MULTILINE)
    installs = re.findall(r"pip install .*", text)
    assert all("--require-hashes" in line and "requirements.lock" in line for line in installs)
    assert len(installs) == 2
    assert len(set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))) == 1


def test_the_builder_gets_all_that_the_wheel_is_made_of() -> None:
    """What the source distribution names is let through to the builder, and nothing that git ignores."""
    through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    sdist = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["sdist"]
    packaged = {*(name.partition("/")[0] for name in sdist["only-include"]), *sdist["force-include"]}
    assert {"hookline", "schemas", "console"} <= packaged <= through
    assert {"requirements.lock", "pyproject.toml"} <= through


@pytest.mark.skipif(compose() is None, reason="no Docker Compose 2 here (it comes with Docker; only its command line is needed)")
def test_compose_takes_the_file(tmp_path: Path) -> None:
    """Compose itself resolves every anchor, variable and reference; without the secrets it refuses."""
    command = [*(compose() or ()), "-f", str(COMPOSE), "--env-file"]
    given = tmp_path / "env"
    given.write_text(EXAMPLE.read_text("utf-8").replace("=\n", "=x\n"), "utf-8")
    done = subprocess.run([*command, str(given), "config", "--quiet"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    refused = subprocess.run([*command, str(EXAMPLE), "config", "--quiet"], capture_output=True, text=True, check=False, timeout=60)
    assert "deploy/compose/env.example" in refused.stderr
