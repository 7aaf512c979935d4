"""Asking a process whether it can work: its `/readyz`, as probes for the supervisor."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Final

from hookline.kernel.metrics import Probe

_TIMEOUT_S: Final = 2.0
# Loopback needs no proxy.
_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def readyz(port: int) -> Probe:
    """Return a probe that is empty once `/readyz` of a metrics port on this machine says so, else tells what is missing."""

    def probe() -> str:
        try:
            with _opener.open(f"http://127.0.0.1:{port}/readyz", timeout=_TIMEOUT_S):
                return ""
        except urllib.error.HTTPError as error:
            return _complaint(error.read())
        except OSError:
            return "it does not answer yet"

    return probe


def _complaint(body: bytes) -> str:
    try:
        found: Any = json.loads(body)
        return "; ".join(str(text) for text in found.values() if text != "ok") or "not ready"
    except (ValueError, AttributeError):
        return "not ready"
