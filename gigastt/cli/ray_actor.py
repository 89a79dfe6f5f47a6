"""One actor of `gigastt transcribe --ray`: reads files, writes their transcripts, and notes them in a list of its own.

In a process of Ray's; Ray itself is not needed here.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from gigastt.cli.archive import SourceStamp, open_part
from gigastt.cli.hearing import check_search, open_recognizer
from gigastt.cli.ray_plan import RayPlan, is_remote
from gigastt.cli.targets import writing
from gigastt.errors import RequestError
from gigastt.rendering import Renderer
from gigastt.speech.voices import VoiceModel
from gigastt.transcribe import TranscribedFile


class RayActor:
    """One actor: a core, a model, a list."""

    def __init__(self, plan: RayPlan) -> None:
        self._plan = plan
        self._recognizer = open_recognizer(plan.model, plan.model_dir, plan.precision)
        speakers = plan.diarization.model if plan.diarization is not None else None
        self._voices = VoiceModel(speakers.embedding, speakers.segmentation) if speakers is not None else None
        self._stack = ExitStack()
        part = open_part(plan.output_dir, f"{socket.gethostname()}-{os.getpid()}")
        self._manifest = self._stack.enter_context(part)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Transcribe one file; what goes wrong with it is told and ends nothing."""
        is_done = is_whole = False
        reason = ""
        try:
            is_whole = self._transcribe(row["name"], Path(row["target"]))
            is_done = True
        except (RequestError, OSError) as exc:
            reason = str(exc)
        if is_done and not is_whole:
            reason = "not all of it could be recognised"
        return {**row, "is_done": is_done, "is_whole": is_whole, "reason": reason}

    def _transcribe(self, name: str, target: Path) -> bool:
        plan = self._plan
        with ExitStack() as stack:
            stamp, source = _open(name, stack)
            self._manifest.read_again()  # another actor, or another run, may have written it
            if self._manifest.is_done(stamp, target):
                return True
            target.parent.mkdir(parents=True, exist_ok=True)
            self._manifest.remove_unfinished(target)
            check_search(plan.options, self._recognizer.alphabet)
            recording = TranscribedFile(
                source,
                self._recognizer,
                min_confidence=plan.min_confidence,
                choice=plan.choice,
                voices=self._voices,
                options=plan.options,
            )
            heard = recording.transcript(list(recording.segments()))
            if plan.diarization is not None:
                heard = plan.diarization.tell_speakers(heard)
            heard = plan.spelling.of(heard)
            renderer = Renderer(plan.form, tells_channels=bool(heard.copies), tells_dropped=plan.tells_dropped)
            record = partial(self._manifest.record, stamp, target)
            with writing(target, overwrite=target.exists(), before_naming=record) as file:
                file.write("".join([renderer.begin(), *map(renderer.segment, heard.finals), renderer.end(heard)]))
            return not recording.failed


def _open(name: str, stack: ExitStack) -> tuple[SourceStamp, BinaryIO]:
    """Open a file, wherever it is."""
    if not is_remote(name):
        return SourceStamp.of(Path(name)), stack.enter_context(Path(name).open("rb"))
    import pyarrow.fs

    store, path = pyarrow.fs.FileSystem.from_uri(name)
    info = store.get_file_info(path)
    source: BinaryIO = stack.enter_context(store.open_input_file(path))
    return SourceStamp(info.size, info.mtime_ns or 0), source
