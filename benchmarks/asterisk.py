"""Run the Russian prompts of Asterisk, real speech at 8 kHz, through `gigastt eval`, as files or live.

    apt-get install asterisk-core-sounds-ru asterisk-core-sounds-ru-wav
    python -m benchmarks.asterisk [--model demo] [--model-dir DIR] [--live]

The prompts are CC-BY-3.0, by their package's copyright file; they are read where the package puts them and are no part
of this project. Beeps and silence are left out. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SOUNDS = Path("/usr/share/asterisk/sounds/ru_RU_f_IvrvoiceRU")
TEXTS = Path("/usr/share/doc/asterisk-core-sounds-ru/core-sounds-ru.txt.gz")


def read_prompts(texts: Path, sounds: Path) -> list[dict[str, str]]:
    """Return the prompts that there are, as rows of a manifest; `<beeps>` are no texts."""
    rows = []
    with gzip.open(texts, "rt", encoding="utf-8") as file:
        for line in file:
            name, _, text = line.strip().partition(":")
            path, text = sounds / f"{name}.wav", text.strip()
            if not line.startswith(";") and path.is_file() and any(map(str.isalpha, text)) and text[0] not in "[(<":
                rows.append({"file": str(path), "text": text})
    return rows


def main() -> int:
    """Evaluate, and print what came out but for the rows of single prompts; of those, which had no words."""
    parser = argparse.ArgumentParser(description="Error rates over the Russian prompts of Asterisk.")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--model-dir")
    parser.add_argument("--live", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch, "manifest.json")
        manifest.write_text(json.dumps(read_prompts(TEXTS, SOUNDS), ensure_ascii=False), encoding="utf-8")
        command = [sys.executable, "-m", "gigastt", "eval", str(manifest), "--model", options.model]
        command += ["--model-dir", options.model_dir] if options.model_dir else []
        command += ["--live"] if options.live else []
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    result = json.loads(answer.stdout)
    silent = [Path(row["file"]).stem for row in result.pop("by_file") if not row["heard"]]
    result["substitutions"] = result["substitutions"][:10]
    print(json.dumps(result | {"prompts_without_words": silent}, ensure_ascii=False, indent=1))
    return answer.returncode


if __name__ == "__main__":
    sys.exit(main())
