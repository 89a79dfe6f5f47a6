"""What an unmodified openai-python, of whichever version runs this, makes of the server: one JSON object.

    python openai_rest.py http://127.0.0.1:9876/v1 clip.wav

Run as a program, by interpreters that do not have this project: it imports nothing of it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import openai

FORMATS = ("json", "text", "srt", "vtt", "verbose_json")


def main(url: str, clip: Path) -> dict[str, Any]:
    client = openai.OpenAI(base_url=url, api_key="any-key-will-do", max_retries=0)
    create: Any = client.audio.transcriptions.create

    def transcribe(**options: Any) -> Any:
        with clip.open("rb") as file:
            return create(file=file, model="gpt-4o-transcribe", **options)

    def refusal(call: Any, *arguments: Any, **options: Any) -> list[Any]:
        try:
            call(*arguments, **options)
        except openai.APIStatusError as exc:
            return [type(exc).__name__, exc.status_code, exc.code, exc.param]
        return []

    answers = {form: transcribe(response_format=form, language="ru") for form in FORMATS}
    verbose = transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    probable = transcribe(include=["logprobs"], chunking_strategy="auto")
    events = list(transcribe(stream=True))
    return {
        "version": openai.__version__,
        "texts": {form: answer if isinstance(answer, str) else answer.text for form, answer in answers.items()},
        "words": [[word.word, word.start, word.end] for word in verbose.words],
        "segments": [json.loads(segment.model_dump_json()) for segment in verbose.segments],
        "duration": float(verbose.duration),
        "logprobs": "".join(one.token for one in probable.logprobs),
        "events": [type(event).__name__ for event in events],
        "streamed": "".join(event.delta for event in events[:-1]),
        "done": events[-1].text,
        "models": [model.id for model in client.models.list()],
        "model": client.models.retrieve("whisper-1").id,
        "refusals": {
            "language": refusal(transcribe, language="en"),
            "translation": refusal(client.audio.translations.create, file=("a.wav", b"RIFF"), model="whisper-1"),
            "model": refusal(client.models.retrieve, "none"),
            "audio": refusal(create, file=("a.wav", b"\0" * 1000), model="whisper-1"),
            "address": refusal(client.audio.speech.create, input="x", model="y", voice="z"),
        },
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[1], Path(sys.argv[2])), sys.stdout)
