"""All that is listed decodes; all else is refused by name, before a decoder is opened."""

from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from gigastt.audio.containers import DECODERS, DEMUXERS, choose_track, open_container
from gigastt.audio.decode import decode
from gigastt.audio.pcm import Samples
from gigastt.audio.recordings import find_recordings
from gigastt.cli.main import run_command
from gigastt.errors import InvalidAudio
from gigastt.gateway.ops import SUPPORTED_FORMATS
from tests.fakes.audio_files import encode_audio, make_tone
from tests.shared import do_without

# What libav itself can encode: decoder, encoder, container, rate.
_ENCODED = [
    *((name, name, "wav", 16_000) for name in ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le")),
    *((name, name, "wav", 16_000) for name in ("pcm_f64le", "pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav")),
    *((name, name, "wav", 16_000) for name in ("adpcm_yamaha", "g722")),
    *((name, name, "aiff", 16_000) for name in ("pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be")),
    *((name, name, "caf", 16_000) for name in ("pcm_s8", "adpcm_ima_qt")),
    ("g726", "g726", "wav", 8_000),
    *(("amrnb", "libopencore_amrnb", container, 8_000) for container in ("amr", "3gp")),
    ("flac", "flac", "flac", 16_000),
    ("alac", "alac", "ipod", 16_000),
    ("vorbis", "vorbis", "ogg", 48_000),
    ("opus", "libopus", "webm", 48_000),
    ("aac", "aac", "adts", 44_100),
    ("mp3float", "libmp3lame", "avi", 44_100),
    ("mp3float", "mp2", "mpegts", 48_000),
    ("ac3", "ac3", "ac3", 48_000),
    ("eac3", "eac3", "eac3", 48_000),
    ("wmav1", "wmav1", "asf", 44_100),
    ("wmav2", "wmav2", "asf", 44_100),
    ("pcm_s16be", "pcm_s16be", "au", 16_000),
    ("pcm_s16le", "pcm_s16le", "w64", 16_000),
    ("mp2", "mp2", "mp2", 48_000),
]
# What only the ffmpeg program can encode: decoder, its encoder, file name, rate.
_BY_FFMPEG = [
    ("gsm_ms", "libgsm_ms", "call.wav", 8_000),
    ("gsm", "libgsm", "call.mov", 8_000),
    ("speex", "libspeex", "call.ogg", 8_000),
    ("dca", "dca", "film.dts", 48_000),
    ("dca", "dca", "film.mkv", 48_000),
]
_UNLISTED = [("wavpack", "wavpack", "matroska"), ("tta", "tta", "matroska")]
_UNLISTED += [
    ("adpcm_swf", "adpcm_swf", "wav"),
    ("real_144", "real_144", "matroska"),
    ("pcm_s64le", "pcm_s64le", "wav"),
]
_FORMAT_CONTAINERS = {
    "wav": "wav",
    "flac": "flac",
    "mp3": "mp3",
    "ogg": "ogg",
    "opus": "ogg",
    "m4a": "ipod",
    "aac": "adts",
    "webm": "webm",
    "mp4": "mp4",
    "mkv": "matroska",
    "3gp": "3gp",
    "amr": "amr",
    "wma": "asf",
    "avi": "avi",
    "ts": "mpegts",
    "aiff": "aiff",
    "caf": "caf",
    "au": "au",
    "w64": "w64",
    "ac3": "ac3",
    "eac3": "eac3",
    "mp2": "mp2",
}


def decoded(raw: bytes) -> Samples:
    return np.concatenate(list(decode(io.BytesIO(raw), 60.0)))


def is_tone(heard: Samples) -> bool:
    """Tell whether something is the tone of `make_tone`: 440 Hz, swelling and fading within about a second."""
    spectrum = np.abs(np.fft.rfft(heard[2_000:14_000].astype(float)))
    return abs(int(spectrum.argmax()) * 16_000 / 12_000 - 440) < 4 and 14_000 < len(heard) < 20_000


def decoder_name(raw: bytes) -> str:
    with open_container(next(find_recordings(io.BytesIO(raw)))) as container:
        return choose_track(container, lambda _: True).codec_context.name


def wave_with_tag(tag: int, bits: int) -> bytes:
    """Make a WAV file of noise that claims to be in the form of a tag."""
    samples = np.random.default_rng(tag).bytes(8_192)
    form = struct.pack("<HHIIHHH", tag, 1, 16_000, 16_000, 64, bits, 0)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize(("name", "encoder", "container", "rate"), _ENCODED)
def test_every_listed_decoder_that_can_be_encoded_for_decodes(
    name: str, encoder: str, container: str, rate: int
) -> None:
    channels = 2 if encoder == "vorbis" else 1
    raw = encode_audio(make_tone(1.0, rate), container, encoder, rate=rate, channels=channels)

    assert decoder_name(raw) == name
    assert name in DECODERS
    assert is_tone(decoded(raw))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "encoder", "file_name", "rate"), _BY_FFMPEG)
