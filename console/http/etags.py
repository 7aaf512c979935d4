"""ETags and If-Match: a change says which version it was made from, so that nobody's change is lost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hookline.console.http.problems import Code, Refused
from hookline.kernel.errors import InputError, Stale

_ONE: Final = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]{0,64})"\s*\Z')
ANY: Final = "*"


def etag(version: int) -> str:
    """Return the ETag of a version."""
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions that a caller accepts; none at all when `any_of` is None, every one when it holds `*`."""

    any_of: frozenset[str] | None = None

    def expect(self, version: int) -> None:
        """Return when the version is accepted; raise `Stale`, or `Refused` when no If-Match came."""
        if self.any_of is None:
            raise Refused(Code.PRECONDITION_REQUIRED, "A change needs the If-Match header", field="If-Match")
        if not self.any_of:
            raise Stale('A weak ETag, such as W/"3", matches no version', field="If-Match", remedy="Send the ETag without its W/.")
        if ANY not in self.any_of and str(version) not in self.any_of:
            raise Stale(f"Its version is {version} by now", field="If-Match")

    def expected(self, version: int) -> int | None:
        """Return the version when the caller named those it accepts and this is one, None when it takes any; raise `Stale`."""
        if self.any_of is None or ANY in self.any_of:
            return None
        self.expect(version)
        return version

    def knows(self, version: int) -> bool:
        """Tell whether the caller has this version already (If-None-Match)."""
        return self.any_of is not None and (ANY in self.any_of or str(version) in self.any_of)


NO_VERSIONS: Final = Versions()


def versions(header: str | None, name: str, *, weak: bool) -> Versions:
    """Return the versions of an If-Match (weak tags never match) or If-None-Match header (they do); raise `InputError`."""
    if header is None:
        return NO_VERSIONS
    if header.strip() == ANY:
        return Versions(frozenset({ANY}))
    found = [_ONE.match(part) for part in header.split(",")]
    if not all(found):
        raise InputError(f'{name} must hold ETags such as "3"', field=name, remedy="Send the ETag header of the last answer unchanged.")
    return Versions(frozenset(match[2] for match in found if match is not None and (weak or not match[1])))
