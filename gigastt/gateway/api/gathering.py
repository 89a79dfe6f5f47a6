"""Gathering: several utterances of a channel told as one, where the client says when one ends.

The recogniser cuts the audio as ever, so the words are those of a file; only what is told is put together. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from gigastt.transcript import EndpointReason, Final, Partial, alternatives_of, mean_confidence

EndpointMode: TypeAlias = Literal["auto", "assistant", "manual"]

MOST_HELD_SECONDS = 120.0  # of what is held back: each partial tells all of it again
_HELD: dict[EndpointMode, tuple[EndpointReason, ...]] = {
    "auto": (),
    "assistant": ("max_duration",),
    "manual": ("max_duration", "silence"),
}


class Gatherer:
    """The finals of one session that are held back.

    Attributes:
        mode: `auto` tells every utterance, `assistant` when the speaker ended it, `manual` when the client did.
        told: finals that have been told.
    """

    def __init__(self, mode: EndpointMode = "auto") -> None:
        self.mode: EndpointMode = mode
        self._held: dict[int, list[Final]] = {}
        self.told = 0

    def partial(self, partial: Partial) -> Partial:
        """Return a partial with what is held back before it."""
        held = self._held.get(partial.channel)
        if not held:
            return partial
        words = tuple(word for final in held for word in final.words)
        text = _join([*held, partial])
        return replace(partial, text=text, words=words + partial.words, stable=len(words) + partial.stable)

    def final(self, final: Final) -> Final | None:
        """Return the final to tell, numbered as it is told; None while it is held back."""
        held = self._held.setdefault(final.channel, [])
        held.append(final)
        if final.reason in _HELD[self.mode] and final.end - held[0].start < MOST_HELD_SECONDS:
            return None
        del self._held[final.channel]
        self.told += 1
        if len(held) == 1 and final.seq == self.told - 1:
            return final
        return replace(_merge(held), reason=_reason(final.reason, _HELD[self.mode]), seq=self.told - 1)


def _merge(finals: Sequence[Final]) -> Final:
    words = tuple(word for final in finals for word in final.words)
    spoken = [final for final in finals if final.words] or finals
    return replace(
        finals[-1],
        text=_join(finals),
        words=words,
        start=finals[0].start,
        confidence=mean_confidence(words),
        tokens=tuple(token for final in finals for token in final.tokens),
        alternatives=tuple(alternatives_of(finals)),
        speech=round(sum(final.speech for final in spoken) / len(spoken), 4),
    )


def _join(told: Sequence[Final | Partial]) -> str:
    return " ".join(one.text for one in told if one.text)


def _reason(reason: EndpointReason, held: tuple[EndpointReason, ...]) -> EndpointReason:
    """Return why a final is told: one that would be held back is told because there is too much of it."""
    return "max_duration" if reason in held else reason
