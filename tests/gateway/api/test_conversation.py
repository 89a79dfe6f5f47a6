"""The conversation in the native dialect: every row of its table, and random clients."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.errors import CapacityTimeout, ShuttingDown
from gigastt.gateway.api.conversation import (
    MOST_EMPTY_FRAMES,
    MOST_GARBAGE_FRAMES,
    PAUSE_GRACE_SECONDS,
    Close,
    Effect,
    FeedAudio,
    FinishSession,
    Flush,
    IgnoredText,
    SendError,
)
from gigastt.gateway.api.dialect import Reply
from tests.fakes.conversation import FRAME, codes, configure, protocol


def test_audio_is_fed_as_it_came() -> None:
    assert protocol().receive(b"\x01\x02\x03", 0.0) == [FeedAudio(b"\x01\x02\x03")]


def test_stop_finishes_and_closes_normally() -> None:
    client = protocol()
    assert client.receive('{"type":"stop"}', 0.0) == [FinishSession("stop", 1000)]
    assert client.receive('{"type":"stop"}', 0.0) == []
    assert client.receive(b"late", 0.0) == []
    assert client.deadline == math.inf


def test_empty_frames_are_not_audio_yet() -> None:
    client = protocol()
    client.receive(b"", 0.0)
    assert configure(client, sample_rate=8000) == []


def test_empty_frames_without_end_close_the_session() -> None:
    client = protocol()
    for _ in range(MOST_EMPTY_FRAMES):
        assert client.receive(b"", 0.0) == []
    assert codes(client.receive(b"", 0.0)) == ["policy_violation", "error", 1008]


GARBAGE = [
    "",
    "hello",
    "null",
    "[]",
    '"stop"',
    '{"type":"Stopp"}',
    '{"type":["stop"]}',
    '{"type":{"stop":1}}',
    '{"event":"ping"}',
    '{"type":"stop","x":NaN}',
    '{"type":"\ud800"}',
    "[" * 60_000,
    '{"a":' * 10_000,
    '{"type":"stop","pad":"' + "x" * 70_000 + '"}',
    "1" * 5_000,
    '{"type":"stop"',
]


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: repr(text[:20]))
def test_other_text_is_told_once_and_the_session_goes_on(text: str) -> None:
    client = protocol()
    ignored, error = client.receive(text, 0.0)
    assert ignored == IgnoredText(len(text))
    assert codes([error]) == ["invalid_message"]
    assert client.receive(text, 0.0) == [IgnoredText(len(text))]
    assert client.state == "open"


def test_a_type_that_is_nearly_right_is_named() -> None:
    _, error = protocol().receive('{"type":"configuration"}', 0.0)
    assert error == SendError("invalid_message", "The type of this message is not known. Was configure meant?")


@pytest.mark.parametrize("text", ['\ufeff{"type":"stop"}', '{"type":"Stop"}', ' {"type": "STOP "}'])
def test_a_mark_and_capitals_do_not_hide_what_is_meant(text: str) -> None:
    assert protocol().receive(text, 0.0) == [FinishSession("stop", 1000)]


def test_a_message_in_a_binary_frame_is_no_audio() -> None:
    client = protocol()
    assert client.receive(b'{"type":"configure","sample_rate":8000}', 0.0) == []
    assert client.configuration.sample_rate == 8_000
    assert client.receive(b"\xef\xbb\xbf{}", 0.0) == [FeedAudio(b"\xef\xbb\xbf{}")]
    assert client.receive(b'{"type":"stop"}', 0.0) == [FinishSession("stop", 1000)]


def test_garbage_without_end_closes_the_session_with_its_last_final() -> None:
    client = protocol()
    for number in range(MOST_GARBAGE_FRAMES):
        assert not ends(client.receive(GARBAGE[number % 10], 0.0))
    assert codes(client.receive("hello", 0.0))[-3:] == ["policy_violation", "error", 1008]


def ends(effects: list[Effect]) -> bool:
    return any(isinstance(effect, FinishSession | Close) for effect in effects)


@pytest.mark.parametrize("text", ['{"type":"KeepAlive"}', '{"type":"keepalive"}', '{"type":"ping"}', '{"type":"pong"}'])
def test_signs_of_life_are_never_counted(text: str) -> None:
    client = protocol(idle=10)
    for number in range(3 * MOST_GARBAGE_FRAMES):
        effects = client.receive(text, number)
        assert effects == ([Reply(['{"type":"pong"}'])] if "ping" in text else [])
        assert client.tick(number) == []
    assert client.deadline == 3 * MOST_GARBAGE_FRAMES - 1 + 10


@pytest.mark.parametrize("frame", ["?", b""])
def test_time_forgives(frame: str | bytes) -> None:
    client = protocol()
    for second in range(5 * MOST_EMPTY_FRAMES):
        assert not ends(client.receive(frame, second))


@pytest.mark.parametrize("frame", ["?", b""])
def test_audio_forgives(frame: str | bytes) -> None:
    client = protocol()
    for number in range(2 * MOST_EMPTY_FRAMES):
        assert not ends(client.receive(frame, 0.0))
        if number % 50 == 0:
            client.receive(b"\1\1", 0.0)
            client.audio_taken(2, 0.0)


def test_a_configuration_that_comes_too_late_again_and_again_is_garbage() -> None:
    client = protocol()
    client.receive(b"audio", 0.0)
    for _ in range(MOST_GARBAGE_FRAMES):
        assert codes(configure(client, sample_rate=8_000)) == ["configure_too_late"]
    assert codes(configure(client, sample_rate=8_000)) == ["policy_violation", "error", 1008]


def test_flush_ends_the_utterance_and_not_the_session() -> None:
    client = protocol()
    client.receive(b"audio", 0.0)
    client.audio_taken(5, 0.0)
    assert client.receive('{"type":"flush"}', 0.0) == [Flush()]
    assert client.pause_at == math.inf
    assert client.receive(b"more", 0.0) == [FeedAudio(b"more")]


def test_flushes_of_nothing_without_end_are_garbage() -> None:
    client = protocol()
    for _ in range(MOST_GARBAGE_FRAMES):
        assert client.receive('{"type":"flush"}', 0.0) == [Flush()]
    assert codes(client.receive('{"type":"flush"}', 0.0)) == ["policy_violation", "error", 1008]


def test_a_pause_is_noticed_once_when_the_endpoint_silence_has_passed() -> None:
    client = protocol()
    configure(client, sample_rate=16_000, endpoint_silence_ms=800)
    assert client.pause_at == math.inf
    client.receive(bytes(3_200), 5.0)
    assert client.pause_at == math.inf  # while the audio waits for room
    client.audio_taken(3_200, 6.0)
    assert client.pause_at == pytest.approx(6.8 + PAUSE_GRACE_SECONDS)
    assert not client.notice_pause(6.8)
    assert client.notice_pause(7.3)
    assert not client.notice_pause(8.0)
    assert client.pause_at == math.inf
    client.receive(bytes(3_200), 9.0)
    client.audio_taken(3_200, 9.0)
    assert client.notice_pause(11.0)


def test_the_time_between_long_frames_is_no_pause() -> None:
    client = protocol()
    configure(client, sample_rate=16_000)
    for second in range(5):
        assert not client.notice_pause(second)
        client.receive(bytes(32_000), second)
        client.audio_taken(32_000, second)
    assert client.notice_pause(5.5)


def test_a_container_is_named_and_ends_the_session_with_its_final() -> None:
    client = protocol()
    effects = client.receive(b"\x1a\x45\xdf\xa3" + bytes(100), 0.0)
    assert codes(effects) == ["container_not_pcm", "error", 1003]
    assert isinstance(effects[0], SendError)
    assert "POST /v1/transcribe" in effects[0].message
    assert client.receive(b"more", 0.0) == []


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_container_is_known_however_its_bytes_are_cut(size: int) -> None:
    client, data = protocol(), b"OggS" + bytes(100)
    effects = [e for at in range(0, len(data), size) for e in client.receive(data[at : at + size], 0.0)]
    assert codes(effects) == ["container_not_pcm", "error", 1003]


@pytest.mark.parametrize("message", ["stop", "flush"])
def test_what_was_held_back_of_the_audio_is_fed_before_its_end(message: str) -> None:
    client = protocol()
    assert client.receive(b"Og", 0.0) == []
    assert codes(configure(client)) == ["configure_too_late"]
    effects = client.receive(json.dumps({"type": message}), 0.0)
    assert effects[0] == FeedAudio(b"Og")
    assert len(effects) == 2


@pytest.mark.parametrize("size", [FRAME, FRAME + 1])
def test_a_frame_over_the_limit_is_too_large(size: int) -> None:
    expected = [] if size == FRAME else ["error", 1009]
    assert codes(protocol().receive(bytes(size), 0.0)) == expected
    assert codes(protocol().receive("x" * size, 0.0))[-2:] == (expected or ["invalid_message"])


def test_idle_client_gets_its_final_and_is_closed() -> None:
    client = protocol(idle=10)
    client.receive(b"audio", 5.0)
    client.audio_taken(5, 6.0)
    assert client.deadline == 16.0
    assert client.tick(15.9) == []
    assert codes(client.tick(16.0)) == ["idle_timeout", "timeout", 1001]
    assert client.tick(99.0) == []


def test_a_client_whose_audio_waits_for_room_is_not_idle() -> None:
    client = protocol(idle=10)
    client.receive(b"audio", 5.0)
    assert client.tick(1_000.0) == []
    client.audio_taken(5, 1_000.0)
    assert client.tick(1_009.0) == []
    assert codes(client.tick(1_010.0)) == ["idle_timeout", "timeout", 1001]


def test_a_silent_session_makes_room_with_a_last_final_and_one_whose_audio_waits_does_not() -> None:
    assert protocol(admitted=False).make_room() == []
    client = protocol()
    client.receive(b"audio", 5.0)
    assert client.make_room() == []
    client.audio_taken(5, 6.0)
    assert codes(client.make_room()) == ["idle_timeout", "timeout", 1001]
    assert client.make_room() == []


def test_the_longest_session_ends_with_its_final_even_amid_audio() -> None:
    client = protocol(cap=60)
    client.receive(b"audio", 59.0)
    assert codes(client.tick(60.0)) == ["max_session_duration_exceeded", "timeout", 1008]


def test_zero_means_no_limit() -> None:
    client = protocol(idle=0, cap=0)
    assert client.deadline == math.inf
    assert client.tick(1e9) == []


def test_the_session_begins_when_it_is_admitted() -> None:
    client = protocol(idle=10, cap=60, admitted=False)
    assert client.deadline == math.inf
    client.admitted(30.0)
    assert client.deadline == 40.0


def test_drain_gives_the_last_final() -> None:
    client = protocol()
    client.receive(b"audio", 0.0)
    assert client.drain() == [FinishSession("shutdown", 1001)]
    assert client.drain() == []


def test_drain_after_stop_changes_nothing() -> None:
    client = protocol()
    client.receive('{"type":"stop"}', 0.0)
    assert client.drain() == []


def test_no_capacity_is_told_with_the_time_to_come_back() -> None:
    effects = protocol(admitted=False).refused(CapacityTimeout("busy", retry_after_ms=1500))
    assert effects == [SendError("timeout", "busy", 1500), Close(1013, "timeout")]


def test_a_newcomer_while_draining_is_told_so() -> None:
    effects = protocol(admitted=False).refused(ShuttingDown("bye"))
    assert codes(effects) == ["shutting_down", 1001]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_fields = st.fixed_dictionaries(
    {"type": st.sampled_from(["configure", "stop", "flush", "ping", "x"])},
    optional=dict.fromkeys(
        ("sample_rate", "encoding", "channels", "endpoint_silence_ms", "partials", "protocol_version"), _json
    ),
)
_frames = st.lists(
    st.binary(max_size=8)
    | st.text(max_size=40)
    | _json.map(json.dumps)
    | _fields.map(json.dumps)
    | st.sampled_from(GARBAGE)
    | st.floats(0, 200),
    max_size=40,
)


@given(frames=_frames)
def test_any_client_ends_at_most_once_and_keeps_valid_options(frames: list[bytes | str | float]) -> None:
    client, now, ends = protocol(idle=100, cap=500), 0.0, 0
    fed: list[bytes] = []
    for frame in frames:
        match frame:
            case float():
                now += frame
                effects = client.tick(now)
            case _:
                effects = client.receive(frame, now)
        assert not (ends and effects)
        ends += sum(isinstance(effect, FinishSession | Close) for effect in effects)
        for effect in effects:
            if isinstance(effect, FeedAudio):
                fed.append(effect.data)
                client.audio_taken(len(effect.data), now)
    assert ends <= 1
    assert (client.state in ("finishing", "closed")) == bool(ends)
    configuration = client.configuration
    assert 8_000 <= configuration.sample_rate <= 192_000
    assert configuration.channels in (1, 2)
    assert 200 <= configuration.options.endpoint_silence_ms <= 5000
    if not ends:
        held = [effect.data for effect in client.receive('{"type":"stop"}', now) if isinstance(effect, FeedAudio)]
        assert b"".join(fed + held) == b"".join(frame for frame in frames if isinstance(frame, bytes))
