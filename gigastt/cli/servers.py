"""Servers: files are sent to running servers, each to the one that has most room, for `gigastt transcribe --server`.

A server that is full, drains or does not answer is left alone for a while, and its file goes to another, or waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import httpx2

from gigastt.audio.selection import FileChoice
from gigastt.cli.diarization import Diarization
from gigastt.cli.hearing import Backend, Heard, OnProgress, warn_of_unusable
from gigastt.errors import CapacityTimeout, RequestError
from gigastt.transcript import (
    Alternative,
    Final,
    Gap,
    HeardSpeaker,
    HeardSpeakers,
    HeardTrack,
    Options,
    Transcript,
    Word,
)

_PIECE_BYTES = 256 * 1024
_TIMEOUT = httpx2.Timeout(10.0, read=2 * 3600.0, write=120.0)
_PATIENCE_SECONDS = 600.0  # that a file waits for a server
_PAUSE_SECONDS = 5.0  # for which a server is left alone, unless it says for how long
_TRANSIENT = (429, 502, 503, 504)


class ServerRefused(RequestError):
    """A server refuses a file, or its client."""


@dataclass(slots=True)
class _Server:
    """One server.

    workers: it has.
    saturation: its live places that are taken, 0 to 1, when it was asked last.
    sent: files that are there now.
    not_before: when it may be asked again, and the `reason` why not earlier.
    """

    url: str
    workers: int = 1
    saturation: float = 0.0
    sent: int = 0
    not_before: float = 0.0
    reason: str = ""

    @property
    def load(self) -> float:
        return self.saturation + self.sent / self.workers


@asynccontextmanager
async def open_servers(
    urls: Sequence[str], key: str | None, jobs: int | None, diarization: Diarization | None, options: Options
) -> AsyncIterator[Backend]:
    """Ask servers how many workers they have.

    Args:
        diarization: what is known of the speakers; None where they are not to be told apart.
        jobs: files that are sent at once; None: two for each of their workers.
        options: what is looked for in each utterance.

    Raises:
        CapacityTimeout: none of them answers.
    """
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(headers=headers, timeout=_TIMEOUT) as client:
        servers = [_Server(url.rstrip("/")) for url in dict.fromkeys(urls)]
        await asyncio.gather(*(_introduce(client, server) for server in servers))
        if all(server.not_before for server in servers):
            raise CapacityTimeout(f"No server answers: {', '.join(server.url for server in servers)}.")
        places = jobs or 2 * sum(server.workers for server in servers)
        yield Servers(client, servers, places, diarization, options)


class Servers:
    """Hears files by sending them."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        servers: Sequence[_Server],
        places: int,
        diarization: Diarization | None,
        options: Options,
    ) -> None:
        self.places = places
        self._query, self._fields = _fields_of(diarization, options)
        self._warned = False
        self._client = client
        self._servers = servers

    async def hear(self, source: BinaryIO, choice: FileChoice, on_progress: OnProgress) -> Heard:
        heard = await self._transcribe(source, choice)
        for final in heard.finals:
            yield final
        yield heard

    async def _transcribe(self, source: BinaryIO, choice: FileChoice) -> Transcript:
        """Send a file until a server takes it.

        Raises:
            ServerRefused: a server says that it is no file to transcribe; or none will take it in time, as they say.
            CapacityTimeout: no server took it in time.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            server = await self._choose()
            if server is not None:
                server.sent += 1
                try:
                    return read_transcript(await self._send(server, source, choice))
                except _NotNow as exc:
                    server.not_before, server.reason = time.monotonic() + exc.seconds, str(exc)
                finally:
                    server.sent -= 1
            soonest, now = min(self._servers, key=lambda each: each.not_before), time.monotonic()
            if soonest.not_before > deadline:
                raise ServerRefused(soonest.reason)
            if now > deadline:
                raise CapacityTimeout("No server takes the file.")
            if soonest.not_before > now:
                await asyncio.sleep(max(0.1, soonest.not_before - now))

    async def _choose(self) -> _Server | None:
        """Return the server with most room, of those that may be asked."""
        now = time.monotonic()
        candidates = [server for server in self._servers if server.not_before <= now]
        await asyncio.gather(*(_look_at(self._client, server) for server in candidates))
        ready = [server for server in candidates if server.not_before <= now]
        return min(ready, key=lambda server: server.load, default=None)

    async def _send(self, server: _Server, source: BinaryIO, choice: FileChoice) -> Any:
        async def body() -> AsyncIterator[bytes]:
            source.seek(0)
            while piece := source.read(_PIECE_BYTES):
                yield piece

        channels = "split" if choice.splits_channels else "mix"
        query = {"dropped": "true", "channels": channels, "track": choice.track, **self._query}
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        headers = {"content-length": str(size), "content-type": "application/octet-stream"}
        sent: dict[str, Any] = {"content": body(), "headers": headers}
        if self._fields:
            sent = {"data": self._fields, "files": {"file": source}}
        try:
            response = await self._client.post(f"{server.url}/v1/transcribe", params=query, **sent)
            answer = response.json()
        except (httpx2.HTTPError, ValueError) as exc:
            raise _NotNow(f"{server.url} does not answer.", _PAUSE_SECONDS) from exc
        if response.status_code == 200:
            if not self._warned:
                warn_of_unusable(answer.get("unusable_hotwords", ()))
                self._warned = True
            return answer
        reason = str(answer.get("error", f"{server.url} answered {response.status_code}."))
        if response.status_code in _TRANSIENT:
            raise _NotNow(reason, answer.get("retry_after_ms", 1e3 * _PAUSE_SECONDS) / 1e3)
        raise ServerRefused(reason)


def _fields_of(diarization: Diarization | None, options: Options) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a server is told of wishes: in the query, and in a form beside the file what may be long."""
    query = {"alternatives": str(options.most_alternatives)} if options.most_alternatives > 1 else {}
    fields = {"hotwords": json.dumps([asdict(each) for each in options.hotwords])} if options.hotwords else {}
    if diarization is None:
        return query, fields
    query |= {"diarization": "true", "max_speakers": str(diarization.most)}
    if diarization.speakers:
        query["speakers"] = str(diarization.speakers)
    known = [
        {"name": name, "audio": b64encode(path.read_bytes()).decode()} for name, path in diarization.recordings.items()
    ]
    return query, fields | ({"known_speakers": json.dumps(known)} if known else {})


