"""Judge the detector by the utterances it makes: `python -m tools.activity.evaluate --clips DIR`.

Real clips, all at one level, are joined with pauses of 1 to 3 s; noise of every class is added at 20, 10 and 5 dB
under the level of active speech; the shipped detector and segmenter cut the result. Prints a table:

    lost_s    seconds of speech in no utterance, of `speech_s` in all
    cut       endpoints announced while the speaker was going on (the next speech came within 600 ms)
    delay     from the end of speech to the endpoint, ms: median and 90 %
    never     ends of speech without an endpoint before the next speech, %
    forced    cuts at 20 s
    covered   share of the audio inside utterances

Speech is where a clean clip is within 25 dB of its loudest frame and at most 200 ms from a voiced one, gaps under
200 ms closed: clips begin and end with clicks, breath and handling noise, which are loud but have no voice.
"""

from __future__ import annotations

import argparse
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.speech.activity import BLOCK_FRAMES, UNIT_FRAMES, ActivityDetector, ActivityModel
from gigastt.speech.features import log_mel
from gigastt.speech.segmenter import Cut, Segmenter
from tools.activity.channels import SAMPLE_RATE, Waveform, from_decibels, normalise, telephone, to_samples
from tools.activity.mixtures import Labels, label_speech
from tools.activity.noises import NOISES, babble

KINDS = ("white", "pink", "hum", "fan", "babble", "street", "music", "keyboard")
RATIOS_DB = (20, 10, 5)
LEVEL_DB = -26
BELOW_DB = 25.0
ENDPOINT_MS = 600
VOICED = 0.5  # of the normalised autocorrelation's peak between 70 and 400 Hz
_PITCH_LAGS = slice(40, 230)
_NEAR_VOICE_FRAMES = 20
_GAP_FRAMES = ENDPOINT_MS // 10


@dataclass(frozen=True, slots=True)
class Span:
    """Frames of 10 ms, `first` to before `last`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A cut and the frame after which it was known."""

    cut: Cut
    known: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What one condition gives; see the module's docstring."""

    lost: float
    cut: int
    delays: tuple[int, ...]
    never: float
    forced: int
    covered: float


def spans_of(labels: Labels) -> list[Span]:
    """Return the runs of true frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels.astype(np.int8), [0]])))
    return [Span(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def merge_spans(spans: list[Span], gap: int) -> list[Span]:
    """Join spans that are less than `gap` frames apart."""
    merged: list[Span] = []
    for span in spans:
        if merged and span.first - merged[-1].last < gap:
            merged[-1] = Span(merged[-1].first, span.last)
        else:
            merged.append(span)
    return merged


def find_voiced(waveform: Waveform, frames: int) -> Labels:
    """Tell which frames of 10 ms have a pitch, from 40 ms around each."""
    padded = np.pad(waveform, (240, 640))
    voiced = np.zeros(frames, np.bool_)
    for frame in range(frames):
        window = padded[frame * 160 : frame * 160 + 640]
        window = window - window.mean()
        spectrum = np.abs(np.fft.rfft(window, 1_280)) ** 2
        correlation = np.fft.irfft(spectrum)
        voiced[frame] = correlation[_PITCH_LAGS].max() > VOICED * (correlation[0] + 1e-12)
    return voiced


def label_voice(waveform: Waveform, frames: int) -> Labels:
    """Label where a clean clip has speech; see the module's docstring."""
    loud = label_speech(waveform, frames, BELOW_DB)
    near = np.convolve(loud & find_voiced(waveform, frames), np.ones(2 * _NEAR_VOICE_FRAMES + 1), mode="same") > 0
    labels: Labels = loud & near
    return labels


def decide(samples: Samples, model: ActivityModel) -> list[Decision]:
    """Cut a recording as a stream would, and note when each cut was known."""
    detector, segmenter = ActivityDetector(model), Segmenter(ENDPOINT_MS)
    features = log_mel(samples)
    decisions: list[Decision] = []
    for first in range(0, len(features) - UNIT_FRAMES + 1, UNIT_FRAMES):
        for level in detector.push(features[first : first + UNIT_FRAMES]):
            cut = segmenter.push(level)
            if cut is not None:
                decisions.append(Decision(cut, first + UNIT_FRAMES + 1))
    last = segmenter.finish()
    return [*decisions, Decision(last, len(features))]


