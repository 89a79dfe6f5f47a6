"""How well speakers are told apart: `python -m benchmarks.speakers --golos DIR --clips DIR [--speaker-model …]`.

Makes conversations of 2, 3, 4 and 6 people (`benchmarks.conversations`) out of real voices (Golos, the prompts of
Debian's asterisk-core-sounds-{en,fr,it,ru}-wav where they are installed) and synthetic ones (espeak-ng, festival), has
the shipped server transcribe them as files and live, and prints one JSON object. For each number of people:

    word_error      share of the words whose speaker is wrong, under the best match of labels to people
    counted         conversations in which as many speakers spoke as there are people
    der             diarisation error over the utterances that have words (simpleder; no collar), by the words' times
    live_equals     conversations of which the last message of a live session has the file's labels, at frames of 20 ms,
                    100 ms and 1 s in turn; relabelled: words whose emitted label was another at the end of its session
    emitted_word_error, other_at_the_end
                    the same error of the labels as they were emitted, and how many are others in the end
    changed_words   words that are others, or elsewhere, than without speakers
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import subprocess
import sys
import tempfile
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import simpleder
from scipy.optimize import linear_sum_assignment
from websockets.asyncio.client import connect

from benchmarks.conversations import Talk, Waveform, make_talk, read_clip, split_clip
from benchmarks.server_process import ServerProcess, serve
from gigastt.audio.pcm import SAMPLE_RATE

PEOPLE = (2, 3, 4, 6)
FRAMES = (640, 3_200, 32_000)
_PROMPTS = Path("/usr/share/asterisk/sounds")
_PROMPT_VOICES = ("en_US_f_Allison", "fr_CA_f_June", "it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU")
_VARIANTS = ("f3", "m3", "linda", "max", "Alex", "klatt4", "anika", "edward")
_LEAST_VOICE = 2.5  # seconds: with less of a voice, its turns would repeat each other

Voices = dict[str, list[Waveform]]


def collect_voices(golos: Path, clips: Path) -> dict[str, Voices]:
    """Return the clips of each voice that is here: real ones, prompts, synthetic ones."""
    real = {path.stem: split_clip(read_clip(path), 1.6) for path in sorted(golos.glob("*.wav"))}
    real = {name: pieces for name, pieces in real.items() if _seconds(pieces) > _LEAST_VOICE}
    prompts: Voices = {}
    for name in _PROMPT_VOICES:
        heard = [read_clip(path) for path in sorted((_PROMPTS / name).glob("*.wav")) if "beep" not in path.name]
        if chosen := [clip for clip in heard if SAMPLE_RATE < len(clip) < 5 * SAMPLE_RATE][:60]:
            prompts[name] = chosen
    synthetic: Voices = {"festival": [read_clip(path) for path in sorted(clips.glob("festival_*.wav"))[:8]]}
    texts = [row["reference"] for row in json.loads((clips / "manifest.json").read_text(encoding="utf-8"))[:10]]
    with tempfile.TemporaryDirectory() as folder:
        for variant in _VARIANTS:
            synthetic[f"espeak-{variant}"] = [_speak(text, variant, Path(folder, "said.wav")) for text in texts]
    return {"real": real, "prompts": prompts, "synthetic": synthetic}


def choose_voices(voices: Mapping[str, Voices], people: int, seed: int) -> Voices:
    """Choose people: only of Golos, of Golos and prompts, or of all kinds, in turn."""
    rng = np.random.default_rng(1000 * people + seed)

    def some(pool: Voices, count: int) -> Voices:
        names = rng.choice(sorted(pool), min(count, len(pool)), replace=False)
        return {str(name): pool[str(name)] for name in names}

    match seed % 3:
        case 1:
            first = some(voices["prompts"], max(1, people // 2))
            return first | some(voices["real"], people - len(first))
        case 2:
            first = some(voices["synthetic"], 1 if people < 4 else 2)
            return first | some(voices["real"] | voices["prompts"], people - len(first))
    return some(voices["real"], people)


def _speak(text: str, variant: str, path: Path) -> Waveform:
    subprocess.run(["espeak-ng", "-v", f"ru+{variant}", "-w", str(path), text], check=True)
    return read_clip(path)


def _seconds(pieces: Sequence[Waveform]) -> float:
    return sum(map(len, pieces)) / SAMPLE_RATE


def judge(talk: Talk, words: Sequence[Mapping[str, Any]], segments: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Compare words with who speaks; a word amid two turns may be either's, one in a gap is the nearer turn's."""
    people = talk.speakers
    truth: list[set[str]] = []
    for word in words:
        middle = (word["start"] + word["end"]) / 2
        speaking = {turn.speaker for turn in talk.turns if turn.start <= middle <= turn.end}
        nearest = min(talk.turns, key=lambda turn: min(abs(turn.start - middle), abs(turn.end - middle)))
        truth.append(speaking or {nearest.speaker})
    labels = [int(word.get("speaker", -1)) for word in words]
    counts = np.zeros((len(people), max(labels, default=0) + 2))
    for label, names in zip(labels, truth, strict=True):
        for name in names:
            counts[people.index(name), label] += 1
    rows, columns = linear_sum_assignment(-counts)
    match = {int(column): people[row] for row, column in zip(rows, columns, strict=True)}
    wrong = sum(match.get(label) not in names for label, names in zip(labels, truth, strict=True))
    heard = [(segment["start"], segment["end"]) for segment in segments]
    reference = [
        (turn.speaker, max(turn.start, begin), min(turn.end, end))
        for begin, end in heard
        for turn in talk.turns
        if turn.start < end and turn.end > begin
    ]
    spoken = [turn for segment in segments for turn in _turns(segment["words"])]
    return {
        "words": len(words),
        "wrong": wrong,
        "counted": len(set(labels)) == len(people),
        "der": simpleder.DER(reference, spoken) if spoken and reference else 1.0,
    }


