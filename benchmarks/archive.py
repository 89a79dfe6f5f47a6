"""Transcribe an archive of short files with a command that is stopped again and again, and check what it leaves.

    python -m benchmarks.archive [--files 2000] [--rounds 10]

Each round starts `gigastt transcribe DIR --recursive --resume --output-dir OUT` and ends it at a random moment, in
turns with `kill -9` and with Ctrl-C; the last one may finish. Then every file must have its transcript, whole, nothing
else may be there, and a stranger's file that was in the way must be as it was. Prints one JSON object; exit code 1 if
any of this does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

CLIPS = Path(__file__).resolve().parent.parent / "tests" / "data"
TEXTS = {
    "espeak_03.wav": "Закрой шторы в спальне.\n",
    "espeak_01.wav": "Расскажи рецепт каши.\nВключи фильм фиксики.\n",
}
STRANGER = "somebody else's"


def make_archive(folder: Path, files: int) -> dict[str, str]:
    """Make folders of short files, some of one name; return the text of each."""
    texts: dict[str, str] = {}
    for number in range(files):
        clip = list(TEXTS)[number % 2]
        name = f"{number % 7}/{number // 7:04}.wav"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CLIPS / clip, folder / name)
        texts[name] = TEXTS[clip]
    return texts


def run(command: list[str], end: signal.Signals | None, seconds: float) -> int:
    """Run a command; end it by a signal after so many seconds."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}) as child:
        try:
            return child.wait(seconds if end is not None else None)
        except subprocess.TimeoutExpired:
            assert end is not None
            child.send_signal(end)
            return child.wait()


def check(files: int, rounds: int, seconds: tuple[float, float], seed: int = 0) -> dict[str, object]:
    """Transcribe an archive in interrupted rounds; return what was found at the end."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch, "in"), Path(scratch, "out")
        texts = make_archive(source, files)
        victim = next(iter(texts))
        stranger = out / f"{victim}.txt"
        stranger.parent.mkdir(parents=True)
        stranger.write_text(STRANGER, encoding="utf-8")
        command = [sys.executable, "-m", "gigastt", "transcribe", "--model", "demo", str(source)]
        command += ["--recursive", "--resume", "--output-dir", str(out)]
        progress = []
        for number in range(rounds):
            run(command, (signal.SIGKILL, signal.SIGINT)[number % 2], chance.uniform(*seconds))
            progress.append(sum(1 for _ in out.rglob("*.txt")) - 1)
        code = run(command, None, 0.0)
        there = {path.relative_to(out).as_posix(): path.read_text(encoding="utf-8") for path in out.rglob("*.txt")}
        lines = [json.loads(line) for line in (out / ".gigastt.jsonl").read_text(encoding="utf-8").splitlines() if line]
        written = Counter(line["target"] for line in lines if "sha256" in line)
        wanted = {f"{name}.txt": text for name, text in texts.items()} | {f"{victim}.txt": STRANGER}
        return {
            "files": files,
            "rounds": rounds,
            "done_after_each_round": progress,
            "exit_code": code,
            "as_wanted": there == wanted,
            "left_over": sum(1 for _ in out.rglob("*.part")),
            "recognised_twice": sum(count - 1 for count in written.values()),
            "errors_listed": sorted({line["target"] for line in lines if "error" in line}),
        }


def main() -> int:
    """Check, and print what came out."""
    parser = argparse.ArgumentParser(description="An archive, stopped at random and resumed.")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, nargs=2, default=(1.0, 6.0), help="when a round is ended")
    options = parser.parse_args()
    result = check(options.files, options.rounds, tuple(options.seconds))
    print(json.dumps(result, indent=2))
    return 0 if result["as_wanted"] and not result["left_over"] and result["exit_code"] == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
