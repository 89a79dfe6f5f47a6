"""What is not speech, sent live: nothing is heard, and nobody else waits for it."""

from __future__ import annotations

import asyncio

import numpy as np

from tests.clips import load_clips
from tests.live_client import LiveClient, transcribe_live
from tests.server import ServerProcess
from tools.activity.channels import to_samples
from tools.activity.music import music
from tools.activity.noises import fan, white

RATE = 16_000
SECONDS = 15
LOUDNESS = 0.05


async def listen(server: ServerProcess, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> LiveClient:
    return await transcribe_live(server.websocket_url, samples.astype("<i2").tobytes())


async def test_silence_noise_a_fan_and_music_have_no_words(server: ServerProcess) -> None:
    sounds = {
        name: to_samples(LOUDNESS * make(SECONDS * RATE, np.random.default_rng(1)))
        for name, make in (("white", white), ("fan", fan), ("music", music))
    }
    sounds["silence"] = np.zeros(SECONDS * RATE, np.int16)
    clip = load_clips()[1]
    *noises, speaker = await asyncio.gather(
        *(listen(server, samples) for samples in sounds.values()), transcribe_live(server.websocket_url, clip.pcm)
    )
    assert speaker.text == clip.reference
    for name, client in zip(sounds, noises, strict=True):
        assert client.close_code == 1000
        assert client.of("error") == []
        finals = client.of("final")
        assert [final["text"] for final in finals] == [""] * len(finals), name
        assert finals[-1]["endpoint_reason"] == "stop"
        if name != "music":  # a melody may be shown as a draft; its final takes it back
            assert client.of("partial") == []
            assert len(finals) == 1
