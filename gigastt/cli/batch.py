"""A batch: files are heard, several at once where the backend can, and their transcripts written, whole or not at all.

On the event loop of `gigastt transcribe`. A bad file does not stop the others.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from gigastt.cli.archive import Manifest, SourceStamp
from gigastt.cli.diarization import Diarization
from gigastt.cli.hearing import Backend, OpenBackend
from gigastt.cli.progress import ProgressBoard
from gigastt.cli.targets import STANDARD_INPUT, writing
from gigastt.errors import RequestError
from gigastt.spelling import AS_RECOGNISED, Spelling
from gigastt.transcript import Final, Transcript

if TYPE_CHECKING:
    from gigastt.audio.selection import FileChoice
    from gigastt.rendering import TranscriptForm

GAPS = {
    "audio_damaged": "the audio is damaged",
    "audio_missing": "the audio is missing",
    "inference_error": "this could not be recognised",
    "segment_failed": "this could not be recognised",
}
_NOT_RECOGNISED = ("inference_error", "segment_failed")


@dataclass(frozen=True, slots=True)
class Writing:
    """How transcripts are written.

    diarization: with the speakers, so that they come when all is heard.
    """

    form: TranscriptForm
    choice: FileChoice
    tells_dropped: bool = False
    overwrite: bool = False
    diarization: Diarization | None = None
    spelling: Spelling = AS_RECOGNISED


@dataclass(slots=True)
class Batch:
    """Files on their way.

    target_of: tells where a file's transcript goes; None: to standard output.
    manifest: of what was done by runs before; None: nothing is known of any.
    count: how many files there are; None: not known.
    done, failed: so far.
    """

    open_backend: OpenBackend
    how: Writing
    target_of: Callable[[str], Path] | None
    manifest: Manifest | None = None
    count: int | None = None
    done: int = 0
    failed: int = 0
    _board: ProgressBoard = field(init=False)

    def __post_init__(self) -> None:
        headline = (lambda: f"[{self.done + self.failed}/{self.count}]") if (self.count or 0) > 1 else None
        self._board = ProgressBoard(sys.stderr, headline)

    async def run(self, files: AsyncIterator[str]) -> int:
        """Transcribe files; return the exit code."""
        async with AsyncExitStack() as stack:
            backend: Backend | None = None
            running: set[asyncio.Task[None]] = set()
            stack.callback(lambda: [task.cancel() for task in running])
            async for name in files:
                if self._is_done(name):
                    continue
                if backend is None:
                    backend = await stack.enter_async_context(self.open_backend())
                    if self.how.diarization is not None:
                        await self.how.diarization.learn(backend)
                if backend.places == 1 or self.target_of is None:
                    await self._transcribe(name, backend)
                    continue
                running.add(asyncio.create_task(self._transcribe(name, backend)))
                if len(running) >= backend.places:
                    running -= await _some(running)
            while running:
                running -= await _some(running)
        self._board.clear()
        return 1 if self.failed else 0

    def _is_done(self, name: str) -> bool:
        """Tell whether a run before has written a file's transcript; one that is a stranger's counts as failed."""
        if self.manifest is None or self.target_of is None:
            return False
        try:
            is_done = self.manifest.is_done(SourceStamp.of(Path(name)), self.target_of(name))
        except OSError as exc:
            self._complain(name, exc)
            return True
        self.done += is_done
        return is_done

    async def _transcribe(self, name: str, backend: Backend) -> None:
        """Hear one file and write what was said; say what went wrong."""
        try:
            if self.target_of is None:
                is_whole = await self._write(name, backend, sys.stdout)
            else:
                target = self.target_of(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with self._writing(name, target) as file:
                    is_whole = await self._write(name, backend, file)
            self.done += 1
            self.failed += not is_whole
        except BrokenPipeError:
            raise
        except (RequestError, OSError) as exc:
            self._complain(name, exc)

    @contextmanager
    def _writing(self, name: str, target: Path) -> Iterator[TextIO]:
        if self.manifest is None:
            with writing(target, overwrite=self.how.overwrite) as file:
                yield file
            return
        self.manifest.remove_unfinished(target)
        record = partial(self.manifest.record, SourceStamp.of(Path(name)), target)
        with writing(target, overwrite=target.exists(), before_naming=record) as file:
            yield file

    async def _write(self, name: str, backend: Backend, target: TextIO) -> bool:
        """Write one file's transcript; return whether all of it was recognised, and say what was not."""
        from gigastt.rendering import Renderer

        several = self.target_of is None and self.count != 1
        how = self.how
        renderer = Renderer(
            how.form,
            name if several else None,
            tells_channels=how.choice.splits_channels,
            tells_dropped=how.tells_dropped,
        )
        heard: Transcript | None = None
        begun = False
        with _open_source(name) as source, self._board.line(name) as line:
            hearing = backend.hear(source, how.choice, line.update)
            if how.diarization is not None:
                hearing = how.diarization.of(hearing)
            async for told in hearing:
                spelled = how.spelling.of(told)
                if isinstance(spelled, Final) and not spelled.text:
                    continue
                if several and how.form == "text" and not begun:
                    self._board.clear()
                    target.write(f"==> {name} <==\n")
                if not begun:  # only now: a file that is no audio leaves nothing behind
                    target.write(renderer.begin())
                    begun = True
                if target.isatty():
                    self._board.clear()
                if isinstance(spelled, Final):
                    target.write(renderer.segment(spelled))
                    target.flush()
                else:
                    heard = spelled
                    target.write(renderer.end(heard))
        assert heard is not None, "it comes last"
        self._tell_gaps(name, heard)
        return not any(gap.code in _NOT_RECOGNISED for gap in heard.gaps)

    def _tell_gaps(self, name: str, heard: Transcript) -> None:
        for gap in heard.gaps:
            self._board.clear()
            click.echo(f"gigastt: {name}: {gap.start:.2f} to {gap.end:.2f} s: {GAPS[gap.code]}", err=True)

    def _complain(self, name: str, exc: RequestError | OSError) -> None:
        self.failed += 1
        reason = _reason(exc, name)
        if self.manifest is not None and self.target_of is not None:
            self.manifest.record_error(self.target_of(name), reason)
        self._board.clear()
        click.echo(f"gigastt: {name}: {reason}", err=True)


async def each_of(files: Mapping[str, object] | tuple[str, ...]) -> AsyncIterator[str]:
    """Yield names that are known."""
    for name in files:
        yield name


async def _some(running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait until some have ended, and raise what they raised."""
    ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        task.result()
    return ended


@contextmanager
def _open_source(name: str) -> Iterator[BinaryIO]:
    """Yield a file that can be sought: standard input is copied to a temporary one first."""
    if name != STANDARD_INPUT:
        with Path(name).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.seek(0)
        yield spool


def _reason(exc: RequestError | OSError, name: str) -> str:
    """Say what went wrong with a file; where it was another file than the one that is named, say which."""
    if isinstance(exc, RequestError) or not exc.strerror:
        return str(exc)
    other = exc.filename2 or exc.filename
    return exc.strerror if other in (None, name) else f"{other}: {exc.strerror}"
