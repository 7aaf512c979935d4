"""The broker's jars: what is used is what this source names."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from hookline.kernel.errors import LocalError
from hookline.local import jars

pytestmark = pytest.mark.unit


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that two small jars are fetched from, in place of the network."""
    folder = tmp_path / "origin"
    folder.mkdir()
    for name in ("kafka.jar", "other.jar"):
        (folder / name).write_text(name)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(jars, "expected", lambda: digests)

    def fetch(cache: Path) -> list[Path]:
        shutil.copytree(folder, cache / "jgo")
        return sorted((cache / "jgo").iterdir())

    monkeypatch.setattr(jars, "_fetch", fetch)
    return folder


def test_jars_are_fetched_once_and_then_reused_offline(origin: Path, tmp_path: Path) -> None:
    """The second time nothing is fetched, and nothing told."""
    told: list[str] = []
    first = jars.jars(tmp_path / "cache", told.append)
    assert told
    shutil.rmtree(origin)
    told.clear()
    assert jars.jars(tmp_path / "cache", told.append) == first
    assert told == []


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_jar_is_fetched_anew(origin: Path, tmp_path: Path, harm: str) -> None:
    """A jar that was changed or deleted in the cache is replaced by a good one, and it is told which one."""
    found = jars.jars(tmp_path / "cache")
    if harm == "changed":
        found[0].write_text("evil")
    else:
        found[0].unlink()
    told: list[str] = []
    again = jars.jars(tmp_path / "cache", told.append)
    assert [path.read_text() for path in again] == ["kafka.jar", "other.jar"]
    assert any(f"kafka.jar {'was changed' if harm == 'changed' else 'is missing'}" in text for text in told)
    assert origin.exists()


@pytest.mark.parametrize(("name", "text", "said"), [("kafka.jar", "evil", "was changed"), ("extra.jar", "evil", "is not part of it")])
def test_a_jar_that_comes_wrong_is_never_used(origin: Path, tmp_path: Path, name: str, text: str, said: str) -> None:
    """What the network serves must have the digests of this source; if not, nothing of it is kept."""
    (origin / name).write_text(text)
    with pytest.raises(LocalError, match=f"{name} {said}"):
        jars.jars(tmp_path / "cache")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["kafka.lock"]


def test_a_damaged_list_has_them_fetched_anew(origin: Path, tmp_path: Path) -> None:
    """The list of what was fetched is only a short cut."""
    cache = tmp_path / "cache"
    jars.jars(cache)
    shutil.rmtree(cache / "jgo")
    (cache / f"kafka-{jars.VERSION}.paths.json").write_text("{nonsense")
    assert len(jars.jars(cache)) == len(list(origin.iterdir()))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error names the folder and the variable to set."""
    (tmp_path / "cache").touch()
    with pytest.raises(LocalError, match="cannot be used") as caught:
        jars.jars(tmp_path / "cache")
    assert "HOOKLINE_CACHE_DIR" in caught.value.remedy


def test_every_jar_has_a_digest() -> None:
    """The source names Kafka's own jar and what it needs, each by a SHA-256."""
    found = json.loads(Path(jars.__file__).with_name(f"kafka-{jars.VERSION}.sha256.json").read_text())
    assert f"kafka_2.13-{jars.VERSION}.jar" in found
    assert len(found) > 40
    assert all(len(digest) == 64 for digest in found.values())
