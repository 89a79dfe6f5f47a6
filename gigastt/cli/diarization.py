"""Diarization for `gigastt transcribe`: facts known of the speakers, and transcripts once all of them are heard."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gigastt.cli.hearing import Backend, Heard
from gigastt.errors import ConfigError, RequestError
from gigastt.transcript import Transcript

if TYPE_CHECKING:
    from gigastt.models.speaker_models import SpeakerModel
    from gigastt.speakers import Book, KnownSpeaker


@dataclass(slots=True)
class Diarization:
    """The command's options about speakers.

    model: tells their voices apart; None where a server does.
    speakers: how many there are; 0 if that is not known. `most`: how many there may be.
    recordings: of those who are known, by their names.
    """

    model: SpeakerModel | None
    speakers: int
    most: int
    recordings: dict[str, Path]
    _known: list[KnownSpeaker] = field(default_factory=list)

    async def learn(self, backend: Backend) -> None:
        """Learn the voices of those who are known. ConfigError: a recording is no use."""
        from gigastt.audio.selection import ALL_MIXED
        from gigastt.speakers import KnownSpeaker

        for name, path in self.recordings.items() if self.model is not None else ():
            try:
                with path.open("rb") as source:
                    hearing = backend.hear(source, ALL_MIXED, lambda seconds, share: None)
                    [recording] = [each async for each in hearing if isinstance(each, Transcript)]
            except (OSError, RequestError) as exc:
                raise ConfigError(f"--known-speaker {path}: {exc}") from exc
            heard = _tell_speakers(recording, self._open_book(1)).speakers
            if heard is None or not heard.speakers:
                raise ConfigError(f"--known-speaker {path}: no words are heard in it.")
            self._known.append(KnownSpeaker(name, heard.speakers[0].embedding))

    async def of(self, hearing: Heard) -> Heard:
        """Yield a file's utterances once all are heard, with the speakers that are known best then."""
        async for each in hearing:
            if isinstance(each, Transcript):
                heard = self.tell_speakers(each)
                for final in heard.finals:
                    yield final
                yield heard

    def tell_speakers(self, heard: Transcript) -> Transcript:
        """Return a transcript with its speakers, unless a server has told them."""
        from gigastt.speakers import ChannelBook

        if heard.speakers is not None:
            return heard
        by_channel = heard.copies.count(None) > 1
        return _tell_speakers(heard, ChannelBook() if by_channel else self._open_book(self.speakers))

    def _open_book(self, speakers: int) -> Book:
        from gigastt.speakers import SpeakerBook, SpeakerWishes

        assert self.model is not None, "a server tells speakers"
        wishes = SpeakerWishes(speakers=speakers, most=self.most, known=tuple(self._known))
        return SpeakerBook(wishes, self.model.likeness)


def find_speaker_model(choice: str, model_dir: Path, likeness: float | None) -> SpeakerModel:
    """Return the speaker model's files. ConfigError, ModelMissing: there are none."""
    from gigastt.models.speaker_models import resolve_speakers

    model = resolve_speakers(choice, model_dir, likeness)
    if model is None:
        raise ConfigError("--diarization needs a speaker model: leave out --speaker-model off.")
    return replace(model, embedding=model.embedding.resolve())


def _tell_speakers(heard: Transcript, book: Book) -> Transcript:
    from gigastt.speakers import with_speakers

    finals = [book.label(final) for final in heard.finals]
    speakers = book.settle()
    return replace(heard, finals=with_speakers(finals, speakers), speakers=speakers)
