"""Transcription in this process: a file in, segments out, with no server and in bounded memory.

Runs on the caller's thread; behind `gigastt transcribe` and `gigastt bench`. It joins the decoder of containers,
the segmenter and the recogniser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from gigastt.audio.decode import decode
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.audio.selection import ALL_MIXED, FileChoice, Findings, Selection
from gigastt.config import Precision
from gigastt.models.prepacked import plan_load
from gigastt.models.store import ModelFiles, resolve
from gigastt.speech import recording as pump
from gigastt.speech.model import recogniser_files
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.voices import VoiceModel
from gigastt.transcript import FINALS_ONLY, Final, Gap, Options, Transcript

MAX_SECONDS = 24 * 3600.0


@dataclass(slots=True)
class TranscribedFile:
    """One open file on its way through the recogniser.

    choice: what of it is heard.
    seconds: how much audio has been decoded so far; all of it once `segments` has ended.
    failed: the spans so far that the recogniser refused; they have no words.
    voices: tells voices apart, where somebody wants to know the speakers.
    options: what is looked for in each utterance.
    """

    source: BinaryIO
    recognizer: pump.Recognizes
    on_progress: Callable[[float], None] = lambda seconds: None
    min_confidence: float = 0.0
    choice: FileChoice = ALL_MIXED
    voices: VoiceModel | None = None
    options: Options = FINALS_ONLY
    seconds: float = field(default=0.0, init=False)
    failed: list[Gap] = field(default_factory=list, init=False)
    _findings: Findings = field(default_factory=Findings, init=False)
    _dropped: list[Final] = field(default_factory=list, init=False)
    _copies: Sequence[int | None] = field(default=(), init=False)

    def segments(self) -> Iterator[Final]:
        """Decode and transcribe; yield each utterance that has words, as soon as it is known if channels are mixed.

        Raises:
            InvalidAudio: the file is not audio that can be decoded.
            InvalidParameter: it has no such track.
            AudioTooLong: it holds more than a day.
        """
        if not self.choice.splits_channels:
            yield from self._hear(self._findings, None)
            return
        finals = list(self._hear(self._findings, 0))
        self._copies = self._findings.channels.copies()
        for channel, copy in enumerate(self._copies):
            if channel and copy is None:
                self.source.seek(0)
                finals += self._hear(Findings(), channel)
        yield from sorted(finals, key=lambda final: final.start)

    def transcript(self, finals: Sequence[Final]) -> Transcript:
        """Return what was said, once `segments` has yielded these."""
        holes = [replace(hole, start=round(hole.start, 3), end=round(hole.end, 3)) for hole in self._findings.holes]
        gaps = sorted(holes + self.failed, key=lambda gap: gap.start)
        return Transcript(finals, self.seconds, gaps, self._dropped, self._findings.track, self._copies)

    def _hear(self, findings: Findings, channel: int | None) -> Iterator[Final]:
        chunks = decode(self.source, MAX_SECONDS, findings, Selection(self.choice.track, channel))
        number = channel or 0
        voices = None if number else self.voices  # a channel by itself is one speaker
        finals = pump.transcribe_recording(
            self.recognizer,
            self._count(chunks),
            replace(self.options, diarization=voices is not None),
            on_failure=lambda gap: self.failed.append(replace(gap, channel=number)),
            min_confidence=self.min_confidence,
            voices=voices,
        )
        for final in finals:
            if final.words:
                yield replace(final, channel=number)
            elif final.drop:
                self._dropped.append(replace(final, channel=number))

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
