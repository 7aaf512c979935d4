"""The jars in the bill of materials: told as their makers tell them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from deploy.sbom import jars
from hookline.local.jars import cache_dir
from hookline.local.jars import jars as fetched

pytestmark = pytest.mark.kafka

FAMILY: Final = {
    "Apache-2.0": re.compile(r"Apache.*2\.0"),
    "BSD-2-Clause": re.compile("BSD.2.Clause"),
    "CC0-1.0 OR BSD-2-Clause": re.compile("CC0.*BSD-2-Clause"),
    "Go License": re.compile("Go License"),
    "MIT": re.compile("MIT"),
}


def licences_in(pom: Path, repository: Path) -> str:
    """Return the licences that a POM or the nearest parent with any names; empty without the POM of a jar that was fetched alone."""
    if not pom.exists():
        return ""
    text = re.sub(r'\sxmlns="[^"]+"', "", pom.read_text("utf-8"), count=1)
    tree = ET.fromstring(text)
    if said := " ".join(found.text or "" for found in tree.findall("licenses/license/name")):
        return said
    group, name, version = (str(tree.findtext(f"parent/{field}")) for field in ("groupId", "artifactId", "version"))
    return licences_in(repository / group.replace(".", "/") / name / version / f"{name}-{version}.pom", repository)


def test_the_jars_of_the_bill_are_told_as_their_makers_do() -> None:
    """Group and licence of each jar are those of the description that came with it."""
    assert fetched(cache_dir())
    repository = cache_dir() / "maven"
    for name, part in jars().items():
        folder = repository / part["group"].replace(".", "/") / name / part["version"]
        assert (folder / f"{name}-{part['version']}.jar").is_file(), part["purl"]
        if said := licences_in(folder / f"{name}-{part['version']}.pom", repository):
            [licence] = part["licenses"]
            assert FAMILY[licence.get("expression") or licence["license"]["name"]].search(said), part["purl"]
