"""Running a job: its recording is fetched if need be, decoded, and recognised behind all else that the workers do.

What is found goes into the store as it comes, each time with how far its channel is, so that the next run of the same
job, after a crash or a full disk, goes on from there.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from gigastt.errors import FetchFailed, InvalidAudio, PayloadTooLarge
from gigastt.gateway.files.decoding import DecodedChannels, Decoding
from gigastt.gateway.jobs.job import Job, JobCommit, JobFacts, Settled
from gigastt.gateway.jobs.spool import Oversized, Spool
from gigastt.gateway.jobs.store import JobStore
from gigastt.gateway.jobs.turns import JobPace
from gigastt.gateway.pool.events import Event, ProgressEvent
from gigastt.gateway.pool.sources import FileSource
from gigastt.gateway.pool.turnstile import Patience
from gigastt.gateway.webhook import check_url
from gigastt.ipc.messages import FinalMessage
from gigastt.speakers import Book, SpeakerBook, SpeakerFields
from gigastt.transcript import Final, Gap, Options

if TYPE_CHECKING:
    import httpx2

_FETCH_TIMEOUT_SECONDS = 60.0  # for each piece
_FETCHED_PIECE_BYTES = 256 * 1024

OpenBook = Callable[[SpeakerFields, int, str], Awaitable[Book]]
OnSettled = Callable[[int, FinalMessage | Gap], None]


class JobSession(Protocol):
    """A session over files."""

    def events(self) -> AsyncIterator[Event]: ...

    def cancel(self) -> None: ...


class OpenSession(Protocol):
    """How files are recognised."""

    def __call__(
        self, files: Sequence[FileSource], options: Options, request_id: str, on_settled: OnSettled
    ) -> JobSession: ...


@dataclass(slots=True)
class JobProgress:
    """How far a job that runs is.

    doing: `fetching`, `decoding` or `recognising`.
    seconds: of its audio that are done; `duration`, of how many: both 0 until it is decoded.
    """

    doing: str = "decoding"
    seconds: float = 0.0
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs jobs.

    max_bytes: how long a recording that is fetched may be.
    charge: counts a recording's seconds for its owner. QuotaExceeded: there may not be so many today.
    notice: is called when there is something new to tell of a job, with its id.
    open_book: opens what tells the speakers of so many channels apart, for a job.
    """

    store: JobStore
    spool: Spool
    decoding: Decoding
    open_session: OpenSession
    fetcher: Fetcher
    max_bytes: Callable[[], int]
    charge: Callable[[str, float], None]
    pace: JobPace
    notice: Callable[[str], None]
    open_book: OpenBook

    async def run(self, job: Job, progress: JobProgress) -> None:
        """Run a job to its end.

        Raises:
            RequestError: it cannot be done, or not now (503).
        """
        if not job.audio_bytes:
            progress.doing = "fetching"
            job = replace(job, audio_bytes=await self._fetch(job))
        progress.doing = "decoding"
        try:
            body = self.spool.open(job.id)
        except OSError as exc:
            raise InvalidAudio("The recording is lost.") from exc
        try:
            async with self.decoding.decode(body, job.order.choice, Patience(math.inf)) as file:
                if job.facts is None:
                    self.charge(job.order.owner, file.seconds)
                facts = JobFacts(file.seconds, file.holes, file.track, file.copies)
                await self.store.set_facts(job.id, facts)
                progress.doing, progress.duration = "recognising", file.seconds
                self.pace.note_size(job.audio_bytes, file.seconds)
                await self._recognise(job, file, progress)
        finally:
            body.close()

    async def _fetch(self, job: Job) -> int:
        if not job.order.url:
            raise InvalidAudio("The recording is lost.")
        async with self.fetcher.fetch(job.order.url) as pieces:
            try:
                size = await self.spool.keep(job.id, job.order.owner, pieces, self.max_bytes())
            except Oversized as exc:
                raise PayloadTooLarge(
                    f"The file is over {self.max_bytes()} bytes, the most this server takes."
                ) from exc
        if not size:
            raise FetchFailed("The host answered with an empty file.")
        await self.store.set_audio(job.id, size)
        return size

    async def _recognise(self, job: Job, file: DecodedChannels, progress: JobProgress) -> None:
        commits = await self.store.commits(job.id)
        numbers = [number for number in file.channels if not commits.get(number, JobCommit()).is_last]
        book = await self._take_up_book(job, len(file.channels))
        if numbers:
            await self._hear(job, file, progress, numbers, commits, book)
        if book is not None:
            heard = await asyncio.to_thread(book.settle)
            if not heard.tells_embeddings:
                heard = replace(heard, speakers=tuple(replace(one, embedding=b"") for one in heard.speakers))
            await self.store.set_speakers(job.id, heard)

    async def _take_up_book(self, job: Job, channels: int) -> Book | None:
        """Return the book of a job's speakers, as far as its finals are told."""
        if job.order.speakers is None:
            return None
        book = await self.open_book(job.order.speakers, channels, job.id)
        for _, told in await self.store.told(job.id):
            if isinstance(told, Final):
                book.label(told)
        return book

    async def _hear(
        self,
        job: Job,
        file: DecodedChannels,
        progress: JobProgress,
        numbers: Sequence[int],
        commits: Mapping[int, JobCommit],
        book: Book | None,
    ) -> None:
        """Recognise those channels from where they are."""
        sources = []
        for number in numbers:
            decoded, commit = file.channels[number], commits.get(number, JobCommit())
            sources.append(
                FileSource(
                    decoded.name, decoded.samples, start=commit.samples, resume=commit.resume, is_background=True
                )
            )
        settled = Settled()

        def note(channel: int, news: FinalMessage | Gap) -> None:
            number = numbers[channel]
            if isinstance(news, Gap):
                settled.told.append(replace(news, channel=number))
                return
            if news.final.text or news.final.drop:
                final = replace(news.final, channel=number)
                if book is not None:
                    final = replace(book.label(final), voices=final.voices)  # for the book of the next run
                settled.told.append(final)
            settled.commits[number] = JobCommit(news.committed, news.resume, news.final.reason == "stop")

        options = replace(job.order.options, diarization=isinstance(book, SpeakerBook))
        session = self.open_session(sources, options, job.id, note)
        done, clock = min(source.first_start for source in sources) / 16_000, time.monotonic()
        try:
            async for event in session.events():
                if settled:
                    writing, settled.told, settled.commits = Settled(settled.told, settled.commits), [], {}
                    await self.store.settle(job.id, writing)
                if isinstance(event, ProgressEvent):
                    now = time.monotonic()
                    self.pace.note(max(0.0, event.seconds - done), now - clock)
                    done, clock = max(done, event.seconds), now
                    progress.seconds = done
                    self.notice(job.id)
            if settled:
                await self.store.settle(job.id, settled)
        finally:
            session.cancel()


class Fetcher:
    """Fetches recordings from the addresses that clients have named. No redirect is followed.

    Args:
        client: None where nothing may be fetched.
        hosts: those that may be asked.
    """

    def __init__(self, client: httpx2.AsyncClient | None, hosts: Collection[str]) -> None:
        self._client = client
        self._hosts = hosts

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the bytes at an address, as they are.

        Raises:
            InvalidParameter: its host may not be asked.
            FetchFailed: the host does not answer, or with something else than 200.
        """
        check_url(url, self._hosts, "url")
        assert self._client is not None, "there are hosts"
        import httpx2

        headers = {"accept-encoding": "identity"}
        try:
            async with self._client.stream("GET", url, headers=headers, timeout=_FETCH_TIMEOUT_SECONDS) as response:
                if response.status_code != 200:
                    raise FetchFailed(f"The host answered {response.status_code}.")
                yield response.aiter_raw(_FETCHED_PIECE_BYTES)
        except httpx2.HTTPError as exc:
            raise FetchFailed(f"The host cannot be reached ({type(exc).__name__}).") from exc
