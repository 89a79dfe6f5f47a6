"""Transcription in this process: a file in, segments out, with no server and in bounded memory.

Runs on the caller's thread; behind `gigastt transcribe` and `gigastt bench`. It joins the decoder of containers,
the segmenter and the recogniser; it knows nothing of the command line or of how a transcript is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from gigastt.audio.decode import decode
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.audio.timeline import add_hole
from gigastt.config import Precision
from gigastt.models.prepacked import plan_load
from gigastt.models.store import ModelFiles, resolve
from gigastt.speakers import SpeakerBook, with_speakers
from gigastt.speech import recording as pump
from gigastt.speech.model import recogniser_files
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.voices import VoiceModel
from gigastt.transcript import Final, Gap, Options, Speakers

MAX_SECONDS = 24 * 3600.0


@dataclass(slots=True)
class TranscribedFile:
    """One open file on its way through the recogniser.

    seconds: how much audio has been decoded so far; all of it once `segments` has ended.
    holes: the spans found so far in which the file is damaged or has no audio.
    failed: the spans so far that the recogniser refused; they have no words.
    dropped: the utterances so far whose words were left out.
    voices, book: that tell speakers apart; then `segments` yields all at the end, when that is known best.
    speakers: who they are, once it has ended.
    """

    source: BinaryIO
    recognizer: pump.Recognizes
    on_progress: Callable[[float], None] = lambda seconds: None
    min_confidence: float = 0.0
    voices: VoiceModel | None = None
    book: SpeakerBook | None = None
    seconds: float = field(default=0.0, init=False)
    holes: list[Gap] = field(default_factory=list, init=False)
    failed: list[Gap] = field(default_factory=list, init=False)
    dropped: list[Final] = field(default_factory=list, init=False)
    speakers: Speakers | None = field(default=None, init=False)

    def segments(self) -> Iterator[Final]:
        """Decode and transcribe; yield each utterance that has words as soon as it is known, its speakers included.

        Raises:
            InvalidAudio: the file is not audio that can be decoded.
            AudioTooLong: it holds more than a day.
        """
        chunks = decode(self.source, MAX_SECONDS, partial(add_hole, self.holes))
        finals = pump.transcribe_recording(
            self.recognizer,
            self._count(chunks),
            Options(partials=False, diarization=self.voices is not None),
            on_failure=self.failed.append,
            min_confidence=self.min_confidence,
            voices=self.voices,
        )
        spoken: list[Final] = []
        for final in finals:
            if final.words and self.book is not None:
                spoken.append(self.book.label(final))
            elif final.words:
                yield final
            elif final.drop:
                self.dropped.append(final)
        if self.book is not None:
            self.speakers = self.book.settle()
            yield from with_speakers(spoken, self.speakers)

    @property
    def gaps(self) -> list[Gap]:
        """Spans without words so far, in order of time."""
        holes = [replace(hole, start=round(hole.start, 3), end=round(hole.end, 3)) for hole in self.holes]
        return sorted(holes + self.failed, key=lambda gap: gap.start)

    def _count(self, chunks: Iterable[Samples]) -> Iterator[Samples]:
        samples = 0
        for chunk in chunks:
            yield chunk
            samples += len(chunk)
            self.seconds = samples / SAMPLE_RATE
            self.on_progress(self.seconds)


def load_recognizer(model: str, model_dir: Path, precision: Precision = "auto") -> tuple[ModelFiles, Recognizer]:
    """Find and load a model.

    Raises:
        ModelMissing: it is not on this machine; the message names the ways on.
        ModelInvalid: its files break their contract.
    """
    files = resolve(model, model_dir, precision)
    paths = recogniser_files(plan_load(files.encoder).encoder, files.decoder, files.joint, files.vocabulary)
    return files, Recognizer.load(paths)