def measure(decisions: list[Decision], labels: Labels) -> Figures:
    """Compare cuts with where speech is."""
    covered = np.zeros(len(labels), np.bool_)
    for decision in decisions:
        covered[decision.cut.first * BLOCK_FRAMES : decision.cut.last * BLOCK_FRAMES] = True
    utterances = merge_spans(spans_of(labels), _GAP_FRAMES)
    endpoints = [decision.known for decision in decisions if decision.cut.reason == "silence"]
    cut = sum(span.first < known < span.last for known in endpoints for span in utterances)
    delays, ends = [], 0
    for number, span in enumerate(utterances):
        until = utterances[number + 1].first if number + 1 < len(utterances) else len(labels)
        if until - span.last < 100:
            continue
        ends += 1
        after = [known for known in endpoints if span.last <= known < until]
        delays += [(after[0] - span.last) * 10] if after else []
    return Figures(
        lost=float((labels & ~covered).sum()) / 100,
        cut=cut,
        delays=tuple(delays),
        never=100 * (1 - len(delays) / max(1, ends)),
        forced=sum(decision.cut.reason == "max_duration" for decision in decisions),
        covered=float(covered.mean()),
    )


class Conditions:
    """The clips joined, clean and in noise."""

    def __init__(self, clips: list[Waveform], seed: int = 7) -> None:
        self._clips = clips
        rng = np.random.default_rng(seed)
        waves: list[Waveform] = []
        labels: list[Labels] = []
        for number in rng.permutation(len(clips)):
            pause = int(rng.uniform(1, 3) * 100)
            clip = clips[number]
            spoken = label_voice(clip, len(clip) // 160)
            active = clip[: len(spoken) * 160].reshape(-1, 160)[spoken]
            level = from_decibels(LEVEL_DB) / float(np.sqrt((active**2).mean()))
            waves += [np.zeros(pause * 160, np.float32), clip[: len(spoken) * 160] * level]
            labels += [np.zeros(pause, np.bool_), spoken]
        waves.append(np.zeros(3 * SAMPLE_RATE, np.float32))
        labels.append(np.zeros(300, np.bool_))
        clean = np.concatenate(waves)
        hiss = rng.standard_normal(len(clean)) * from_decibels(-80)
        self._clean: Waveform = (clean + hiss).astype(np.float32)
        self.labels: Labels = np.concatenate(labels)

    def __iter__(self) -> Iterator[tuple[str, Samples]]:
        """Yield each condition's name and recording."""
        yield "clean", to_samples(self._clean)
        yield "clean, 30 dB quieter", to_samples(self._clean * from_decibels(-30))
        yield "clean, telephone", to_samples(telephone(self._clean))
        for number, kind in enumerate(KINDS):
            noise = self._noise(kind, np.random.default_rng(1000 + number))
            for ratio in RATIOS_DB:
                mixed = self._clean + noise * from_decibels(LEVEL_DB - ratio)
                yield f"{kind} {ratio} dB", to_samples(mixed)

    def _noise(self, kind: str, rng: np.random.Generator) -> Waveform:
        length = len(self._clean)
        if kind == "babble":  # real voices backwards, so that no one could call it speech
            return normalise(babble(length, rng, [clip[::-1] for clip in self._clips], 10))
        return NOISES[kind](length, rng)


def read_clip(path: Path) -> Waveform:
    """Read a 16 kHz mono PCM16 file."""
    with wave.open(str(path)) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")
    return samples.astype(np.float32) / np.float32(32_768)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="a folder of 16 kHz mono PCM16 files")
    arguments = parser.parse_args()
    conditions = Conditions([read_clip(path) for path in sorted(arguments.clips.glob("*.wav"))])
    model = ActivityModel.load()
    print(f"speech_s {conditions.labels.sum() / 100:.2f} of {len(conditions.labels) / 100:.2f}\n")
    print("| condition | lost_s | cut | delay p50 | p90 | never % | forced | covered |\n" + "|---" * 8 + "|")
    for name, samples in conditions:
        figures = measure(decide(samples, model), conditions.labels)
        median, late = (int(np.percentile(figures.delays or (-1,), share)) for share in (50, 90))
        print(
            f"| {name} | {figures.lost:.2f} | {figures.cut} | {median} | {late} | {figures.never:.0f} "
            f"| {figures.forced} | {figures.covered:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
