"""Items of a Realtime transcription: what the session tells becomes events about items that only ever grow.

    speech_started ─ delta ─ delta ─ speech_stopped ─ committed ─ added, done ─ delta ─ completed

An item is an utterance where the server finds turns, and all between two commits where the client makes them. Its
deltas are words that are stable; `completed` has the whole text, which counts. Pure: events go in, fields of messages
come out.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final as Constant

from gigastt.gateway.api.openai_wire import logprobs_of
from gigastt.gateway.api.realtime_settings import Fields
from gigastt.transcript import Final, Gap, Partial, Word, text_of

MOST_ITEM_SECONDS: Constant = 600.0  # of an item: all of its text is told again at its end
_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_BUFFER = "input_audio_buffer"


@dataclass(slots=True)
class _Item:
    """One item.

    told: words whose deltas have been sent.
    is_committed: the client was told so; its last final may still come.
    is_dropped: the client cleared the buffer; nothing more is told of it.
    """

    id: str = field(default_factory=lambda: f"item_{secrets.token_hex(10)}")
    finals: list[Final] = field(default_factory=list)
    told: int = 0
    is_started: bool = False
    is_committed: bool = False
    is_dropped: bool = False

    @property
    def settled(self) -> int:
        """Words of finals."""
        return sum(len(final.words) for final in self.finals)


class Items:
    """All items of one session; the first in the queue is the one that events are about.

    Attributes:
        finds_turns: whether an utterance that ends by itself ends its item.
        logprobs: whether `completed` tells how probable each word is.
        is_beta: whether items are told of as the API did before it was final.
    """

    def __init__(self) -> None:
        self.finds_turns = True
        self.logprobs = False
        self.is_beta = False
        self._queue: deque[_Item] = deque([_Item()])
        self._previous: str | None = None

    def commit(self) -> list[Fields]:
        """The client ends its turn: tell so; the session is to be flushed, and its final completes the item."""
        return self._commit(self._open_item())

    def clear(self) -> list[Fields]:
        """The client drops what it has sent since the last commit; the session is to be flushed."""
        self._open_item().is_dropped = True
        self._queue.append(_Item())
        return [{"type": f"{_BUFFER}.cleared"}]

    def partial(self, partial: Partial) -> list[Fields]:
        """Tell the words that have become stable."""
        item = self._queue[0]
        if item.is_dropped or not partial.words:
            return []
        return [*self._start(item, partial.words[0].start), *self._grow(item, partial.words[: partial.stable])]

    def final(self, final: Final) -> list[Fields]:
        """Take an utterance; complete the item if it ends with it."""
        item = self._queue[0]
        ends = final.reason != "silence" and final.reason != "max_duration"
        if not final.text and not ends and not item.is_started:
            return []
        if item.is_dropped:
            if ends:
                self._queue.popleft()
            return []
        started = self._start(item, final.start) if final.text else []
        told = [*started, *self._grow(item, final.words)]
        item.finals.append(final)
        item.told = item.settled
        if item.is_committed:
            return [*told, self._complete(item)] if ends else told
        is_long = final.end - item.finals[0].start >= MOST_ITEM_SECONDS
        if not (ends or self.finds_turns or is_long) or not item.is_started:
            return told
        if self.finds_turns:
            told.append({"type": f"{_BUFFER}.speech_stopped", "audio_end_ms": _ms(final.end), "item_id": item.id})
        return [*told, *self._commit(item), self._complete(item)]

    def gap(self, gap: Gap, message: str) -> list[Fields]:
        """Tell that a part of an item has no words; the item goes on."""
        error = {"type": "server_error", "code": gap.code, "message": message, "param": None}
        item = self._queue[0]
        return [{"type": f"{_TRANSCRIPTION}.failed", "item_id": item.id, "content_index": 0, "error": error}]

    def _open_item(self) -> _Item:
        """Return the item that new audio belongs to."""
        item = self._queue[-1]
        if item.is_committed or item.is_dropped:
            item = _Item()
            self._queue.append(item)
        return item

    def _start(self, item: _Item, seconds: float) -> list[Fields]:
        if item.is_started:
            return []
        item.is_started = True
        if not self.finds_turns:
            return []
        return [{"type": f"{_BUFFER}.speech_started", "audio_start_ms": _ms(seconds), "item_id": item.id}]

    def _grow(self, item: _Item, words: Sequence[Word]) -> list[Fields]:
        """Tell the words of the open utterance that have not been told yet."""
        new = words[max(0, item.told - item.settled) :]
        if not new:
            return []
        text = " ".join(word.text for word in new)
        delta = f" {text}" if item.told else text
        item.told += len(new)
        return [{"type": f"{_TRANSCRIPTION}.delta", "item_id": item.id, "content_index": 0, "delta": delta}]

    def _commit(self, item: _Item) -> list[Fields]:
        item.is_committed = True
        place = {"previous_item_id": self._previous}
        self._previous = item.id
        content = [{"type": "input_audio", "transcript": None}]
        told = {"id": item.id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        kinds = ("created",) if self.is_beta else ("added", "done")
        return [
            {"type": f"{_BUFFER}.committed", "item_id": item.id, **place},
            *({"type": f"conversation.item.{kind}", **place, "item": {**told, "content": content}} for kind in kinds),
        ]

    def _complete(self, item: _Item) -> Fields:
        self._queue.popleft()
        if not self._queue:
            self._queue.append(_Item())
        spoken = [final for final in item.finals if final.text]
        seconds = round(sum(final.end - final.start for final in item.finals), 2)
        fields = {
            "type": f"{_TRANSCRIPTION}.completed",
            "item_id": item.id,
            "content_index": 0,
            "transcript": text_of(spoken),
            "usage": {"type": "duration", "seconds": seconds},
        }
        return {**fields, "logprobs": logprobs_of(spoken)} if self.logprobs else fields


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
