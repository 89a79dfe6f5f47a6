"""A recogniser whose language a test can write by hand: for tests of everything around the real one.

Audio is made of blocks of 640 equal samples (40 ms). A block of zeros is silence, any other value `v` is the word
`wv`. An utterance ends at the first silent block, or after 250 words (10 s). Like the real one it depends on the audio
alone, starts at any commit, and reports partials, progress and finals through the same messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.audio.shared import SharedSegment
from gigastt.ipc import messages
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import (
    AttachAudio,
    Audio,
    Cancel,
    Closed,
    Excerpt,
    Finish,
    Found,
    OpenStream,
    Preview,
    Proceed,
    Progress,
    Recognise,
    Recognised,
    StreamId,
    ToGateway,
    ToWorker,
)
from gigastt.transcript import EndpointReason, Final, Partial, Word

BLOCK = 640
BLOCK_SECONDS = BLOCK / 16_000
LONGEST = 250
POISON = 666
SOUR = 667  # as poison, but only where an utterance of a file is recognised
LOUD = 668  # a word with a capital and a mark


class Poisoned(Exception):
    """The audio that kills a worker."""


def speech(values: Iterable[int]) -> Samples:
    """Return the samples of a script: one block for each value."""
    return np.repeat(np.array(list(values), dtype=np.int16), BLOCK)


def both_channels(left: Iterable[int], right: Iterable[int]) -> Samples:
    """Return the samples of two scripts of one length, as the channels of one recording."""
    return np.stack([speech(left), speech(right)], axis=1).ravel()


def _word(value: int) -> str:
    return f"W{value}!" if value == LOUD else f"w{value}"


def transcript(values: Sequence[int]) -> list[list[str]]:
    """Return the utterances of a script, as an undisturbed worker hears them; those without words left out."""
    utterances: list[list[str]] = [[]]
    for value in values:
        if value and len(utterances[-1]) < LONGEST:
            utterances[-1].append(_word(value))
        elif value:
            utterances.append([_word(value)])
        else:
            utterances.append([])
    return [utterance for utterance in utterances if utterance]


@dataclass(slots=True)
class _Stream:
    id: StreamId
    start: int
    partials: bool
    poison: int | None
    buffer: bytes = b""
    position: int = 0  # of the next block
    words: list[Word] = field(default_factory=list)
    committed: int = 0

    def push(self, pcm: bytes) -> list[ToGateway]:
        self.buffer += pcm
        out: list[ToGateway] = []
        whole = len(self.buffer) // (2 * BLOCK)
        for index in range(whole):
            block = np.frombuffer(self.buffer[index * 2 * BLOCK : (index + 1) * 2 * BLOCK], dtype="<i2")
            out += self._hear(int(block[0]))
        self.buffer = self.buffer[whole * 2 * BLOCK :]
        if self.words and self.partials and whole:
            text = " ".join(word.text for word in self.words)
            partial = Partial(text, tuple(self.words), max(0, len(self.words) - 1))
            out.append(messages.PartialMessage(self.id, partial))
        if whole:
            resume = b"s" if self.committed > self.start else b""
            out.append(Progress(self.id, self.position, self.committed, resume))
        return out

    def preview(self) -> messages.PartialMessage:
        text = " ".join(word.text for word in self.words)
        return messages.PartialMessage(self.id, Partial(text, tuple(self.words), 0, as_final=True))

    def finish(self) -> list[ToGateway]:
        self.position += len(self.buffer) // 2
        self.committed = self.position
        return [self._final("stop"), Closed(self.id)]

    def _hear(self, value: int) -> list[ToGateway]:
        if value == self.poison:
            raise Poisoned
        out: list[ToGateway] = []
        if value and len(self.words) == LONGEST:
            self.committed = self.position
            out.append(self._final("max_duration"))
        seconds = self.position / 16_000
        self.position += BLOCK
        if value:
            self.words.append(Word(_word(value), seconds, seconds + BLOCK_SECONDS, 1.0))
        else:
            self.committed = self.position
            if self.words:
                out.append(self._final("silence"))
        return out

    def _final(self, reason: EndpointReason) -> messages.FinalMessage:
        words, self.words = self.words, []
        end = words[-1].end if words else self.committed / 16_000
        start = words[0].start if words else end
        text = " ".join(word.text for word in words)
        final = Final(text, tuple(words), start, end, 1.0, reason)
        return messages.FinalMessage(self.id, final, max(self.position, self.committed), self.committed, b"s")


class FakeRecognizer:
    """All streams of one fake worker; `poison` is the value that kills it."""

    def __init__(self, poison: int | None = POISON) -> None:
        self._poison = poison
        self.streams: dict[StreamId, _Stream] = {}

    def touches_of(self, message: ToWorker) -> list[Touch]:
        """Return the audio that handling a message would look at."""
        match message:
            case Audio():
                stream = self.streams.get(message.stream)
                start = stream.position if stream is not None else 0
                held = len(stream.buffer) if stream is not None else 0
                return [Touch(message.stream, start, start + (held + len(message.pcm)) // 2)]
            case AttachAudio():
                return [Touch(message.stream, message.start, min(message.samples, message.start + 5 * 16_000))]
            case Recognise():
                return [Touch(message.stream, *_span(message))]
        return []

    def handle(self, message: ToWorker) -> list[ToGateway]:
        """Take a message and do all the work there is.

        Raises:
            Poisoned: the audio says so.
        """
        match message:
            case OpenStream():
                assert message.start % BLOCK == 0, "a stream begins at a block"
                stream = _Stream(message.stream, message.start, message.options.partials, self._poison)
                stream.position = stream.committed = message.start
                self.streams[message.stream] = stream
                return []
            case Audio():
                opened = self.streams.get(message.stream)
                return opened.push(message.pcm) if opened is not None else []
            case Preview():
                paused = self.streams.get(message.stream)
                return [paused.preview()] if paused is not None else []
            case Finish():
                finished = self.streams.pop(message.stream, None)
                return finished.finish() if finished is not None else []
            case Cancel():
                self.streams.pop(message.stream, None)
                return []
            case AttachAudio():
                with SharedSegment.attach(message.segment) as segment:
                    samples = segment.map(message.samples)[message.start :]
                file = _Stream(message.stream, message.start, False, self._poison)
                file.position = file.committed = message.start
                told = [*file.push(samples.tobytes()), *file.finish()]
                return [_without_words(item) if isinstance(item, messages.FinalMessage) else item for item in told]
            case Proceed():
                return []
            case Recognise():
                first, last = _span(message)
                with SharedSegment.attach(message.segment) as segment:
                    excerpt = segment.map(message.samples)[first:last]
                if SOUR in excerpt:
                    raise Poisoned
                heard = _Stream(message.stream, first, False, self._poison, position=first)
                heard.push(excerpt.tobytes())
                words = tuple(heard.words)
                final = replace(message.excerpt.final, text=" ".join(word.text for word in words), words=words)
                return [Recognised(message.stream, final)]


def _span(message: Recognise) -> tuple[int, int]:
    return message.excerpt.first_frame * 160, message.excerpt.last_frame * 160


def _without_words(message: messages.FinalMessage) -> ToGateway:
    """Return what a worker says of an utterance in a file that another may recognise."""
    final = message.final
    if not final.words:
        return message
    first, last = (round(seconds * 100) for seconds in (final.start, final.end))
    excerpt = Excerpt(first, last, 0, 0, True, replace(final, text="", words=()))
    return Found(message.stream, excerpt, message.consumed, message.committed, message.resume)
