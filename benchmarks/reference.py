"""The reference of one run: `wrk -t1 -c64` posting the same body to the same receiver; without wrk, a bare uvloop sender.

Given per CPU-second of the sending process, since the receiver shares the machine's cores.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import orjson

from benchmarks.load import Load
from benchmarks.repeats import STAND_IN, Values
from benchmarks.stack import Receiver
from hookline.schemas.catalogue import EVENT_TYPES

CONNECTIONS: Final = 64
_DONE: Final = re.compile(r"(\d+) requests in")
_SCRIPT: Final = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{}", "rb")
wrk.body = file:read("*a")
file:close()
"""


def name() -> str:
    """Return which reference this machine has."""
    return "wrk -t1 -c64" if _there() else "stand-in: a bare uvloop sender (wrk is not installed)"


def _there() -> bool:
    return shutil.which("wrk") is not None


def body(event_type: str) -> bytes:
    """Return a delivery's body as a receiver gets it."""
    event = {"id": "evt_" + "0" * 26, "type": event_type, "timestamp": "2026-01-01T00:00:00.000000Z", "store_id": "bench"}
    return orjson.dumps(event | {"data": EVENT_TYPES[event_type].example})


def measure(to: Receiver, event_type: str, seconds: float, *, tls: bool) -> Values:
    """Return calls per CPU-second of the reference, over connections that are kept alive, and whether it is the stand-in."""
    url = to.tls_url("hook") if tls else to.url("hook")
    there = _there()
    calls, cpu_s = (_wrk if there else _stand_in)(url, body(event_type), seconds)
    if not calls or not cpu_s:
        raise SystemExit(f"{name()} got no answer from {url}")
    return {"calls": calls, "rate_per_cpu_s": calls / cpu_s, "rate_per_s": calls / seconds, STAND_IN: not there}


def _wrk(url: str, posted: bytes, seconds: float) -> tuple[int, float]:
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder:
        script, kept = Path(folder) / "post.lua", Path(folder) / "body"
        kept.write_bytes(posted)
        script.write_text(_SCRIPT.format(kept))
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(script), url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                told = process.stdout.read() if process.stdout is not None else ""
                _, status, usage = os.wait4(process.pid, 0)
            except KeyboardInterrupt:  # the run is ended, and wrk would go on alone
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
    done = _DONE.search(told)
    if process.returncode or done is None or "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(f"wrk failed: {told.strip()}")
    return int(done[1]), usage.ru_utime + usage.ru_stime


def _stand_in(url: str, posted: bytes, seconds: float) -> tuple[int, float]:
    context = ssl._create_unverified_context() if url.startswith("https") else None  # noqa: SLF001  # as wrk, it checks nothing
    before = time.process_time()
    calls, _ = Load(url=url, connections=CONNECTIONS, tls=context).lasting(lambda _: posted, seconds)
    return calls, time.process_time() - before
