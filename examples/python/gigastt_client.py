"""A client of gigastt that loses nothing when its connection is cut: one file, to be copied.

    async with Session("ws://127.0.0.1:9876/v1/ws", sample_rate=16_000) as session:
        await session.send(pcm)            # as often as there is audio
        await session.stop()
        async for event in session.events():
            print(event)                   # the messages of docs/protocol.md, as dictionaries

Audio is kept until the server needs it no more. When the connection is lost, the server says nothing for a while, or
asks its clients to go, another one is opened, after pauses that grow, and the session goes on there: no final is told
twice or left out. `{"type": "connection", "state": "lost" | "resumed" | "begun anew"}` tells of that. A server that
refuses is asked again when it says (`"refused"`, with its `code`), unless that is over a minute away or of no use: then
`ConnectionFailed` has the `code`. Needs websockets.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.http11 import Response

WIDTHS = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
MOST_SECONDS = 120.0  # of audio that is kept; `send` waits when there is more
SILENCE_SECONDS = 5.0  # a server with a session says something every second
ANSWER_SECONDS = 40.0  # a place may take a while
PIECE_SECONDS = 0.5  # sent in one message, where much waits
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0  # between two attempts to connect
SECONDS_TO_GO = 1.0  # before a server that asked its clients to go ends the session
REFUSALS = (1002, 1003, 1007, 1008, 1009)  # closes that another attempt would not change
COMING_BACK = 4000  # a close code that ends no session
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers to the handshake that another attempt may change
LONGEST_REFUSAL = 60.0  # seconds: one that takes longer is not waited for
MOVING = ("shutting_down", "pool_closed")  # another server may be there at once, whatever this one says

Event = dict[str, Any]


class ConnectionFailed(Exception):
    """The server could not be reached again, refuses the session, or has ended it.

    code: the server's word for the reason; empty where it gave none.
    seconds: until another attempt may succeed.
    """

    def __init__(self, message: str, code: str = "", seconds: float = math.inf) -> None:
        super().__init__(message)
        self.code, self.seconds = code, 0.0 if code in MOVING else seconds


def refusal_of(answer: Response) -> ConnectionFailed:
    """Read the answer to a handshake."""
    told: Event = {}
    with suppress(ValueError, TypeError):  # it may be a proxy's
        told = dict(json.loads(answer.body or b"{}"))
    after = answer.headers.get("Retry-After", "")
    seconds = float(after) if after.isdecimal() else 0.0
    message = f"The server answers {answer.status_code}. {told.get('error', '')}"
    return ConnectionFailed(message, told.get("code", ""), seconds if answer.status_code in PASSING else math.inf)


class KeptAudio:
    """The audio that may be needed again, from the first sample that the server has not committed."""

    def __init__(self, frame_bytes: int) -> None:
        self.start = 0  # in samples of each channel, from the first
        self._frame_bytes = frame_bytes
        self._data = bytearray()

    @property
    def end(self) -> int:
        return self.start + len(self._data) // self._frame_bytes

    def append(self, pcm: bytes) -> None:
        self._data += pcm

    def trim(self, committed: int) -> None:
        """Forget the samples before `committed`."""
        committed = min(committed, self.end)
        if committed > self.start:
            del self._data[: (committed - self.start) * self._frame_bytes]
            self.start = committed

    def read(self, begin: int, end: int) -> bytes:
        """Return samples `begin` to `end`."""
        return bytes(self._data[(begin - self.start) * self._frame_bytes : (end - self.start) * self._frame_bytes])


class Session:
    """One session, over as many connections as it takes.

    Args:
        url: of the server's WebSocket.
        sample_rate, encoding, channels, options: as in `configure`.
        key: an API key.
        patience: seconds to try to connect before giving up.
        connect_options: for `websockets.asyncio.client.connect`.
    """

    def __init__(
        self,
        url: str,
        *,
        sample_rate: int = 16_000,
        encoding: str = "pcm_s16le",
        channels: int = 1,
        key: str | None = None,
        patience: float = 60.0,
        connect_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.audio = KeptAudio(WIDTHS[encoding] * channels)
        self.reconnects = 0
        self._url = url
        self._base = url + ("&" if "?" in url else "?")  # the session is named behind it, for a server that is full
        audio_format = {"sample_rate": sample_rate, "encoding": encoding, "channels": channels}
        self._configure = {"type": "configure", **audio_format, **options}
        self._rate, self._patience = sample_rate, patience
        self._connect = {"compression": None, "max_queue": None, "close_timeout": 1, **(connect_options or {})}
        if key is not None:
            self._connect["additional_headers"] = {"Authorization": f"Bearer {key}"}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._flushes: list[int] = []  # samples before which an utterance was to end
        self._stopped = self._stop_told = self._over = self._asleep = False  # asleep: nothing is sent for long
        self._failure: ConnectionFailed | None = None
        # of the session at the server, which is another one after it had to begin anew
        self._token: str | None = None
        self._origin = self._first_seq = self._first_flush = 0  # what is added to the server's counts
        self._final_seq = -1  # the last final that was told, in our count
        self._ends: dict[int, float] = {}  # of each channel's last final, in seconds
        self._error: Event = {}  # the last one
        # of the connection
        self._ready_token: str | None = None
        self._position = self._next_flush = 0  # what is to be sent next
        self._may_send = self._acknowledges = self._final_told = False
        self._go_at: float | None = None

    async def __aenter__(self) -> Session:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def send(self, pcm: bytes) -> None:
        """Add audio; wait while too much of it may still be needed again."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._over or self.kept_seconds < MOST_SECONDS)
            if self._failure is not None:
                raise self._failure
            self.audio.append(pcm)
            self._changed.notify_all()

    async def flush(self) -> None:
        """End the utterance here."""
        async with self._changed:
            self._flushes.append(self.audio.end)
            self._changed.notify_all()

    async def stop(self) -> None:
        """No more audio comes; `events` ends behind the last final."""
        async with self._changed:
            self._stopped = True
            self._changed.notify_all()

    async def events(self) -> AsyncIterator[Event]:
        """Yield the server's messages, up to the last final.

        Raises:
            ConnectionFailed: the server could not be reached again, or has ended the session.
        """
        while (event := await self._events.get()) is not None:
            yield event
        if self._failure is not None:
            raise self._failure

    @property
    def kept_seconds(self) -> float:
        return (self.audio.end - self.audio.start) / self._rate

    async def _run(self) -> None:
        """Connect until the session is over."""
        loop = asyncio.get_running_loop()
        delay, since = FIRST_DELAY, loop.time()
        try:
            while not self._over:
                async with self._changed:
                    await self._changed.wait_for(lambda: not self._asleep or self.kept_seconds or self._stopped)
                self._asleep = False
                failure = ConnectionFailed(f"There is no connection to {self._url}.", seconds=0.0)
                try:
                    async with connect(self._url, **self._connect) as socket:
                        if await self._converse(socket):
                            delay, since = FIRST_DELAY, loop.time()
                except InvalidStatus as exc:
                    failure = refusal_of(exc.response)
                except ConnectionFailed as exc:
                    failure = exc
                except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError):
                    pass
                if not self._over:
                    await self._wait(delay * random.uniform(0.5, 1.0), since + self._patience, failure)
                    delay = min(LONGEST_DELAY, 2 * delay)
        except ConnectionFailed as exc:
            self._failure = exc
        finally:
            self._over = True
            self._events.put_nowait(None)
            async with self._changed:
                self._changed.notify_all()

    async def _wait(self, seconds: float, deadline: float, failure: ConnectionFailed) -> None:
        """Wait before another attempt, unless none is worth it."""
        if failure.seconds > min(LONGEST_REFUSAL, deadline - asyncio.get_running_loop().time()):
            raise failure
        if failure.code:
            self._events.put_nowait({"type": "connection", "state": "refused", "code": failure.code})
        await asyncio.sleep(seconds + failure.seconds)

    async def _converse(self, socket: ClientConnection) -> bool:
        """Use one connection to its end; return whether the session was alive on it."""
        self._may_send = self._acknowledges = self._final_told = False
        self._go_at, self._error = None, {}
        if self._token is not None:
            self.reconnects += 1
            resume = {"token": self._token, "from": self.audio.start - self._origin}
            have = {"have_final_seq": self._final_seq - self._first_seq}
            await socket.send(json.dumps({"type": "resume", **resume, **have}))
        sending = asyncio.create_task(self._send_audio(socket))
        try:
            while True:
                async with asyncio.timeout(self._seconds_to_wait):
                    message = json.loads(await socket.recv())
                await self._take(message, socket)
                if self._go_at is not None and message["type"] == "ack" and self._final_told:
                    break  # an utterance has just ended, and the server wants its clients to go
        except TimeoutError:
            pass  # half open, or it is time to go
        except ConnectionClosed:
            self._closed(socket.close_code or 1006, socket.close_reason or "")
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if not self._over:
            self._events.put_nowait({"type": "connection", "state": "lost"})
            await socket.close(COMING_BACK)
        return self._may_send

    @property
    def _seconds_to_wait(self) -> float | None:
        """How long the server may say nothing; for ever where it never acknowledges."""
        if not self._acknowledges:
            return None if self._may_send else ANSWER_SECONDS
        if self._go_at is None:
            return SILENCE_SECONDS
        return max(0.0, min(SILENCE_SECONDS, self._go_at - asyncio.get_running_loop().time()))

    def _closed(self, code: int, reason: str) -> None:
        """The connection was closed: behind the last final, by a server that wants no more, or by the network."""
        if self._over or (self._stop_told and code == 1000):
            self._over = True
            return
        why = self._error.get("code", reason)
        if code in REFUSALS and why != "max_session_duration_exceeded":
            raise ConnectionFailed(f"The server has closed the session with {code}: {why}.", why)
        if (after := self._error.get("retry_after_ms")) is not None:
            raise ConnectionFailed(self._error["message"], why, after / 1000)
        if self._token is None and self._position > self._origin:
            raise ConnectionFailed("The connection was lost, and this server has no way to resume a session.")

    async def _take(self, message: Event, socket: ClientConnection) -> None:
        self._final_told = message["type"] == "final" or (self._final_told and message["type"] == "ack")
        match message["type"]:
            case "ready":
                self._ready_token = message.get("resume_token")
                if self._token is None:
                    self._url = f"{self._base}session={message.get('session_id', '')}"
                    await self._begin(socket)
                    self._events.put_nowait(message)
            case "ack" if not self._asleep:
                await self._acknowledged(message)
            case "final":
                self._take_final(message)
            case "goaway":
                self._go_at = asyncio.get_running_loop().time() + message["seconds"] - SECONDS_TO_GO
            case "error" if message["code"] == "resume_failed":
                if len(self._ends) == self._configure["channels"]:  # behind the last finals
                    self.audio.trim(round(min(self._ends.values()) * self._rate))
                self._forget_session(self.audio.start)
                self._events.put_nowait({"type": "connection", "state": "begun anew"})
                await self._begin(socket)
            case "error":
                self._error = message
                if message.get("retry_after_ms") is None:  # else another attempt may succeed
                    self._events.put_nowait(self._shifted(message))
            case _:
                self._events.put_nowait(self._shifted(message))

    async def _begin(self, socket: ClientConnection) -> None:
        """Begin a session with the audio that is there."""
        self._token = self._ready_token
        await socket.send(json.dumps({**self._configure, **({"resume": True} if self._token is not None else {})}))
        await self._send_from(self.audio.start, self._first_flush)

    async def _send_from(self, position: int, flush: int) -> None:
        async with self._changed:
            self._position, self._next_flush, self._may_send = position, flush, True
            self._changed.notify_all()

    def _forget_session(self, until: int) -> None:
        """What comes next is another session to the server: its audio begins at `until`."""
        self._token = None
        self._origin, self._first_seq = until, self._final_seq + 1
        self._first_flush = sum(flush <= until for flush in self._flushes) if until else 0

    async def _acknowledged(self, ack: Event) -> None:
        self._acknowledges = True
        if not self._may_send:  # the answer to `resume`
            self._events.put_nowait({"type": "connection", "state": "resumed"})
            await self._send_from(self._origin + ack["received"], self._first_flush + ack["flushes"])
        if "resume_token" in ack:
            async with self._changed:
                self._token = ack["resume_token"]
                self._url = f"{self._base}session={ack.get('session_id', '')}"
                self.audio.trim(self._origin + ack["committed"])
                self._changed.notify_all()

    def _take_final(self, message: Event) -> None:
        final = self._shifted({**message, "seq": message["seq"] + self._first_seq})
        reason = final["endpoint_reason"]
        unfinished = reason in ("timeout", "shutdown") and self._error.get("code") != "idle_timeout"
        if final["seq"] <= self._final_seq or unfinished:  # known, or to be told whole by the next session
            return
        self._final_seq = final["seq"]
        self._ends[final.get("channel", 0)] = final["end"]
        self._events.put_nowait(final)
        if reason == "stop":  # of a channel; others may follow, and who speaks: then the server closes
            self._stop_told = True
            self._over = self._configure["channels"] == 1 and not self._configure.get("diarization")
        elif reason == "timeout":  # nothing was sent for long: what comes then is new
            self.audio.trim(self._position)
            self._forget_session(self._position)
            self._asleep = True

    def _shifted(self, message: Event) -> Event:
        """Return a message with its times counted from the first sample of all."""
        seconds = self._origin / self._rate
        if not seconds or "start" not in message:
            return message
        words = [{**w, "start": w["start"] + seconds, "end": w["end"] + seconds} for w in message.get("words", [])]
        return {**message, "start": message["start"] + seconds, "end": message["end"] + seconds, "words": words}

    @property
    def _has_work(self) -> bool:
        return self._may_send and (
            self._position < self.audio.end or self._next_flush < len(self._flushes) or self._stopped
        )

    async def _send_audio(self, socket: ClientConnection) -> None:
        """Send what there is, from the position on, then wait for more."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._has_work)
                must_flush = self._next_flush < len(self._flushes)
                until = self._flushes[self._next_flush] if must_flush else self.audio.end
                begin, end = self._position, min(until, self._position + int(PIECE_SECONDS * self._rate))
                piece = self.audio.read(begin, end)
            if piece:
                await socket.send(piece)
                self._position = end
                if self._token is None:  # this server never acknowledges
                    self.audio.trim(end)
            elif must_flush:
                self._next_flush += 1
                await socket.send('{"type":"flush"}')
            else:
                await socket.send('{"type":"stop"}')
                return
