"""Download in a child process: what `serve --auto-download` does while it already answers `/health`.

A child, because optimising takes gigabytes that a server should not keep, and because it can be ended at any
moment. This is the parent's side, on the gateway's loop; the child is `fetch_main`, and writes one JSON object a
line to standard output:

    {"stage": "downloading", "subject": "…", "done_bytes": 1, "total_bytes": 2}      progress, at most one a percent
    {"error": "…", "code": "download_failed"}                                        the last line of a failure
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gigastt.config import Precision
from gigastt.errors import DownloadFailed, GigasttError, ModelInvalid, NotEnoughRoom
from gigastt.models.progress import DownloadProgress, Snapshot
from gigastt.processes import python_command

_ERRORS: dict[str, type[GigasttError]] = {cls.code: cls for cls in (DownloadFailed, NotEnoughRoom, ModelInvalid)}
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What the child is told on its command line."""

    model: str
    model_dir: str
    precision: Precision = "auto"
    log_format: str = "auto"

    def command(self) -> list[str]:
        """The command that starts the child."""
        return python_command("gigastt.models.fetch_main", json.dumps(asdict(self)))


async def fetch_in_child(command: Sequence[str], progress: DownloadProgress) -> None:
    """Run a fetching child to its end; `progress` repeats what it reports.

    Cancelling ends the child; what has arrived is kept for the next time.

    Raises:
        DownloadFailed, NotEnoughRoom, ModelInvalid: the child's own failure, in its own words.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        failure = await _follow(process, progress)
        status = await process.wait()
    finally:
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
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
