"""The body of a request: whole, unpacked and within its limits, or the reason why not."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

from hookline.producers.ingest import metrics
from hookline.producers.ingest.errors import Refused, refused

MAX_RATIO: Final = 100
EXPECTED: Final = "100-continue"
_WHOLE: Final = "Send what gzip makes of the JSON, whole and alone, or no Content-Encoding."
_GZIP: Final = 31  # zlib's window bits for a gzip header and trailer
_JSON: Final = frozenset({"application/json", "application/json; charset=utf-8"})


class Bodies:
    """Checks bodies; what the head tells already is refused before the first byte of the body is read."""

    def __init__(self, most: int) -> None:
        self._most = most

    def announced(self, headers: Mapping[str, str]) -> bool:
        """Return whether the body is packed; raise `Refused` for what cannot be read."""
        kind = headers.get("content-type", "")
        if kind not in _JSON and not _is_json(kind):
            raise refused("content_type_unsupported", "The body must be application/json in UTF-8", remedy="Set Content-Type.")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"gzip", "identity"}:
            raise refused("encoding_unsupported", "The body may be packed with gzip only", remedy="Send gzip, or no Content-Encoding.")
        if headers.get("expect", EXPECTED).strip().lower() != EXPECTED:
            raise refused("expectation_unsupported", f"Expect may be {EXPECTED} only", remedy="Leave the header out.")
        length = headers.get("content-length")
        if length is None and "transfer-encoding" not in headers:
            raise refused("length_required", "The request has no body length", remedy="Send Content-Length, or the body in chunks.")
        if length is not None and int(length) > self._most:  # the HTTP parser lets only digits pass
            raise self.too_large()
        return encoding == "gzip"

    def whole(self, raw: bytes, *, packed: bool) -> bytes:
        """Return a body that is there as a whole, unpacked; raise `Refused`."""
        metrics.BODY_BYTES.inc(len(raw))
        return self._unpacked(raw) if packed else raw

    def _unpacked(self, raw: bytes) -> bytes:
        unpacker = zlib.decompressobj(_GZIP)
        most = min(self._most, MAX_RATIO * len(raw))
        try:
            found = unpacker.decompress(raw, most + 1)
        except zlib.error as error:
            raise refused("malformed_encoding", "The body is not gzip", remedy=_WHOLE) from error
        if len(found) > most:
            raise self.too_large()
        if not unpacker.eof or unpacker.unused_data:
            raise refused("malformed_encoding", "The gzip data are incomplete, or something follows them", remedy=_WHOLE)
        return found

    def too_large(self) -> Refused:
        """Return the refusal of a body that is over the limit."""
        return refused(
            "body_too_large",
            f"The body is over {self._most:,} bytes, or packed more than {MAX_RATIO} times",
            remedy="Send fewer events in one request.",
        )


def _is_json(kind: str) -> bool:
    media, _, parameters = kind.partition(";")
    if media.strip().lower() != "application/json":
        return False
    names = (part.partition("=") for part in parameters.split(";") if part.strip())
    return all(name.strip().lower() != "charset" or value.strip().strip('"').lower() == "utf-8" for name, _, value in names)
