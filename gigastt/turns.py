"""Turns: an utterance cut where its speaker changes, for those who write it down. Pure."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from gigastt.transcript import Final, Word


def turns_of(final: Final) -> list[Final]:
    """Return an utterance cut where its speaker changes; as it is where speakers are not told apart."""
    runs = [list(run) for _, run in groupby(final.words, key=lambda word: word.speaker)]
    if len(runs) < 2:
        return [final]
    starts = [final.start, *(run[0].start for run in runs[1:])]
    ends = [*(run[-1].end for run in runs[:-1]), final.end]
    return [
        replace(final, text=" ".join(word.text for word in run), words=tuple(run), start=start, end=end)
        for run, start, end in zip(runs, starts, ends, strict=True)
    ]


def speaker_title(word: Word) -> str:
    """Return what a reader is told of a speaker."""
    return word.speaker_name or f"Speaker {word.speaker}"
