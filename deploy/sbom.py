"""What a release brings along: the pins of requirements.lock that `pip install hookline[embedded,otel]` installs on this platform.

The jars of Apache Kafka that the first `hookline up` fetches are told too: digests as pinned, groups and licences from `kafka-jars.json`.
`python -m deploy.sbom FILE` writes them with their hashes as CycloneDX (`make sbom`). What only development needs is left out.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution, requires
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from cyclonedx.spdx import is_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hookline import __version__
from hookline.local.jars import VERSION, expected

ROOT: Final = ""
LOCK: Final = Path(__file__).parents[1] / "requirements.lock"
RELEASED: Final = ("embedded", "otel")
JARS: Final = Path(__file__).parent / "kafka-jars.json"
FETCHED: Final = ("kafka_2.13", "log4j-slf4j-impl")
"""The jars that are asked for by name; the first brings the others."""
_DYNAMIC: Final = re.compile(r'^dynamic = \["version"\]$', re.MULTILINE)
_PIN: Final = re.compile(r"^(\S+)==[^\n]*(?:\n {4}[^\n]*)*", re.MULTILINE)


def graph(declared: Iterable[str], extras: Iterable[str]) -> dict[str, set[str]]:
    """Return which packages each package brings, by name, and under an empty name what was declared; each must be installed here."""
    found: dict[str, set[str]] = {ROOT: set()}
    seen: set[tuple[str, str]] = set()
    left = [(ROOT, Requirement(text), extra) for text in declared for extra in ("", *extras)]
    while left:
        whose, requirement, extra = left.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.setdefault(name, set())
        found[whose].add(name)
        new = {(name, each) for each in ("", *requirement.extras)} - seen
        seen |= new
        left += [(name, Requirement(text), each) for _, each in new for text in distribution(name).requires or []]
    return found


def licences(name: str) -> list[dict[str, Any]]:
    """Return what an installed package says of its licence, in CycloneDX's form; empty when it says nothing."""
    if expression := _said(name, "License-Expression"):
        return [{"expression": expression, "acknowledgement": "declared"}]
    classifiers = distribution(name).metadata.get_all("Classifier") or []
    named = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    first = _said(name, "License").strip().partition("\n")[0]
    named = [text for text in named if text != "OSI Approved"] or ([first] if first else [])
    return [{"license": {"name": text, "acknowledgement": "declared"}} for text in named]


def _said(name: str, field: str) -> str:
    return str((distribution(name).metadata.get_all(field) or [""])[0])


def pins(lock: str, names: Iterable[str]) -> list[str]:
    """Return the lock's entries of some packages, with all their hashes; raise `KeyError` for a package that it lacks."""
    known = {str(canonicalize_name(match[1])): match[0] for match in _PIN.finditer(lock) if _here(match[0])}
    return [known[name] for name in sorted(names)]


def jars() -> dict[str, dict[str, Any]]:
    """Return the jars of the broker by artifact as CycloneDX's components: digests as pinned, groups and licences as their makers say."""
    makers: dict[str, list[str]] = json.loads(JARS.read_text("utf-8"))
    digests = expected()
    found = {}
    for artifact, (group, licence) in makers.items():
        [file] = [name for name in digests if re.fullmatch(rf"{re.escape(artifact)}-[0-9][0-9.-]*\.jar", name)]
        found[artifact] = _jar(group, artifact, file.removeprefix(f"{artifact}-").removesuffix(".jar"), licence, digests.pop(file))
    if digests:
        raise ValueError(f"{JARS.name} lacks {', '.join(digests)}: add its group and the licence that its POM names")
    return found


def _jar(group: str, artifact: str, version: str, licence: str, digest: str) -> dict[str, Any]:
    purl = f"pkg:maven/{group}/{artifact}@{version}"
    declared = {"acknowledgement": "declared"}
    said = {"expression": licence, **declared} if is_expression(licence) else {"license": {"name": licence, **declared}}
    return {
        "bom-ref": purl,
        "description": f"Of Apache Kafka {VERSION}, which the first `hookline up` fetches",
        "group": group,
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [said],
        "name": artifact,
        "purl": purl,
        "type": "library",
        "version": version,
    }


def _here(pin: str) -> bool:
    """Tell whether a pin is of this platform."""
    marker = Requirement(pin.partition("\\")[0]).marker
    return marker is None or marker.evaluate()


def write(into: Path) -> None:
    """Write the bill of materials of this version; the same lock gives the same file."""
    project = _DYNAMIC.sub(f'version = "{__version__}"', (LOCK.parent / "pyproject.toml").read_text("utf-8"))
    brought = graph(requires("hookline") or [], RELEASED)
    with TemporaryDirectory() as folder:
        (described := Path(folder) / "pyproject.toml").write_text(project, "utf-8")
        command = ["requirements", "--pyproject", str(described), "--mc-type", "application", "--output-reproducible", "--validate"]
        lines = "\n".join(pins(LOCK.read_text("utf-8"), brought.keys() - {ROOT}))
        # Its one warning is that a list of pins has no graph of dependencies, which is added below.
        program = [sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py"]
        subprocess.run([*program, *command, "--output-file", str(into), "-"], input=lines, text=True, check=True)  # noqa: S603  # our own command line
    bill = _with_jars(_told(json.loads(into.read_text("utf-8")), brought))
    into.write_text(json.dumps(bill, indent=2) + "\n", "utf-8")


def _told(bill: dict[str, Any], brought: Mapping[str, set[str]]) -> dict[str, Any]:
    """Return the bill with what the pins do not tell: who brings whom, licences, and what each package is."""
    names = {ROOT: "root-component"}
    for part in bill["components"]:
        name = str(canonicalize_name(part["name"]))
        names[name] = part["bom-ref"] = part["purl"]
        part["description"] = _said(name, "Summary")
        if found := licences(name):
            part["licenses"] = found
    bill["dependencies"] = [{"ref": names[name], "dependsOn": sorted(names[each] for each in brought[name])} for name in sorted(brought)]
    return bill


def _with_jars(bill: dict[str, Any]) -> dict[str, Any]:
    """Return the bill with the jars; which of Kafka's brings which is not pinned, so that all hang on its main one."""
    parts = jars()
    bill["components"] += parts.values()
    found = {artifact: part["bom-ref"] for artifact, part in parts.items()}
    asked = [found.pop(artifact) for artifact in FETCHED]
    brings = {asked[0]: sorted(found.values()), asked[1]: [], **{ref: [] for ref in found.values()}}
    bill["dependencies"][0]["dependsOn"] += asked
    bill["dependencies"] += [{"ref": ref, "dependsOn": each} for ref, each in sorted(brings.items())]
    return bill


if __name__ == "__main__":
    Path(sys.argv[1]).parent.mkdir(exist_ok=True)
    write(Path(sys.argv[1]))
