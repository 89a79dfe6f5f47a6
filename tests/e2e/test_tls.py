"""The shipped program over TLS: files, live speech, its own health check, a certificate renewed amid streams."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from tests.certificates import make_certificate
from tests.clips import load_clips
from tests.live_client import live_client, transcribe_live
from tests.server import ServerProcess, run_program
from tests.waiting import wait_until

STREAMS = 20


async def test_a_certificate_is_renewed_under_live_streams_and_nobody_is_dropped(tmp_path: Path) -> None:
    pair, clip = make_certificate(tmp_path), load_clips()[0]
    half = len(clip.pcm) // 4 * 2
    flags = ("--tls-cert", str(pair.chain), "--tls-key", str(pair.key), "--max-sessions", "32")
    old = pair.trust()
    with ServerProcess("--pool-size", "2", *flags, trust=old) as server:
        await wait_until(lambda: server.logged("ready"))
        assert server.logged("ready")[0]["url"] == server.url
        health = ["health", "--port", str(server.port), "--tls-cert", str(pair.chain)]
        assert (await asyncio.to_thread(run_program, health)).returncode == 0
        upload = await asyncio.to_thread(server.post, "/v1/transcribe", clip.path.read_bytes())
        control = await transcribe_live(server.websocket_url, clip.pcm, ssl=old)
        assert upload.json()["text"] == control.text
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(live_client(server.websocket_url, ssl=old)) for _ in range(STREAMS)
            ]
            for client in clients:
                await client.configure(sample_rate=16_000)
                await client.stream(clip.pcm[:half])
            new = make_certificate(tmp_path).trust()
            server.signal(signal.SIGHUP)
            await wait_until(lambda: server.logged("certificate_reloaded"))
            newcomer = await transcribe_live(server.websocket_url, clip.pcm, ssl=new)
            for client in clients:
                await client.stream(clip.pcm[half:])
                await client.stop()
        assert [client.text for client in clients] == [control.text] * STREAMS
        assert newcomer.text == control.text


def test_a_wrong_certificate_is_one_line_that_names_the_flag(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    pair.key.write_text("no key", encoding="utf-8")
    flags = ["--tls-cert", str(pair.chain), "--tls-key", str(pair.key), "--model", "demo", "--port", "0"]
    done = run_program(["serve", *flags])
    assert (done.returncode, "--tls-key" in done.stderr.splitlines()[-1]) == (2, True)
