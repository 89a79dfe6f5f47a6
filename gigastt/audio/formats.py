"""The formats of files that can be transcribed, as clients are told them. No libav here: the gateway reads this."""

from __future__ import annotations

from typing import Final

# Names as `GET /v1/models` gives them; `containers` has the demuxers and decoders behind them.
SUPPORTED_FORMATS: Final = (
    *("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "webm"),
    *("mp4", "mkv", "3gp", "amr", "wma", "avi", "ts", "aiff", "caf", "au", "w64", "ac3", "eac3", "dts", "mp2"),
)
