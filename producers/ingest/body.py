"""The body of a request: whole, unpacked and within its limits, or the reason why not."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from aiohttp import hdrs, web

from hookline.producers.ingest import metrics
from hookline.producers.ingest.config import IngestConfig
from hookline.producers.ingest.errors import Refused, refused

MAX_RATIO: Final = 100
_EXPECTED: Final = "100-continue"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_GZIP: Final = 31  # zlib's window bits for a gzip header and trailer
_JSON: Final = frozenset({"application/json", "application/json; charset=utf-8"})


class Bodies:
    """Reads bodies; what the headers tell already is refused before the first byte is read."""

    def __init__(self, config: IngestConfig) -> None:
        self._most = config.max_body_bytes
        self._within_s = config.body_s

    async def read(self, request: web.BaseRequest) -> bytes:
        """Return the body, unpacked; raise `Refused`."""
        packed = self._check_headers(request)
        if request.content.is_eof():
            raw = request.content.read_nowait()
        else:
            await _continue(request)
            raw = await self._arriving(request)
        if len(raw) > self._most:
            raise self._too_large()
        metrics.BODY_BYTES.inc(len(raw))
        return self._unpacked(raw) if packed else raw

    def _check_headers(self, request: web.BaseRequest) -> bool:
        """Return whether the body is packed; raise `Refused` for what cannot be read."""
        headers = request.headers
        kind = headers.get(hdrs.CONTENT_TYPE, "")
        if kind not in _JSON and not _is_json(kind):
            raise refused("content_type_unsupported", "The body must be application/json in UTF-8", remedy="Set Content-Type.")
        encoding = headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
        if encoding not in {"gzip", "identity"}:
            raise refused("encoding_unsupported", "The body may be packed with gzip only", remedy="Send gzip, or no Content-Encoding.")
        if headers.get(hdrs.EXPECT, _EXPECTED).strip().lower() != _EXPECTED:
            raise refused("expectation_unsupported", f"Expect may be {_EXPECTED} only", remedy="Leave the header out.")
        length = headers.get(hdrs.CONTENT_LENGTH)
        if length is None and hdrs.TRANSFER_ENCODING not in headers:
            raise refused("length_required", "The request has no body length", remedy="Send Content-Length, or the body in chunks.")
        if length is not None and int(length) > self._most:  # the HTTP parser lets only digits pass
            raise self._too_large()
        return encoding == "gzip"

    async def _arriving(self, request: web.BaseRequest) -> bytes:
        found = bytearray()
        content = request.content
        try:
            async with asyncio.timeout(self._within_s):
                while not content.at_eof():
                    found += await content.readany()
                    if len(found) > self._most:
                        raise self._too_large()
        except TimeoutError:
            raise refused("body_timeout", f"The body did not arrive in {self._within_s:g} s", remedy="Send it again.") from None
        except (web.RequestPayloadError, ConnectionError) as error:
            raise refused("malformed_request", "The body is incomplete or its chunks are broken") from error
        return bytes(found)

    def _unpacked(self, raw: bytes) -> bytes:
        unpacker = zlib.decompressobj(_GZIP)
        most = min(self._most, MAX_RATIO * len(raw))
        try:
            found = unpacker.decompress(raw, most + 1)
        except zlib.error as error:
            raise refused("malformed_encoding", "The body is not gzip") from error
        if len(found) > most:
            raise self._too_large()
        if not unpacker.eof or unpacker.unused_data:
            raise refused("malformed_encoding", "The gzip data are incomplete, or something follows them")
        return found

    def _too_large(self) -> Refused:
        return refused(
            "body_too_large",
            f"The body is over {self._most:,} bytes, or packed more than {MAX_RATIO} times",
            remedy="Send fewer events in one request.",
        )


async def _continue(request: web.BaseRequest) -> None:
    """Tell a client that waits for leave to send its body that it may."""
    if hdrs.EXPECT in request.headers:
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # the answer itself has not begun


def _is_json(kind: str) -> bool:
    media, _, parameters = kind.partition(";")
    if media.strip().lower() != "application/json":
        return False
    names = (part.partition("=") for part in parameters.split(";") if part.strip())
    return all(name.strip().lower() != "charset" or value.strip().strip('"').lower() == "utf-8" for name, _, value in names)
