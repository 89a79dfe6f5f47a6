"""Resume points come back from their tokens as they were."""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.access.tokens import Tokens
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.api.intake import Position
from gigastt.gateway.api.resume_points import ResumePoint
from gigastt.gateway.pool.events import Checkpoint, TrackCheckpoint
from gigastt.speakers import NamedAudio, SpeakerFields
from gigastt.spelling import PLAIN
from gigastt.transcript import Options

TOKENS = Tokens(b"0123456789abcdef")
COUNTS = st.integers(0, 1 << 53)
TRACKS = st.builds(TrackCheckpoint, COUNTS, COUNTS, COUNTS, st.binary(max_size=900))


@given(tracks=st.lists(TRACKS, min_size=1, max_size=2), position=st.builds(Position, COUNTS, COUNTS), seq=COUNTS)
def test_a_point_comes_back(tracks: list[TrackCheckpoint], position: Position, seq: int) -> None:
    configuration = Configuration(
        44_100, "mulaw", 2, Options(endpoint_silence_ms=900, partials=False), spelling=PLAIN, resumable=True
    )
    point = ResumePoint("s", "o", configuration, position, Checkpoint(tuple(tracks), seq), flushes=3)
    assert ResumePoint.read(point.sign(TOKENS), TOKENS) == point


def test_voices_do_not_go_along() -> None:
    configuration = Configuration(speakers=SpeakerFields(recordings=(NamedAudio("b", bytes(100_000)),)))
    token = ResumePoint("s", "", configuration).sign(TOKENS)
    found = ResumePoint.read(token, TOKENS)
    assert found is not None
    assert found.configuration == Configuration()
    assert len(token) < 500


def test_a_token_of_another_version_is_none_of_ours() -> None:
    for payload in (b"", b"x", msgpack.packb([2, "s"]), msgpack.packb([1, "s"]), msgpack.packb({})):
        assert ResumePoint.read(TOKENS.sign("resume", payload), TOKENS) is None
