"""Who speaks, for `gigastt transcribe`: the speaker model that is used, and transcripts once their end is known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gigastt.cli.hearing import HeardFile
from gigastt.errors import ConfigError

if TYPE_CHECKING:
    from gigastt.models.speaker_models import SpeakerModel
    from gigastt.speakers import Book
    from gigastt.transcript import Final, HeardSpeakers, Transcript


def find_speaker_model(choice: str, model_dir: Path, likeness: float | None) -> SpeakerModel:
    """Return the speaker model's files. ConfigError, ModelMissing: there are none."""
    from gigastt.models.speaker_models import resolve_speakers

    model = resolve_speakers(choice, model_dir, likeness)
    if model is None:
        raise ConfigError("--diarization needs a speaker model: leave out --speaker-model off.")
    return model


def open_books(model: SpeakerModel, speakers: int, most: int) -> Callable[[], Book]:
    """Return what opens a book for the speakers of each file; `speakers` is 0 where it is not known how many."""
    from gigastt.speakers import SpeakerBook, SpeakerWishes

    return partial(SpeakerBook, SpeakerWishes(speakers=speakers, most=most), model.likeness)


class Diarized:
    """A file whose utterances come when all are heard, with the speakers that are known best then.

    Args:
        open_book: opens the book of its speakers; None where they are its channels, or a server tells them.
    """

    def __init__(self, hearing: HeardFile, open_book: Callable[[], Book] | None) -> None:
        self._hearing = hearing
        self._open_book = open_book
        self._speakers: HeardSpeakers | None = None

    async def segments(self) -> AsyncIterator[Final]:
        from gigastt.speakers import ChannelBook, with_speakers

        finals = [final async for final in self._hearing.segments()]
        if (told := self._hearing.transcript(finals).speakers) is not None:
            self._speakers = told
        else:
            book = self._open_book() if self._open_book is not None else ChannelBook()
            finals = [book.label(final) for final in finals]
            self._speakers = book.settle()
            finals = with_speakers(finals, self._speakers)
        for final in finals:
            yield final

    def transcript(self, finals: Sequence[Final]) -> Transcript:
        return replace(self._hearing.transcript(finals), speakers=self._speakers)
