"""Server-sent events: their order, their terminal event, and silence in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from gigastt.errors import CapacityTimeout
from gigastt.gateway.api.event_stream import with_pauses
from gigastt.gateway.context import AppContext
from gigastt.gateway.pool.events import Event, ProgressEvent
from gigastt.transcript import Gap, Partial
from tests.fakes.gateway import http_client
from tests.fakes.pool import Fakes, FakeTranscriber, final


async def stream(context: AppContext) -> tuple[list[dict[str, Any]], str]:
    async with http_client(context) as client:
        response = await client.post("/v1/transcribe/stream", content=b"\0" * 32_000)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    blocks = response.text.split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith((":", "data: ")) and "\n" not in block for block in blocks)
    return [json.loads(block[6:]) for block in blocks if block.startswith("data: ")], response.text


async def play(events: Sequence[Event]) -> list[dict[str, Any]]:
    return (await stream(Fakes(transcriber=FakeTranscriber(events)).context()))[0]


def terminals(events: list[dict[str, Any]]) -> list[int]:
    return [index for index, event in enumerate(events) if event.get("last")]


async def test_events_come_in_order_and_the_last_final_ends_the_stream() -> None:
    events = await play(
        [
            ProgressEvent(0.5),
            Partial("Раз", final("Раз").words, 0),
            final("Раз, два."),
            final("Три.", 1, "stop", 1.0),
        ]
    )
    assert [event["type"] for event in events] == ["progress", "partial", "final", "final"]
    assert events[0] == {"type": "progress", "seconds": 0.5, "duration": 1.0}
    partial = {key: events[1][key] for key in ("text", "is_final", "stable")}
    assert partial == {"text": "Раз", "is_final": False, "stable": 0}
    assert events[1]["words"] == [{"word": "Раз", "start": 0.0, "end": 0.4, "confidence": 0.9}]
    assert [event["seq"] for event in events[2:]] == [0, 1]
    assert [event["endpoint_reason"] for event in events[2:]] == ["silence", "stop"]
    assert terminals(events) == [3]


async def test_a_file_without_speech_has_a_terminal_event_too() -> None:
    events = await play([])
    assert [(event["type"], event["text"], event["endpoint_reason"]) for event in events] == [("final", "", "stop")]
    assert terminals(events) == [0]


async def test_spans_without_words_do_not_end_the_stream() -> None:
    events = await play([Gap("inference_error", 1.0, 2.0), Gap("segment_failed", 3.0, 4.0), final("", 0, "stop")])
    assert [event.get("code") for event in events] == ["inference_error", "segment_failed", None]
    assert (events[0]["start"], events[0]["end"]) == (1.0, 2.0)
    assert terminals(events) == [2]


@pytest.mark.parametrize(
    ("error", "code"), [(CapacityTimeout("Gone.", retry_after_ms=700), "timeout"), (ValueError("/secret"), "internal")]
)
async def test_a_failure_in_the_middle_is_the_terminal_event(error: Exception, code: str) -> None:
    async def fail() -> AsyncGenerator[Event, None]:
        yield final("Раз.")
        raise error

    fakes = Fakes(transcriber=FakeTranscriber(fail))
    events, text = await stream(fakes.context())
    assert [event["type"] for event in events] == ["final", "error"]
    assert events[1]["code"] == code
    assert events[1].get("retry_after_ms") == (700 if code == "timeout" else None)
    assert "secret" not in text
    assert terminals(events) == [1]
    assert fakes.decoder.segments[0].freed
    assert fakes.pool.places.active == 0


async def test_silence_between_events_is_filled() -> None:
    gate = asyncio.Event()

    async def slow() -> AsyncGenerator[Event, None]:
        await gate.wait()
        yield final("Раз.")

    seen: list[Event | None] = []
    async for event in with_pauses(slow(), 0.01):
        seen.append(event)
        if seen.count(None) == 3:
            gate.set()
    assert seen[:3] == [None, None, None]
    assert seen[-1] == final("Раз.")
