"""A short run of the fuzz of files: everything is decoded or refused, and nothing is left."""

from __future__ import annotations

from benchmarks.fuzz_files import FORMATS, fuzz
from gigastt.processes import python_command


async def test_mutated_files_are_decoded_or_refused() -> None:
    result = await fuzz(2 * len(FORMATS), 0, python_command("gigastt.gateway.files.decoder_main"))
    assert result["answers"].keys() <= {"decoded", "invalid_audio", "audio_too_long"}
    assert sum(result["answers"].values()) == 2 * len(FORMATS)
    assert result["segments_left"] == 0
