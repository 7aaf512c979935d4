"""The broker's jars: fetched once into a cache folder, checked against digests that are part of this source, reused offline."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Final

from hookline.kernel.errors import LocalError

VERSION: Final = "4.3.1"
_ARTIFACT: Final = f"org.apache.kafka:kafka_2.13:{VERSION}"
# Kafka's API for logging comes without anything behind it: this leads it to the Log4j that Kafka brings.
_LOGGING: Final = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4")
_MEGABYTES: Final = 46
_FOLDERS: Final = ("jgo", "maven")
_TIMEOUT_S: Final = 30
_TELL_S: Final = 2.0

Told = Callable[[str], None]


def cache_dir() -> Path:
    """Return where the jars are kept: HOOKLINE_CACHE_DIR, else the user's cache folder."""
    base = os.environ.get("HOOKLINE_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hookline"
    return Path(base).absolute()


def jars(cache: Path, told: Told = lambda _: None) -> list[Path]:
    """Return the broker's jars, fetching them once (46 MB with their descriptions) while telling how far that is.

    A jar that is missing or differs from its digest has all of them fetched anew. Raises `LocalError` when that fails, or
    when what comes is not what is expected. Safe against other processes that fetch at the same time.
    """
    with _locked(cache):
        found = _known(cache)
        if found and not (wrong := _wrong(found)):
            return found
        if found:
            told(f"fetching Apache Kafka again: {wrong} in {cache}")
            _forget(cache)
        with _telling(cache, told):
            found = _fetch(cache)
        if wrong := _wrong(found):
            _forget(cache)
            raise LocalError(
                f"What came as Apache Kafka {VERSION} is not what was expected: {wrong}",
                remedy="Check what the network or the package proxy serves, then start again.",
            )
        _list(cache).write_text(json.dumps([str(path) for path in found]))
        return found


def expected() -> dict[str, str]:
    """Return file name → SHA-256 of every jar."""
    text = resources.files("hookline.local").joinpath(f"kafka-{VERSION}.sha256.json").read_text("utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def _fetch(cache: Path) -> list[Path]:
    from jgo.env import EnvironmentBuilder  # noqa: PLC0415  # only needed once per machine, and part of the `embedded` extra
    from jgo.maven import MavenContext  # noqa: PLC0415

    # A repository of its own: jgo links its files to the repository's, so a damaged one must go in both places.
    context = MavenContext(repo_cache=cache / "maven", timeout=_TIMEOUT_S)
    try:
        environment = EnvironmentBuilder(context=context, cache_dir=cache / "jgo").from_endpoint(_ARTIFACT)
        group, name, version = _LOGGING
        logging = context.project(group, name).at_version(version).artifact().resolve()
        return sorted(Path(jar) for jar in (*environment.all_jars, logging))
    except Exception as error:  # whatever the resolver raises means the same here
        raise LocalError(
            f"Apache Kafka {VERSION} could not be fetched: {' '.join(str(error).split())[:300]}",
            remedy="Check the network; later starts need none.",
        ) from error


def _list(cache: Path) -> Path:
    """Return where the list of a set of jars is: another set in the same cache has a list of its own."""
    digest = hashlib.sha256(repr(sorted(expected().items())).encode()).hexdigest()[:8]
    return cache / f"kafka-{VERSION}-{digest}.paths.json"


def _known(cache: Path) -> list[Path]:
    """Return the jars of the last fetch; empty when there was none, or its list cannot be read."""
    try:
        return [Path(path) for path in json.loads(_list(cache).read_text())]
    except (OSError, ValueError, TypeError):
        return []


def _wrong(found: list[Path]) -> str:
    """Return what is wrong with these jars, or an empty text; reading 45 MB takes 30 ms."""
    wanted = expected()
    have = {path.name: _digest(path) for path in found}
    for name in sorted(wanted.keys() | have.keys()):
        if not have.get(name):
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is not part of it"
        if have[name] != wanted[name]:
            return f"{name} was changed"
    return ""


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _forget(cache: Path) -> None:
    _list(cache).unlink(missing_ok=True)
    for folder in _FOLDERS:
        shutil.rmtree(cache / folder, ignore_errors=True)


@contextlib.contextmanager
def _telling(cache: Path, told: Told) -> Iterator[None]:
    """Tell every two seconds how much of the download is there."""
    done = threading.Event()

    def tell() -> None:
        told(f"fetching Apache Kafka {VERSION} ({_MEGABYTES} MB, once)")
        while not done.wait(_TELL_S):
            files, size = _size(cache / "maven")
            told(f"fetching Apache Kafka: {files} files, {size // 1_000_000} of {_MEGABYTES} MB")

    thread = threading.Thread(target=tell, name="download", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _size(folder: Path) -> tuple[int, int]:
    """Return how many files a folder holds, and their bytes; what vanishes meanwhile counts as nothing."""
    sizes = []
    for path in folder.rglob("*.*"):
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    return len(sizes), sum(sizes)


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        file = (cache / "kafka.lock").open("w")
    except OSError as error:
        raise LocalError(f"The cache folder {cache} cannot be used: {error.strerror}", remedy="Set HOOKLINE_CACHE_DIR.") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
