"""The decoder's reports on files, and the checks without which a process that saw a hostile file is not believed."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import Any

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.audio.shared import SharedSegment
from gigastt.errors import AudioTooLong, CapacityTimeout, InternalError, InvalidAudio, InvalidParameter, RequestError
from gigastt.gateway.files.decoder_job import NOT_ENTERED
from gigastt.log import get_logger
from gigastt.transcript import Gap, HeardTrack

log = get_logger(__name__)

_ERRORS: dict[str, type[RequestError]] = {
    cls.code: cls for cls in (InvalidAudio, AudioTooLong, CapacityTimeout, InvalidParameter)
}


class DecoderLost(Exception):
    """A process ended, or never began, for a reason that is not in its file."""


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """A decoded upload: the first `samples` of a shared segment, which whoever holds this must `unlink`.

    track, copies: as in `Transcript`; `copies` where one channel was selected.
    """

    segment: SharedSegment
    samples: int
    holes: tuple[Gap, ...] = ()
    track: HeardTrack | None = None
    copies: tuple[int | None, ...] = ()

    @property
    def name(self) -> str:
        """The segment's name, by which a worker attaches it."""
        return self.segment.name

    @property
    def seconds(self) -> float:
        """The length of the audio."""
        return self.samples / SAMPLE_RATE

    def unlink(self) -> None:
        """Give the memory back."""
        self.segment.unlink()


def read_report(report: bytes, exit_code: int | None, segment: SharedSegment) -> DecodedFile:
    """Believe a report as far as it can be checked: a hostile file may have written it.

    Raises:
        DecoderLost: there is none, and it is not the file's fault.
    """
    if not report:
        if exit_code is None or exit_code == -signal.SIGKILL:
            raise DecoderLost("its process was killed")
        if exit_code == NOT_ENTERED:
            log.error("decoder_sandbox_failed")
            raise InternalError("The server cannot decode files safely.")
        log.warning("upload_killed_decoder", exit_code=exit_code)
        if exit_code in (-signal.SIGPROF, -signal.SIGXCPU):
            raise InvalidAudio("Decoding the file takes longer than it may.")
        raise InvalidAudio("The file cannot be decoded.")
    try:
        fields: dict[str, Any] = json.loads(report)
        samples, code = fields.get("samples"), fields.get("code")
        if isinstance(samples, int) and samples > 0:
            segment.trim(samples)
            segment.map(samples)
            track, copies = _read_track(fields.get("track")), _read_copies(fields.get("copies"))
            return DecodedFile(segment, samples, _read_holes(fields.get("holes")), track, copies)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        raise InvalidAudio("The file cannot be decoded.") from None  # the process lies
    message = str(fields.get("message"))[:500]
    error = _ERRORS.get(code) if isinstance(code, str) else None
    if error is None:
        log.error("decoding_failed", kind=message if message.isidentifier() else "")
        raise InvalidAudio("The file cannot be decoded.")
    retry_after_ms = fields.get("retry_after_ms")
    raise error(
        message,
        retry_after_ms=retry_after_ms if isinstance(retry_after_ms, int) else None,
        param="track" if fields.get("param") == "track" else None,
    )


def _read_holes(holes: Any) -> tuple[Gap, ...]:
    """Return the spans in which a file has no audio, as far as they are told in the right form.

    Raises:
        ValueError: they are not.
    """
    read = []
    for start, end, code in holes or []:
        read.append(Gap("audio_damaged" if code == "audio_damaged" else "audio_missing", float(start), float(end)))
    return tuple(read)


def _read_track(track: Any) -> HeardTrack | None:
    """Return which track was heard, if it is told in the right form; raises ValueError if not."""
    if track is None:
        return None
    number, count, language = int(track["number"]), int(track["count"]), str(track["language"])
    if not (0 <= number < count and (not language or (language.isascii() and len(language) <= 12))):
        raise ValueError("impossible track")
    return HeardTrack(number, count, language)


def _read_copies(copies: Any) -> tuple[int | None, ...]:
    """Return which channels are copies of which, if it is told in the right form; raises ValueError if not."""
    read = tuple(None if copy is None else int(copy) for copy in copies or ())
    if any(copy is not None and not 0 <= copy < channel for channel, copy in enumerate(read)):
        raise ValueError("impossible copy")
    return read
