"""Items of a Realtime transcription: their events in order, deltas that are never taken back, commits and clears."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.api.realtime_items import Items
from gigastt.transcript import Gap, Partial
from tests.fakes.pool import final

STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
COMMITTED = "input_audio_buffer.committed"
ADDED, DONE, CREATED = "conversation.item.added", "conversation.item.done", "conversation.item.created"
DELTA, COMPLETED, FAILED = (
    f"conversation.item.input_audio_transcription.{n}" for n in ("delta", "completed", "failed")
)


def partial(text: str, stable: int) -> Partial:
    return Partial(text, final(text).words, stable)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def said(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == DELTA)


def test_an_utterance_is_an_item_whose_deltas_are_its_stable_words() -> None:
    items = Items()
    events = items.partial(partial("Раз два", 0))
    assert kinds(events) == [STARTED]
    events += items.partial(partial("Раз два три", 2)) + items.partial(partial("Раз два", 1))
    events += items.final(final("Раз два, три."))
    assert kinds(events) == [STARTED, DELTA, DELTA, STOPPED, COMMITTED, ADDED, DONE, COMPLETED]
    assert said(events) == "Раз два три."  # the comma came too late: what was told stays
    assert events[-1]["transcript"] == "Раз два, три."
    assert events[-1]["usage"] == {"type": "duration", "seconds": 1.2}
    assert len({event.get("item_id") or event["item"]["id"] for event in events}) == 1


def test_items_follow_one_another_by_name() -> None:
    items = Items()
    first, second = items.final(final("Раз.")), items.final(final("Два."))
    first_at, second_at = (next(e for e in events if e["type"] == COMMITTED) for events in (first, second))
    assert first_at["previous_item_id"] is None
    assert second_at["previous_item_id"] == first_at["item_id"] != second_at["item_id"]


def test_silence_makes_no_item() -> None:
    assert Items().final(final("")) == []
    assert Items().final(final("", reason="stop")) == []


def test_without_turn_detection_a_commit_ends_the_item_and_its_final_completes_it() -> None:
    items = Items()
    items.finds_turns = False
    events = items.partial(partial("Раз", 1)) + items.final(final("Раз.")) + items.partial(partial("Два три", 1))
    assert kinds(events) == [DELTA, DELTA]
    assert kinds(items.commit()) == [COMMITTED, ADDED, DONE]
    events += items.final(final("Два три.", reason="flush"))
    assert kinds(events) == [DELTA, DELTA, DELTA, COMPLETED]
    assert said(events) == "Раз Два три."
    assert events[-1]["transcript"] == "Раз. Два три."


def test_commits_one_after_another_complete_in_their_order() -> None:
    items = Items()
    items.finds_turns = False
    told = [items.commit()[0]["item_id"] for _ in range(3)]
    completed = [items.final(final(text, reason="flush"))[-1] for text in ("Раз.", "", "Три.")]
    assert [event["item_id"] for event in completed] == told
    assert [event["transcript"] for event in completed] == ["Раз.", "", "Три."]


def test_a_commit_beside_turn_detection_completes_one_item() -> None:
    items = Items()
    events = items.partial(partial("Раз", 0)) + items.commit()
    events += items.final(final("Раз."))  # it had ended by itself meanwhile
    events += items.final(final("", reason="flush"))
    assert kinds(events) == [STARTED, COMMITTED, ADDED, DONE, DELTA, COMPLETED]
    assert kinds(items.final(final("Два."))) == [STARTED, DELTA, STOPPED, COMMITTED, ADDED, DONE, COMPLETED]


def test_an_item_that_the_client_never_commits_ends_after_ten_minutes() -> None:
    items = Items()
    items.finds_turns = False
    ends = [kinds(items.final(final("слово", start=100.0 * number)))[-1] for number in range(9)]
    assert ends == [DELTA] * 6 + [COMPLETED] + [DELTA] * 2


def test_what_was_cleared_is_not_told() -> None:
    items = Items()
    items.finds_turns = False
    items.partial(partial("Раз", 1))
    assert kinds(items.clear()) == ["input_audio_buffer.cleared"]
    assert items.partial(partial("Раз два", 2)) == []
    assert items.final(final("Раз два.", reason="flush")) == []
    items.commit()
    assert items.final(final("Три.", reason="flush"))[-1]["transcript"] == "Три."


def test_the_end_of_the_session_completes_what_was_said() -> None:
    items = Items()
    items.finds_turns = False
    items.partial(partial("Раз", 0))
    assert kinds(items.final(final("Раз.", reason="shutdown"))) == [DELTA, COMMITTED, ADDED, DONE, COMPLETED]


def test_a_final_that_differs_from_stable_words_takes_nothing_back() -> None:
    items = Items()
    events = items.partial(partial("Раз два три", 3)) + items.final(final("Раз."))
    assert said(events) == "Раз два три"
    assert events[-1]["transcript"] == "Раз."
    assert said(items.partial(partial("Пять", 1))) == "Пять"


def test_logprobs_and_the_shape_of_the_beta() -> None:
    items = Items()
    items.logprobs = items.is_beta = True
    events = items.final(final("Раз два."))
    assert kinds(events)[3:] == [COMMITTED, CREATED, COMPLETED]
    assert "".join(one["token"] for one in events[-1]["logprobs"]) == "Раз два."


def test_a_span_without_words_fails_and_the_item_goes_on() -> None:
    items = Items()
    [event] = items.gap(Gap("segment_failed", 1.0, 2.0), "Skipped.")
    assert (event["type"], event["error"]["code"]) == (FAILED, "segment_failed")
    assert items.final(final("Раз."))[-1]["transcript"] == "Раз."


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["commit", "clear"]),
            st.tuples(st.integers(0, 4), st.integers(0, 4)),
            st.integers(0, 3),
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_whatever_comes_each_committed_item_is_completed_once_with_all_its_words(
    steps: list[Any], finds_turns: bool
) -> None:
    items = Items()
    items.finds_turns = finds_turns
    events: list[dict[str, Any]] = []
    flushes = 0
    for step in steps:
        match step:
            case "commit" | "clear":
                events += items.commit() if step == "commit" else items.clear()
                flushes += 1
            case (words, stable):
                events += items.partial(partial(" ".join("слово" for _ in range(words)), min(words, stable)))
            case words:
                events += items.final(final(" ".join("слово" for _ in range(words))))
    for _ in range(flushes):
        events += items.final(replace(final("конец"), reason="flush"))
    events += items.final(final("", reason="stop"))
    committed = [event["item_id"] for event in events if event["type"] == COMMITTED]
    completed = [event["item_id"] for event in events if event["type"] == COMPLETED]
    assert committed == completed
    assert len(set(committed)) == len(committed)