class _NotNow(Exception):
    """A server takes nothing for so many seconds."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


async def _introduce(client: httpx2.AsyncClient, server: _Server) -> None:
    """Ask a server for its workers. ServerRefused: it wants another key."""
    try:
        response = await client.get(f"{server.url}/v1/models", timeout=10.0)
        answer = response.json()
    except (httpx2.HTTPError, ValueError):
        server.not_before = time.monotonic() + _PAUSE_SECONDS
        return
    if response.status_code in (401, 403, 421):
        raise ServerRefused(f"{server.url}: {answer.get('error')}")
    server.workers = max(1, int(answer.get("pool_size", 1)))


async def _look_at(client: httpx2.AsyncClient, server: _Server) -> None:
    """Ask a server how busy it is."""
    try:
        response = await client.get(f"{server.url}/ready", timeout=10.0)
        server.saturation = float(response.json().get("saturation", 1.0))
    except (httpx2.HTTPError, ValueError):
        server.not_before = time.monotonic() + _PAUSE_SECONDS
        return
    if response.status_code != 200:
        server.not_before = time.monotonic() + _PAUSE_SECONDS


def read_transcript(answer: Any) -> Transcript:
    """Read the JSON of a transcript, as `transcript_fields` writes it."""
    finals = [
        Final(each["text"], _words(each), each["start"], each["end"], each["confidence"], "silence", _channel(each),
              alternatives=tuple(Alternative(one["text"], _words(one), one["confidence"])
                                 for one in each.get("alternatives", ())))
        for each in answer["segments"]
    ]  # fmt: skip
    dropped = [
        Final("", (), each["start"], each["end"], 0.0, "silence", _channel(each), drop=each["reason"],
              dropped=_words(each))
        for each in answer.get("dropped", ())
    ]  # fmt: skip
    gaps = [Gap(each["code"], each["start"], each["end"], _channel(each)) for each in answer.get("failed", ())]
    track = answer.get("track")
    return Transcript(
        finals,
        answer["duration"],
        gaps,
        dropped,
        HeardTrack(track["number"], track["of"], track["language"]) if track else None,
        [each.get("copy_of") for each in answer.get("channels", ())],
        _speakers(answer, finals),
    )


def _speakers(answer: Any, finals: Sequence[Final]) -> HeardSpeakers | None:
    if "speakers" not in answer:
        return None
    told = (HeardSpeaker(one["speaker"], one.get("speaker_name", ""), one["seconds"]) for one in answer["speakers"])
    return HeardSpeakers(tuple(told), tuple(final.words for final in finals))


def _words(fields: Any) -> tuple[Word, ...]:
    return tuple(
        Word(
            each["word"],
            each["start"],
            each["end"],
            each["confidence"],
            each.get("speaker", -1),
            each.get("speaker_confidence", 0.0),
            each.get("speaker_name", ""),
        )
        for each in fields["words"]
    )


def _channel(fields: Any) -> int:
    channel: int = fields.get("channel", 0)
    return channel
