"""Enrolment: what a speaker sounds like, learnt from a short recording. Nothing of it is kept.

The recording goes the way of an upload: decoded in a process of its own, recognised, its voices made one.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from gigastt.errors import InvalidParameter, RequestError
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.context import AppContext, FileTranscriber
from gigastt.gateway.files.decoding import Decodes
from gigastt.speakers import Book, ChannelBook, KnownSpeaker, NamedAudio, SpeakerBook, SpeakerFields, SpeakerWishes
from gigastt.transcript import HeardSpeakers, Options

LONGEST_SECONDS = 60.0
_OPTIONS = Options(partials=False, diarization=True)


async def open_book(
    context: AppContext,
    configuration: Configuration,
    request_id: str,
    tell_error: Callable[[RequestError], Awaitable[None]],
) -> Book | None:
    """Return what tells a live client's speakers apart, if it wants that and it can be done.

    Recordings of which one is no use are told of; then nobody has the name of one.
    """
    likeness = context.model.likeness
    if not configuration.options.diarization:
        return None
    if configuration.channels > 1:
        return ChannelBook()
    if likeness is None:
        return None
    try:
        return await Enrolment.of(context).open_book(configuration.speakers, 1, request_id)
    except RequestError as error:
        await tell_error(error)
        return SpeakerBook(configuration.speakers.wishes, likeness)


class Enrolment:
    """Learns voices.

    Args:
        likeness: as `SpeakerBook` takes it; None where speakers are not told apart.
    """

    def __init__(self, decoder: Decodes, transcribe: FileTranscriber, likeness: Callable[[], float | None]) -> None:
        self._decoder = decoder
        self._transcribe = transcribe
        self._likeness = likeness

    @classmethod
    def of(cls, context: AppContext) -> Enrolment:
        """Return that of a server."""
        return cls(context.decoder, context.transcribe, lambda: context.model.likeness)

    def require_model(self) -> float:
        """Return the likeness. InvalidParameter: speakers are not told apart here."""
        if (likeness := self._likeness()) is None:
            raise InvalidParameter("This server has no speaker model, see --speaker-model.", param="diarization")
        return likeness

    async def open_book(self, fields: SpeakerFields, channels: int, request_id: str) -> Book:
        """Return a book for the speakers of so many channels, which knows those whom the client knows.

        Raises:
            InvalidParameter: speakers cannot be told apart here; or a recording is no audio, is longer than a minute,
                or has no words in it.
            CapacityTimeout: it cannot be decoded now.
        """
        if channels > 1:
            return ChannelBook()
        likeness = self.require_model()
        learnt = [await self._learn(one, likeness, request_id) for one in fields.recordings]
        wishes = fields.wishes
        return SpeakerBook(replace(wishes, known=(*wishes.known, *learnt)), likeness)

    async def _learn(self, recording: NamedAudio, likeness: float, request_id: str) -> KnownSpeaker:
        try:
            embedding = await self._embed(recording.audio, likeness, request_id)
        except RequestError as exc:
            if exc.status >= 500:
                raise
            raise InvalidParameter(f"known_speakers: a recording is no use: {exc}", param="known_speakers") from exc
        if not embedding:
            raise InvalidParameter("known_speakers: no words are heard in a recording.", param="known_speakers")
        return KnownSpeaker(recording.name, embedding)

    async def _embed(self, audio: bytes, likeness: float, request_id: str) -> bytes:
        descriptor = os.memfd_create("enrolment", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(descriptor, audio)
            file = await self._decoder.decode(descriptor, LONGEST_SECONDS)
        finally:
            os.close(descriptor)
        book = SpeakerBook(SpeakerWishes(speakers=1), likeness)
        try:
            async with aclosing(self._transcribe([file], request_id, _OPTIONS, book)) as events:
                async for event in events:
                    if isinstance(event, HeardSpeakers) and event.speakers:
                        return event.speakers[0].embedding
        finally:
            file.unlink()
        return b""
