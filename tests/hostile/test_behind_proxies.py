"""Raw HTTP behind real proxies: only what a proxy has passed on is carried out, once, and answers go to who asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.hostile.proxies import haproxy, nginx
from tests.hostile.raw_http import MARK, Answer, Bench, converse, noting, on_uvloop
from tests.hostile.raw_http_cases import CASES, FORBIDDEN, HOST, POST, UPGRADES, Case

Proxy = Callable[[int, Path], AbstractAsyncContextManager[tuple[int, int]]]
PROXIES = [pytest.param(nginx, id="nginx"), pytest.param(haproxy, id="haproxy")]
AT_ONCE = 100  # cases: after each the proxy waits for more


async def probe(port: int, number: int) -> None:
    """Ask something honest: the answer must be the one to this question."""
    request = b"GET /probe/%d HTTP/1.1\r\nConnection: close\r\n" % number + HOST + b"\r\n"
    [answer] = await converse(port, [request], half_close=False)
    assert (answer.status, answer.body) == (200, b"/probe/%d" % number)


def assert_passed_on(bench: Bench) -> None:
    """Whatever reached the application bears the mark of the proxy, each request another."""
    assert not [served for served in bench.notebook.served if "/forbidden" in served]
    assert all(len(marks) == 1 for marks in bench.notebook.marks)
    assert len({marks[0] for marks in bench.notebook.marks}) == len(bench.notebook.marks)


def wrong_answers(case: Case, answers: list[Answer]) -> list[str]:
    """Say what is wrong with the answers of one connection: two to one request, or more than there are requests."""
    marks = [answer.headers[MARK] for answer in answers if MARK in answer.headers]
    unmarked = sum(MARK not in answer.headers for answer in answers)  # the proxy's own, after which it hangs up
    most = max(1, case.raw.count(b" HTTP/")) + 1  # and an error of the proxy's about the rest
    if len(set(marks)) != len(marks) or unmarked > max(1, case.raw.count(FORBIDDEN)) or len(marks) > most:
        return [f"{case.name}: {[(answer.status, answer.headers.get(MARK)) for answer in answers]}"]
    return []


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("kept", [False, True], ids=["new connections", "kept connections"])
@on_uvloop
async def test_nothing_gets_past_a_proxy(proxy: Proxy, kept: bool, tmp_path: Path) -> None:
    wrong: list[str] = []
    async with noting() as bench, proxy(bench.port, tmp_path) as ports:
        port = ports[kept]
        room = asyncio.Semaphore(AT_ONCE)

        async def run(number: int, case: Case) -> None:
            async with room:
                end = case.raw.find(b"\r\n\r\n") + 4
                for pieces in ([case.raw], [case.raw[:end], case.raw[end:]]):
                    wrong.extend(wrong_answers(case, await converse(port, pieces, timeout=30, half_close=False)))
                    await probe(port, number)

        await asyncio.gather(*(run(number, case) for number, case in enumerate(CASES)))
        await asyncio.wait_for(asyncio.gather(*(probe(port, number) for number in range(20))), 30)
        assert_passed_on(bench)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("kept", [False, True], ids=["new connections", "kept connections"])
@on_uvloop
async def test_a_body_in_a_later_packet_is_no_request(proxy: Proxy, kept: bool, tmp_path: Path) -> None:
    async with noting() as bench, proxy(bench.port, tmp_path) as ports:
        for case in UPGRADES:
            if case.raw.startswith(POST) and FORBIDDEN in case.raw:
                end = case.raw.find(b"\r\n\r\n") + 4
                _, writer = await asyncio.open_connection("127.0.0.1", ports[kept])
                writer.write(case.raw[:end])
                await writer.drain()
                await asyncio.sleep(0.05)  # the proxy may pass the head on by itself; nothing waits for it
                writer.write(case.raw[end:])
                await writer.drain()
                await probe(ports[kept], 1)
                writer.close()
        await probe(ports[kept], 2)
        assert_passed_on(bench)
