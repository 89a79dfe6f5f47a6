"""Files sent as if they were samples: named by their first bytes, or read as what they are."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.api.containers import MOST_HEADER_BYTES, Beginning, examine
from gigastt.gateway.api.dialect import Configuration

OPTIONS = Configuration(sample_rate=16_000)
UNDECIDED = Beginning(is_decided=False)
PCM = Beginning(is_decided=True)
HEADS = {
    "WebM": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01",
    "Ogg": b"OggS\x00\x02",
    "FLAC": b"fLaC\x00\x00\x00\x22",
    "MP3": b"ID3\x04\x00\x00",
    "MP4": b"\x00\x00\x00\x20ftypisom",
    "AIFF": b"FORM\x00\x00",
    "RIFF": b"RIFF\x00\x00\x00\x00AVI LIST",
    "AMR": b"#!AMR\n",
}


def wav_header(rate: int = 16_000, channels: int = 1, width: int = 2, extra: bytes = b"") -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((channels, width, rate, 0, "NONE", ""))
        wav.writeframes(b"")
    header = file.getvalue()
    return header[:36] + extra + header[36:]


def decide(data: bytes, configuration: Configuration = OPTIONS) -> Beginning:
    """Examine ever more of the data, as it comes, and make sure that more changes no decision."""
    found = [examine(data[:count], configuration) for count in range(1, len(data) + 1)]
    decided = [beginning for beginning in found if beginning.is_decided]
    assert all(beginning == decided[0] for beginning in decided)
    return decided[0] if decided else UNDECIDED


@pytest.mark.parametrize("name", HEADS)
def test_containers_are_named(name: str) -> None:
    refusal = decide(HEADS[name] + bytes(100)).refusal
    assert refusal is not None
    assert name in refusal
    assert "POST /v1/transcribe" in refusal


@given(st.binary(min_size=1, max_size=40))
def test_any_other_bytes_are_samples(data: bytes) -> None:
    marks = [head[:4] for head in HEADS.values()] + [b"caff", b".snd", b"RF64", b"ID3\2", b"ID3\3"]
    if not any(data.startswith(mark[: len(data)]) for mark in marks):
        assert decide(data) in (PCM, UNDECIDED)
        assert len(data) < 8 or decide(data) == PCM


@pytest.mark.parametrize("value", [0, 1, -1, 300])
def test_quiet_audio_is_decided_on_at_once(value: int) -> None:
    assert examine(struct.pack("<4h", *[value] * 4), OPTIONS) == PCM


def test_a_wav_header_of_the_configured_format_is_skipped() -> None:
    assert decide(wav_header() + b"audio") == Beginning(is_decided=True, skip=44)
    assert decide(wav_header(extra=b"LIST\x05\x00\x00\x00abcde\x00") + b"audio") == Beginning(is_decided=True, skip=58)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (wav_header(48_000), "48000 Hz"),
        (wav_header(channels=2), "channels: 2"),
        (wav_header(width=3), "POST /v1/transcribe"),
        (wav_header(extra=b"junk" + struct.pack("<I", 100_000) + bytes(MOST_HEADER_BYTES)), "POST /v1/transcribe"),
        (b"RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00", "POST /v1/transcribe"),
    ],
)
def test_any_other_wav_header_is_refused_with_what_it_says(header: bytes, says: str) -> None:
    refusal = decide(header).refusal
    assert refusal is not None
    assert says in refusal
