"""The state folder of the embedded stack: one stack at a time, keys and ports that stay, the file for other terminals."""

from __future__ import annotations

import base64
import dataclasses
import fcntl
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from hookline.kernel.config import ENVIRONMENT_FILE
from hookline.kernel.errors import LocalError
from hookline.local.kafka_broker import bindable, free_port

KAFKA: Final = "kafka"
LOGS: Final = "logs"
_LOCK: Final = "up.lock"
_KEYS: Final = "keys.json"
_PORTS: Final = "ports.json"
_DECODING: Final = "decoding"
_PRIVATE: Final = (KAFKA, LOGS, "clickhouse", _DECODING)
_DATA: Final = (KAFKA, LOGS, "clickhouse", "clickhouse.lock", _DECODING, _PORTS, ENVIRONMENT_FILE)
_LEFTOVER_S: Final = 90.0
_STEP_S: Final = 0.2
_LARGE_BYTES: Final = 16 * 1024 * 1024
_ANEW: Final = "Restore it from a backup, or start with `hookline up --fresh`, which deletes what the stack holds and begins anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What must be the same at every start: the stored webhook secrets and API keys open with nothing else.

    `api_key` is the key that was made for the store `demo`, empty before that; `operator_token` may act for every store in
    the console, empty in folders of versions before it.
    """

    secret_keys: str
    api_key_pepper: str
    query_token: str
    api_key: str = ""
    operator_token: str = ""

    @classmethod
    def made(cls) -> Self:
        """Return fresh keys."""
        return cls(
            secret_keys="local:" + base64.b64encode(os.urandom(32)).decode(),
            api_key_pepper=secrets.token_urlsafe(32),
            query_token=secrets.token_urlsafe(32),
            operator_token=secrets.token_urlsafe(32),
        )


class StateFolder:
    """The folder of one stack; `acquire` first."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def lock_handle(self) -> int:
        """The lock's file descriptor; whoever holds it open keeps the folder taken."""
        if self._lock is None:
            raise LocalError("The state folder was not acquired")
        return self._lock

    @property
    def held(self) -> bool:
        """Whether this process has the folder."""
        return self._lock is not None

    @property
    def environment_file(self) -> Path:
        """What other terminals read."""
        return self.path / ENVIRONMENT_FILE

    def acquire(self, waiting: Callable[[], None], *, patience_s: float = _LEFTOVER_S) -> None:
        """Take the folder for this process; raise `LocalError` when it cannot be used or another stack has it.

        When that stack was killed and what is left of it is still being stopped, say so by `waiting` and wait.
        """
        deadline, told = time.monotonic() + patience_s, False
        self._open()
        while not self._locked():
            owner = self._owner()
            if _alive(owner) or time.monotonic() > deadline:
                self.release()
                raise LocalError(
                    f"Another `hookline up` (process {owner or '?'}) runs in {self.path}",
                    remedy="Use that one, stop it with Ctrl-C, or set HOOKLINE_STATE_DIR to another folder.",
                )
            if not told:
                waiting()
                told = True
            time.sleep(_STEP_S)
        self._sign()

    def release(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        """Delete what the stack keeps here, except the keys: they open what a Kafka elsewhere may hold."""
        for name in _DATA:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        with suppress(LocalError):
            self.keep(dataclasses.replace(self._read_keys(), api_key=""))
            return
        (self.path / _KEYS).unlink(missing_ok=True)

    def keys(self) -> Keys:
        """Return the kept keys, made at the first start; raise `LocalError` when they are damaged or gone from a used folder."""
        if (self.path / _KEYS).exists():
            return self._read_keys()
        if (self.path / KAFKA / "data").exists():
            raise LocalError(
                f"The state folder {self.path} is damaged: {_KEYS} is missing, without which its webhooks' secrets stay shut", remedy=_ANEW
            )
        made = Keys.made()
        self.keep(made)
        return made

    def keep(self, keys: Keys) -> None:
        """Write the keys, readable by nobody else."""
        _write_private(self.path / _KEYS, dataclasses.asdict(keys))

    def ports(self, names: list[str], fixed: dict[str, int], favourites: dict[str, int]) -> dict[str, int]:
        """Return a port for each name, and keep them: the fixed one, else the last one while it is free, else a favourite, else any.

        Raises `LocalError` when a fixed one is in use.
        """
        path = self.path / _PORTS
        kept: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            read = json.loads(path.read_text())
            kept = read if isinstance(read, dict) else {}
        found: dict[str, int] = {}
        for name in names:
            wanted, taken = fixed.get(name, 0), set(found.values())
            found[name] = _fixed(name, wanted) if wanted else _free([kept.get(name), favourites.get(name)], taken)
        path.write_text(json.dumps({**kept, **found}))
        return found

    def publish(self, environ: dict[str, str]) -> None:
        """Write what other terminals need to find the running stack."""
        _write_private(self.environment_file, environ)

    def unpublish(self) -> None:
        """Remove it again."""
        self.environment_file.unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """Return the log file of a process, readable by nobody else where it exists; a large one is put aside once."""
        folder = self.path / LOGS
        folder.mkdir(exist_ok=True, mode=0o700)
        path = folder / f"{name}.log"
        if path.exists():
            path.chmod(0o600)
        if path.exists() and path.stat().st_size > _LARGE_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    # ---- the parts ----

    def _open(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            (self.path / LOGS).mkdir(exist_ok=True)
            self._shut()
        except OSError as error:
            raise LocalError(
                f"The state folder {self.path} cannot be used: {error.strerror}", remedy="Set HOOKLINE_STATE_DIR to a folder you may write."
            ) from error

    def _shut(self) -> None:
        """Keep others out of what the stack keeps: logs hold the first-run link, data hold events. The folder itself may hold more."""
        for folder in filter(Path.is_dir, (self.path / name for name in _PRIVATE)):
            if stat.S_IMODE(folder.stat().st_mode) & 0o077:
                folder.chmod(0o700)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self.lock_handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _owner(self) -> int:
        text = os.pread(self.lock_handle, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0

    def _sign(self) -> None:
        os.ftruncate(self.lock_handle, 0)
        os.pwrite(self.lock_handle, str(os.getpid()).encode(), 0)

    def _read_keys(self) -> Keys:
        try:
            found = json.loads((self.path / _KEYS).read_text())
        except OSError as error:
            raise self._damaged(error.strerror or "the disk fails") from error
        except ValueError as error:
            raise self._damaged("it is no JSON") from error
        wrong = _wrong_with(found)
        if wrong:
            raise self._damaged(wrong)
        return Keys(**found)

    def _damaged(self, why: str) -> LocalError:
        return LocalError(f"The state folder {self.path} is damaged: {_KEYS} cannot be read: {why}", remedy=_ANEW)


def _wrong_with(found: object) -> str:
    """Return what keeps something from being keys, empty when nothing does."""
    if not isinstance(found, dict):
        return "it is no JSON object"
    missing = [field.name for field in dataclasses.fields(Keys) if field.default is dataclasses.MISSING and field.name not in found]
    if missing:
        return f"{', '.join(missing)} must be in it"
    unknown = sorted(found.keys() - {field.name for field in dataclasses.fields(Keys)})
    if unknown:
        return f"{', '.join(unknown)[:80]} is not known to this version"
    numbers = [name for name, value in found.items() if not isinstance(value, str)]
    return f"{', '.join(numbers)} must be text in quotes" if numbers else ""


def _fixed(name: str, port: int) -> int:
    if not bindable(port):
        raise LocalError(f"Port {port} for {name} is in use or not allowed", remedy="Stop what uses it, or give another port.")
    return port


def _free(candidates: list[object], taken: set[int]) -> int:
    for candidate in candidates:
        if isinstance(candidate, int) and 0 < candidate < 2**16 and candidate not in taken and bindable(candidate):
            return candidate
    while (port := free_port()) in taken:
        pass
    return port


def _alive(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write_private(path: Path, value: dict[str, Any]) -> None:
    """Replace a file in one step by one that only its owner may read."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(value, file, indent=1)
    partial.replace(path)
