"""Transcribe a file with OpenAI's own library, and show the text as it comes.

pip install openai
python transcribe.py speech.wav --url http://127.0.0.1:9876/v1
"""

import argparse
from pathlib import Path

from openai import OpenAI


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:9876/v1")
    parser.add_argument("--key", default="none", help="one of the server's keys, where it asks for them")
    arguments = parser.parse_args()

    client = OpenAI(base_url=arguments.url, api_key=arguments.key)
    with arguments.file.open("rb") as file:
        for event in client.audio.transcriptions.create(model="gigastt", file=file, stream=True):
            if event.type == "transcript.text.delta":
                print(event.delta, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