def test_listed_decoders_that_only_ffmpeg_encodes_for_decode(
    name: str, encoder: str, file_name: str, rate: int, tmp_path: Path
) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        do_without("needs ffmpeg, which makes the file")
    source, target = tmp_path / "tone.wav", tmp_path / file_name
    source.write_bytes(encode_audio(make_tone(1.0, rate), "wav", "pcm_s16le", rate=rate))
    command = [program, "-v", "error", "-i", str(source), "-strict", "-2", "-c:a", encoder, str(target)]
    subprocess.run(command, check=True, timeout=60)
    raw = target.read_bytes()

    assert decoder_name(raw) == name
    assert is_tone(decoded(raw))


def test_wideband_amr_for_which_there_is_no_encoder_decodes() -> None:
    raw = b"#!AMR-WB\n" + (b"\x04" + bytes(17)) * 50  # frames of mode 0, 20 ms each

    assert decoder_name(raw) == "amrwb"
    assert len(decoded(raw)) == 16_000


def test_the_help_of_the_command_line_names_the_same_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["transcribe", "--help"]) == 0

    said = " ".join(capsys.readouterr().out.lower().split())
    [names] = re.findall(r"formats: (.*?)\. the content", said)
    assert tuple(names.split(", ")) == SUPPORTED_FORMATS


def test_every_name_on_the_lists_is_one_of_libavs() -> None:
    for name in DECODERS:
        assert av.Codec(name, "r").type == "audio"
    for name in DEMUXERS:
        assert av.ContainerFormat(name, "r").is_input


@pytest.mark.parametrize("name", [name for name in SUPPORTED_FORMATS if name != "dts"])
def test_every_format_that_clients_are_told_of_can_be_opened(name: str) -> None:
    encoders = {"ogg": "vorbis", "opus": "libopus", "webm": "libopus", "mkv": "libopus", "3gp": "libopencore_amrnb"}
    encoders |= {"amr": "libopencore_amrnb", "wma": "wmav2", "ts": "mp2", "aiff": "pcm_s16be", "au": "pcm_s16be"}
    encoders |= dict.fromkeys(("wav", "caf", "w64"), "pcm_s16le") | {"mp3": "libmp3lame", "avi": "libmp3lame"}
    encoders |= dict.fromkeys(("m4a", "aac", "mp4"), "aac")
    encoder = encoders.get(name, name)
    rate = 8_000 if "amr" in encoder else 48_000
    channels = 2 if encoder == "vorbis" else 1
    raw = encode_audio(make_tone(1.0, rate), _FORMAT_CONTAINERS[name], encoder, rate=rate, channels=channels)

    assert is_tone(decoded(raw))


@pytest.mark.parametrize(("name", "encoder", "container"), _UNLISTED)
def test_an_unlisted_decoder_is_refused_by_name_before_it_is_opened(name: str, encoder: str, container: str) -> None:
    rate = {"adpcm_swf": 22_050, "real_144": 8_000}.get(encoder, 16_000)
    raw = encode_audio(make_tone(1.0, rate), container, encoder, rate=rate)

    with open_container(next(find_recordings(io.BytesIO(raw)))) as opened:
        with pytest.raises(InvalidAudio, match=rf"\({name}\), which is not decoded here: convert it"):
            choose_track(opened, lambda _: True)
        assert [track.codec_context.name for track in opened.streams.audio] == [name]
        assert not opened.streams.audio[0].codec_context.is_open
    with pytest.raises(InvalidAudio, match=rf"\({name}\)"):
        decoded(raw)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 16])
def test_no_format_tag_of_a_wav_file_reaches_an_unlisted_decoder(bits: int) -> None:
    reached, refused = set(), set()
    for tag in [*range(0x510), 0x674F, 0x1500, 0x181C, 0x2000, 0x2001, 0x2048, 0x4143, 0x4201, 0x566F, 0x5756]:
        try:
            container = open_container(next(find_recordings(io.BytesIO(wave_with_tag(tag, bits)))))
        except InvalidAudio:
            continue
        with container:
            context = container.streams.audio[0].codec_context
            try:
                choose_track(container, lambda _: True)
                reached.add(context.name)
            except InvalidAudio:
                assert not context or not context.is_open
                refused.add(context.name if context else "")

    assert reached <= set(DECODERS)
    assert {"adpcm_ms", "gsm_ms", "wmav2", "ac3"} <= reached
    assert {"wmalossless", "truespeech", "g723_1", "imc", "on2avc", "g729"} <= refused


@pytest.mark.parametrize(
    "raw",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
        b"[playlist]\nFile1=http://127.0.0.1/\n",
        b";FFMETADATA1\ntitle=x\n",
        b"SYNC\n" * 40,
        b"RTSPtext rtsp://127.0.0.1/\r\n",
    ],
    ids=["hls", "concat", "sdp", "dash", "pls", "metadata", "text", "rtsp"],
)
def test_what_names_other_files_or_addresses_is_no_audio(raw: bytes) -> None:
    with pytest.raises(InvalidAudio, match="not an audio file of a known format"):
        decoded(raw)
