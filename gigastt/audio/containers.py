"""Containers: libav's door. What may be opened, and which track is heard.

Of libav's demuxers and decoders only those listed here are reachable: no playlist, which could name other files or
addresses, and no video. A track's decoder is compared with the list before it is opened, whatever chose it (a WAV
file's format tag can choose dozens).
"""

from __future__ import annotations

from collections.abc import Callable

import av
import av.subtitles.codeccontext  # with the next one: av loads them for a film, where a sandbox forbids it
import av.subtitles.stream
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from gigastt.audio.recordings import Recording
from gigastt.errors import InvalidAudio, InvalidParameter
from gigastt.transcript import HeardTrack

DEMUXERS = (
    *("wav", "w64", "aiff", "au", "caf", "flac", "mp3", "ogg", "aac", "amr", "ac3", "eac3", "dts"),
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "asf", "mpegts"),
)
DECODERS = (
    *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_yamaha", "g722", "g726", "g726le", "gsm", "gsm_ms"),
    *("amrnb", "amrwb", "speex"),
    *("flac", "alac", "vorbis", "opus", "aac", "aac_latm", "mp3", "mp3float", "mp2", "mp2float"),
    *("ac3", "eac3", "dca", "wmav1", "wmav2", "wmavoice", "wmapro"),
)
_REACHABLE = frozenset(DECODERS)
_OPTIONS = {
    "format_whitelist": ",".join(DEMUXERS),
    "codec_whitelist": ",".join(DECODERS),  # for probing, which opens decoders by itself
    "protocol_whitelist": "pipe",
    "max_probe_packets": "1",  # libav looks for other codecs in a WAV file's PCM, 5 ms for each file
    "max_size": "8192",  # bytes in a packet of a WAV file; each costs as much as its samples do
}
_RUSSIAN = ("ru", "rus")


def open_container(recording: Recording) -> InputContainer:
    """Open a recording that has an audio track.

    Raises:
        InvalidAudio: it is none, or of a format that is not listed.
    """
    av.logging.set_level(av.logging.PANIC)  # libav prints what it finds in files, titles and all
    options = _OPTIONS | ({"ignore_length": "1"} if recording.reads_on else {})
    recording.seek(0)
    try:
        container = av.open(recording, mode="r", options=options)
    except (av.FFmpegError, ValueError, OverflowError) as exc:
        raise InvalidAudio("This is not an audio file of a known format.") from exc
    if not container.streams.audio:
        container.close()
        raise InvalidAudio("The file has no audio track.")
    return container


def choose_track(container: InputContainer, has_sound: Callable[[int], bool], wanted: str = "") -> AudioStream:
    """Return the track that is heard: the wanted one; or the default one, else a Russian one, else the first, of those
    with sound in them.

    Args:
        container: as `open_container` gives it.
        has_sound: tells by a track's index whether anything can be heard in it; asked only if there are several.
        wanted: a number among the audio tracks, from 0, or a language; empty for the usual choice.

    Raises:
        InvalidAudio: no track's decoder is listed; it has not been opened.
        InvalidParameter: there is no such track; the message says which there are.
    """
    candidates = list(container.streams.audio)
    if wanted:
        candidates = [track for number, track in enumerate(candidates) if _is_wanted(wanted, number, track)]
        if not candidates:
            languages = [_language_of(track) or "no language" for track in container.streams.audio]
            there = ", ".join(f"{number} ({language})" for number, language in enumerate(languages))
            message = f"There is no audio track {wanted[:20]!a} in the file; it has {there[:400]}."
            raise InvalidParameter(message, param="track")
    tracks = [track for track in candidates if _decoder_of(track) in _REACHABLE]
    if not tracks:
        name = _title_of(candidates[0])
        raise InvalidAudio(
            f"This file's audio is in {name}, which is not decoded here: convert it, for example to FLAC or Opus."
        )
    if len(tracks) == 1:
        return tracks[0]
    defaults = [track for track in tracks if track.disposition & Disposition.default]
    is_default_told = len(defaults) == 1  # MP4 and older Matroska files mark every track

    def preference(track: AudioStream) -> tuple[bool, bool, int]:
        is_foreign = _language_of(track).partition("-")[0] not in _RUSSIAN
        return (is_default_told and track is not defaults[0], is_foreign, track.index)

    tracks.sort(key=preference)
    return next((track for track in tracks if has_sound(track.index)), tracks[0])


def describe_track(container: InputContainer, track: AudioStream) -> HeardTrack | None:
    """Say which track is heard; None where there is no other."""
    tracks = [each.index for each in container.streams.audio]
    if len(tracks) < 2:
        return None
    return HeardTrack(tracks.index(track.index), len(tracks), _language_of(track))


def _is_wanted(wanted: str, number: int, track: AudioStream) -> bool:
    if wanted.isdecimal():
        return int(wanted) == number
    languages = _RUSSIAN if wanted.lower() in _RUSSIAN else (wanted.lower(),)
    return _language_of(track).partition("-")[0] in languages


def _language_of(track: AudioStream) -> str:
    """Return what a track says of its language, such as `rus` or `en-us`; empty if that is no language's name."""
    language = (track.language or "").lower()
    return language if language.isascii() and language.replace("-", "").isalpha() and len(language) <= 12 else ""


def _decoder_of(track: AudioStream) -> str:
    """Return the name of the decoder that libav would open for a track; empty if it has none."""
    return track.codec_context.name if track.codec_context else ""


def _title_of(track: AudioStream) -> str:
    if not track.codec_context:
        return "a form that is unknown here"
    codec = track.codec_context.codec
    return f"{codec.long_name} ({codec.name})"