def _turns(words: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """Make turns of an utterance's words; pauses belong to whoever goes on."""
    turns: list[tuple[str, float, float]] = []
    for word in words:
        start, speaker = word["start"], str(word.get("speaker", "nobody"))
        if turns and turns[-1][0] == speaker:
            start = turns.pop()[1]
        turns.append((speaker, start, word["end"]))
    return turns


async def play(server: ServerProcess, talk: Talk, frame: int, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Stream a conversation as fast as it is taken; return what the server said."""
    data = talk.samples.astype("<i2").tobytes()
    said: list[dict[str, Any]] = []
    async with connect(server.websocket, max_size=None, compression=None) as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "configure", "sample_rate": SAMPLE_RATE, "diarization": True, **fields}))

        async def read() -> None:
            async for text in socket:
                said.append(json.loads(text))

        reading = asyncio.create_task(read())
        for at in range(0, len(data), frame):
            await socket.send(data[at : at + frame])
        await socket.send('{"type":"stop"}')
        await reading
    return said


async def measure(server: ServerProcess, voices: Mapping[str, Voices], options: argparse.Namespace) -> dict[str, Any]:
    """Try every number of people."""
    result: dict[str, Any] = {}
    for people in options.people:
        rows: list[dict[str, float]] = []
        live = {
            "sessions": 0,
            "words": 0,
            "wrong": 0,
            "equal": 0,
            "relabelled": 0,
            "changed_words": 0,
            "other_at_the_end": 0,
        }
        for seed in range(options.talks):
            rate = 16_000 if seed % 2 == 0 else 8_000
            chosen = choose_voices(voices, people, seed)
            talk = make_talk(chosen, seed, seconds=max(60, 14 * people), rate=rate)
            query = f"diarization=true&speakers={people}" if options.tell_count else "diarization=true"
            answer, plain = (_post(server, f"/v1/transcribe?{one}", talk) for one in (query, "diarization=false"))
            rows.append(judge(talk, answer["words"], answer["segments"]))
            fields = ("word", "start", "end", "confidence")
            bare = [[{name: word[name] for name in fields} for word in one["words"]] for one in (answer, plain)]
            live["changed_words"] += sum(a != b for a, b in zip(*bare, strict=False)) + abs(len(bare[0]) - len(bare[1]))
            if seed < options.live:
                told = {"speakers": people} if options.tell_count else {}
                said = await play(server, talk, FRAMES[seed % len(FRAMES)], told)
                [last] = [message for message in said if message["type"] == "speakers"]
                words = [word for message in said if message["type"] == "final" for word in message["words"]]
                live["sessions"] += 1
                live["equal"] += last["words"] == [word.get("speaker", -1) for word in answer["words"]]
                live["wrong"] += int(judge(talk, words, answer["segments"])["wrong"])
                live["words"] += len(words)
                live["other_at_the_end"] += sum(
                    a.get("speaker", -1) != b for a, b in zip(words, last["words"], strict=True)
                )
                seqs = [message["seq"] for message in said if message["type"] == "final"]
                live["relabelled"] += len(seqs) - len(set(seqs))
        total = sum(row["words"] for row in rows)
        result[str(people)] = {
            "talks": len(rows),
            "words": total,
            "word_error": round(sum(row["wrong"] for row in rows) / max(1, total), 4),
            "counted": int(sum(row["counted"] for row in rows)),
            "der": round(sum(row["der"] for row in rows) / len(rows), 4),
            "emitted_word_error": round(live.pop("wrong") / max(1, live.pop("words")), 4),
            **live,
        }
        print(json.dumps({people: result[str(people)]}), file=sys.stderr)
    return result


def _post(server: ServerProcess, path: str, talk: Talk) -> dict[str, Any]:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        writer.writeframes(talk.samples.astype("<i2").tobytes())
    response = httpx.post(server.http + path, content=file.getvalue(), timeout=600.0)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description="Speakers of made conversations.")
    parser.add_argument("--golos", type=Path, required=True, help="folder with one clip of each of several people")
    parser.add_argument(
        "--clips", type=Path, default=Path("tests/data"), help="folder with the demo model's test clips"
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--speaker-model", default="auto")
    parser.add_argument("--talks", type=int, default=10, help="conversations of each number of people")
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE, help="how many speak")
    parser.add_argument("--live", type=int, default=10, help="how many of them are also played live")
    parser.add_argument("--tell-count", action="store_true", help="tell the server how many people speak")
    options = parser.parse_args()
    voices = collect_voices(options.golos, options.clips)
    arguments = ["--model", options.model, "--speaker-model", options.speaker_model, "--pool-size", "1"]
    with serve(arguments) as server:
        result = asyncio.run(measure(server, voices, options))
    names = {kind: len(pool) for kind, pool in voices.items()}
    print(json.dumps({"speaker_model": options.speaker_model, "voices": names, "people": result}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
