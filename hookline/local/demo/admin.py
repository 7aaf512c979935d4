"""What the demo's admin does over the console's API, as a store's own program would: webhooks made, dead letters replayed."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from hookline.kernel.errors import LocalError

_TIMEOUT_S: Final = 30.0
# Loopback needs no proxy, and a proxy must not see the token.
_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Admin:
    """Asks the console at `HOOKLINE_CONSOLE_URL` for one store; raises `LocalError` when it refuses or does not answer."""

    def __init__(self, environ: Mapping[str, str], store_id: str) -> None:
        self._url = environ["HOOKLINE_CONSOLE_URL"] + "/api/v1"
        self._headers = {
            "Authorization": f"Bearer {environ['HOOKLINE_OPERATOR_TOKEN']}",
            "Hookline-Store": store_id,
            "Content-Type": "application/json",
        }

    def webhook(self, name: str, url: str, event_types: Sequence[str], filter_: str) -> tuple[str, str]:
        """Make a webhook; return its id and its secret."""
        made = self._ask("/webhooks", {"name": name, "url": url, "event_types": list(event_types), "filter": filter_})
        return str(made["id"]), str(made["secret"])

    def replay(self, reason: str, rate: float) -> str:
        """Have all dead letters of a reason delivered again, so many a second; return the job's id."""
        return str(self._ask("/replays", {"source": "dead_letters", "filter": {"reason": reason}, "rate": rate, "max": 100_000})["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a replay job as it is now."""
        return self._ask(f"/replays/{job_id}")

    def audited(self, job_id: str) -> bool:
        """Tell whether the audit names the job's making."""
        return bool(self._ask("/audit?" + urlencode({"action": "replay.create", "target": job_id}))["data"])

    def _ask(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._url + path, data, self._headers)  # noqa: S310  # the stack's own address
        try:
            with _opener.open(request, timeout=_TIMEOUT_S) as answer:
                found: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise LocalError(f"The console refused {path}: {error.read().decode('utf-8', 'replace')[:500]}") from error
        except (OSError, ValueError) as error:
            raise LocalError(f"The console at {self._url} does not answer: {error}", remedy="Its log is console.log in logs.") from error
        return found
