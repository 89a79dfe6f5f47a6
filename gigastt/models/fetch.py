"""Download in a child process, for `serve --auto-download`, which answers `/health` meanwhile.

A child, because optimising takes gigabytes that a server should not keep, and because it can be ended at any moment.
The parent's side runs on the gateway's loop. The child, `python -m gigastt.models.fetch JSON`, writes one JSON object
a line to standard output, and ends when its standard input does:

    {"stage": "downloading", "subject": "…", "done_bytes": 1, "total_bytes": 2}      progress, at most one a percent
    {"error": "…", "code": "download_failed"}                                        the last line of a failure
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gigastt.config import Precision
from gigastt.errors import DownloadFailed, GigasttError, ModelInvalid, NotEnoughRoom
from gigastt.log import configure
from gigastt.models.catalog import CatalogEntry, find
from gigastt.models.stages import DownloadProgress, Snapshot
from gigastt.processes import end_with_parent, forbid_core_files, python_command

if TYPE_CHECKING:
    from gigastt.models.download import DownloadOptions  # imported by the child only: it loads huggingface-hub

_ERRORS: dict[str, type[GigasttError]] = {cls.code: cls for cls in (DownloadFailed, NotEnoughRoom, ModelInvalid)}
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """The argument of the child's command line, as JSON."""

    model: str
    model_dir: str
    precision: Precision = "auto"
    log_format: str = "auto"

    def command(self) -> list[str]:
        """Return the command that starts the child."""
        return python_command("gigastt.models.fetch", json.dumps(asdict(self)))


async def fetch_in_child(command: Sequence[str], progress: DownloadProgress) -> None:
    """Run a fetching child to its end; `progress` repeats what it reports.

    Cancelling ends the child; the next download goes on where it stopped.

    Raises:
        DownloadFailed, NotEnoughRoom, ModelInvalid: the child's own failure, in its own words.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    try:
        failure = await _follow(process, progress)
        status = await process.wait()
    finally:
        process.stdin.close()
        await _end(process)
    if failure is not None:
        raise failure
    if status != 0:
        killed = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        hint = " (out of memory?)" if status == -signal.SIGKILL else ""
        raise DownloadFailed(f"The process that downloads {killed}{hint}.")


async def _follow(process: asyncio.subprocess.Process, progress: DownloadProgress) -> GigasttError | None:
    assert process.stdout is not None
    failure: GigasttError | None = None
    async for line in process.stdout:
        try:
            fields: dict[str, Any] = json.loads(line)
            if "error" in fields:
                failure = _ERRORS.get(fields["code"], DownloadFailed)(fields["error"])
            else:
                progress.publish(Snapshot(**fields))
        except (ValueError, TypeError, KeyError):
            continue  # a library's own words
    return failure


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def fetch_for_parent(entry: CatalogEntry, model_dir: Path, options: DownloadOptions) -> int:
    """Download as the child: tell the parent, end when it does, leave interrupts to it; return the exit status.

    It may use every core, and ends at SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    forbid_core_files()
    from gigastt.models.download import download_model

    threading.Thread(target=_end_with_standard_input, name="parent-watch", daemon=True).start()
    seen: object = None

    def report(snapshot: Snapshot) -> None:
        nonlocal seen
        now = (snapshot.stage, snapshot.percent)
        if now != seen:
            seen = now
            print(json.dumps(asdict(snapshot)), flush=True)

    try:
        download_model(entry, model_dir, options, DownloadProgress(report))
    except GigasttError as exc:
        print(json.dumps({"error": str(exc), "code": exc.code}), flush=True)
        return exc.exit_code
    return 0


def _end_with_standard_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


def _fetch_requested(argument: str) -> int:
    from gigastt.models.download import DownloadOptions

    request = FetchRequest(**json.loads(argument))
    configure("warning", request.log_format)
    options = DownloadOptions(precision=request.precision)
    return fetch_for_parent(find(request.model), Path(request.model_dir), options)


if __name__ == "__main__":
    sys.exit(_fetch_requested(sys.argv[1]))
