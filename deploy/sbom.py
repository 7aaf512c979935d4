"""What a release brings along: the pins of requirements.lock that `pip install hookline[embedded,otel]` installs on this platform.

`python -m deploy.sbom FILE` writes them with their hashes as CycloneDX (`make sbom`). What only development needs is left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distribution, requires
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hookline import __version__

LOCK: Final = Path(__file__).parents[1] / "requirements.lock"
RELEASED: Final = ("embedded", "otel")
_DYNAMIC: Final = re.compile(r'^dynamic = \["version"\]$', re.MULTILINE)
_PIN: Final = re.compile(r"^(\S+)==[^\n]*(?:\n {4}[^\n]*)*", re.MULTILINE)


def needed(declared: Iterable[str], extras: Iterable[str]) -> set[str]:
    """Return the names of all packages that some requirements bring, theirs included; each must be installed here."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    left = [(Requirement(text), extra) for text in declared for extra in ("", *extras)]
    while left:
        requirement, extra = left.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        new = {(name, each) for each in ("", *requirement.extras)} - seen
        seen |= new
        left += [(Requirement(text), each) for _, each in new for text in distribution(name).requires or []]
    return found


def pins(lock: str, names: Iterable[str]) -> list[str]:
    """Return the lock's entries of some packages, with all their hashes; raise `KeyError` for a package that it lacks."""
    known = {str(canonicalize_name(match[1])): match[0] for match in _PIN.finditer(lock) if _here(match[0])}
    return [known[name] for name in sorted(names)]


def _here(pin: str) -> bool:
    """Tell whether a pin is of this platform."""
    marker = Requirement(pin.partition("\\")[0]).marker
    return marker is None or marker.evaluate()


def write(into: Path) -> None:
    """Write the bill of materials of this version; the same lock gives the same file."""
    project = _DYNAMIC.sub(f'version = "{__version__}"', (LOCK.parent / "pyproject.toml").read_text("utf-8"))
    with TemporaryDirectory() as folder:
        (described := Path(folder) / "pyproject.toml").write_text(project, "utf-8")
        command = ["requirements", "--pyproject", str(described), "--mc-type", "application", "--output-reproducible", "--validate"]
        lines = "\n".join(pins(LOCK.read_text("utf-8"), needed(requires("hookline") or [], RELEASED)))
        # Its one warning is that a list of pins has no graph of dependencies.
        program = [sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py"]
        subprocess.run([*program, *command, "--output-file", str(into), "-"], input=lines, text=True, check=True)  # noqa: S603  # our own command line


if __name__ == "__main__":
    Path(sys.argv[1]).parent.mkdir(exist_ok=True)
    write(Path(sys.argv[1]))
