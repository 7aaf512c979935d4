"""What every transport must refuse, for every place of `tests/webhooks/spellings.py`: typed, looked up, or changed after a look-up.

No call leaves and no server is needed: connects are noted and refused, so "nothing inside was dialled" is what is looked at, not
what was made of it. Names are answered from a table, spellings of addresses by the system's own reading of them.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest

from hookline.dispatcher.transport.contract import Failure
from hookline.schemas.records import ErrorKind
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.hostile import AT_ONCE_S, Caller
from tests.dispatcher.suite import Suite
from tests.webhooks.spellings import GOOD, HOSTS, INSIDE, NAMES, OUTSIDE

STRICT: Final = UrlPolicy(allow_http=True, allowed_ports=(), allow_addresses=(), deny_addresses=(), deny_hosts=())
Answers = dict[str, Callable[[], list[str]]]
_OUT: Final = "93.184.216.34"


def answer(ip: str, port: Any) -> tuple[Any, ...]:
    """Return one address as `getaddrinfo` does."""
    if ":" in ip:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (ip, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))


class Spellings(Suite):
    """Every bad place, by every way in; every good one, which must still be reached."""

    @pytest.fixture
    def dialled(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Give the list of addresses that somebody tried to connect to; each is refused as by a closed port."""
        found: list[str] = []

        def connect(_self: socket.socket, address: Any) -> None:
            found.append(str(address[0]))
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

        monkeypatch.setattr(socket.socket, "connect", connect)
        return found

    @pytest.fixture
    def answers(self, monkeypatch: pytest.MonkeyPatch) -> Answers:
        """Give the table of names; what is not in it is read as the system reads addresses, and any other name leads inside."""
        table: Answers = {}
        real = socket.getaddrinfo

        def look_up(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
            name = host.decode() if isinstance(host, bytes) else host
            if name in table:
                return [answer(ip, port) for ip in table[name]()]
            with contextlib.suppress(OSError, UnicodeError):
                return list(real(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
            return [answer("127.0.0.1", port)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        return table

    @contextlib.asynccontextmanager
    async def strict(self) -> AsyncIterator[Caller]:
        """Give a caller over a started transport with the policy that webhooks have by default, but for http."""
        transport = self.make(STRICT)
        await transport.start()
        try:
            yield Caller(transport)
        finally:
            await transport.stop()

    async def kinds(self, caller: Caller, urls: dict[str, str]) -> dict[str, ErrorKind]:
        """Call every URL; return how each ended. None may be answered, and none may take its whole time."""
        found: dict[str, ErrorKind] = {}
        for name, url in urls.items():
            result = await caller.call(url)
            assert isinstance(result, Failure), (name, result)
            assert result.elapsed_s < AT_ONCE_S, name
            found[name] = result.kind
        return found

    async def test_no_spelling_of_a_host_is_dialled(self, dialled: list[str], answers: Answers) -> None:
        """Every host that no webhook may have: were it saved all the same, the connect would still not happen."""
        assert answers == {}
        async with self.strict() as caller:
            kinds = await self.kinds(caller, {host: f"http://{host}/hook" for host in (*HOSTS, *NAMES)})
        assert set(dialled) <= {"8.8.8.8", "2606:4700:4700::1111"}, "public addresses are refused as hosts of a webhook, not as places"
        assert sum(kind is ErrorKind.BLOCKED for kind in kinds.values()) >= 60

    async def test_no_literal_address_is_dialled(self, dialled: list[str], answers: Answers) -> None:
        """Every inside address as the host itself: aiohttp looks literals up with nobody, so the connect must ask."""
        assert answers == {}
        plain = {ip: f"http://[{ip}]/hook" if ":" in ip else f"http://{ip}/hook" for ip in INSIDE if "%" not in ip}
        async with self.strict() as caller:
            kinds = await self.kinds(caller, plain)
        assert dialled == []
        assert {ip: kind for ip, kind in kinds.items() if kind is not ErrorKind.BLOCKED} == {}

    async def test_no_answer_of_a_name_server_is_dialled(self, dialled: list[str], answers: Answers) -> None:
        """Every inside address as what a name leads to, alone, before and behind a public one: nothing of it is dialled."""
        urls: dict[str, str] = {}
        for number, ip in enumerate(INSIDE):
            for place, told in enumerate(([ip], [ip, _OUT], [_OUT, ip], [_OUT, "8.8.8.8", ip])):
                name = f"n{number}x{place}.example.com"
                answers[name] = lambda told=told: told  # type: ignore[misc]  # bound now
                urls[name] = f"http://{name}/hook"
        async with self.strict() as caller:
            kinds = await self.kinds(caller, urls)
        assert dialled == []
        assert {name: kind for name, kind in kinds.items() if kind is not ErrorKind.BLOCKED} == {}

    async def test_no_name_that_turns_is_dialled_inside(self, dialled: list[str], answers: Answers) -> None:
        """Every inside address as the second answer of a name whose first was public, as rebinding does: only the first is dialled."""
        for number, ip in enumerate(INSIDE):
            turn = itertools.cycle([[_OUT], [ip]])
            answers[f"t{number}.example.com"] = lambda turn=turn: next(turn)  # type: ignore[misc]  # bound now
        for _ in range(4):  # a new transport has no answer in memory
            async with self.strict() as caller:
                await self.kinds(caller, {name: f"http://{name}/hook" for name in answers})
        assert set(dialled) == {_OUT}
        assert len(dialled) >= 2 * len(INSIDE)

    async def test_public_places_are_reached(self, dialled: list[str], answers: Answers) -> None:
        """Every good address, and every good URL by its name, is dialled: a guard that refuses everybody is none."""
        for number, ip in enumerate(OUTSIDE):
            answers[f"g{number}.example.com"] = lambda ip=ip: [ip]  # type: ignore[misc]  # bound now
        urls = {name: f"http://{name}/hook" for name in answers}
        hosts = {stored.split("/")[2].partition(":")[0] for stored in GOOD.values()}
        answers.update(dict.fromkeys(hosts, lambda: [_OUT]))
        async with self.strict() as caller:
            kinds = await self.kinds(caller, {**urls, **{stored: stored for stored in GOOD.values()}})
        assert {name: kind for name, kind in kinds.items() if kind is not ErrorKind.CONNECT} == {}
        assert {*OUTSIDE, _OUT} <= set(dialled)
