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
from gigastt.gateway.context import AppContext
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
    if not configuration.options.diarization:
        return None
    if configuration.channels > 1:
        return ChannelBook()
    if context.model.likeness is None:
        return None
    try:
        return await learn_speakers(context, configuration.speakers, request_id)
    except RequestError as error:
        await tell_error(error)
        return _book(context, configuration.speakers.wishes)


async def open_file_book(context: AppContext, fields: SpeakerFields, channels: int, request_id: str) -> Book:
    """Return what tells the speakers of so many channels of a file apart. Raises as `learn_speakers`."""
    return ChannelBook() if channels > 1 else await learn_speakers(context, fields, request_id)


def require_model(context: AppContext) -> float:
    """Return the likeness of voices that are one person's. InvalidParameter: speakers are not told apart here."""
    if context.model.likeness is None:
        raise InvalidParameter("This server has no speaker model, see --speaker-model.", param="diarization")
    return context.model.likeness


async def learn_speakers(context: AppContext, fields: SpeakerFields, request_id: str) -> Book:
    """Return a book that knows a client's speakers.

    Raises:
        InvalidParameter: speakers are not told apart here; or a recording is no audio, is longer than a minute, or has
            no words in it.
        CapacityTimeout: it cannot be decoded now.
    """
    require_model(context)
    learnt = [await _learn(context, one, request_id) for one in fields.recordings]
    return _book(context, replace(fields.wishes, known=(*fields.wishes.known, *learnt)))


async def _learn(context: AppContext, recording: NamedAudio, request_id: str) -> KnownSpeaker:
    try:
        embedding = await _embed(context, recording.audio, request_id)
    except RequestError as exc:
        if exc.status >= 500:
            raise
        raise InvalidParameter(f"known_speakers: a recording is no use: {exc}", param="known_speakers") from exc
    if not embedding:
        raise InvalidParameter("known_speakers: no words are heard in a recording.", param="known_speakers")
    return KnownSpeaker(recording.name, embedding)


async def _embed(context: AppContext, audio: bytes, request_id: str) -> bytes:
    """Return what one voice in a recording sounds like; nothing where no words are heard."""
    descriptor = os.memfd_create("enrolment", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, audio)
        file = await context.decoder.decode(descriptor, LONGEST_SECONDS)
    finally:
        os.close(descriptor)
    book = _book(context, SpeakerWishes(speakers=1))
    try:
        async with aclosing(context.transcribe([file], request_id, _OPTIONS, book)) as events:
            async for event in events:
                if isinstance(event, HeardSpeakers) and event.speakers:
                    return event.speakers[0].embedding
    finally:
        file.unlink()
    return b""


def _book(context: AppContext, wishes: SpeakerWishes) -> SpeakerBook:
    return SpeakerBook(wishes, require_model(context))
