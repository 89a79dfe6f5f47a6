"""The process that downloads for a server: `python -m gigastt.models.fetch_main JSON`, started by `fetch`.

Writes progress and failure to standard output, a line each (see `fetch`). Ends when its standard input does, and with
its parent, so that it does not outlive its server; interrupts are the server's business.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gigastt.errors import GigasttError
from gigastt.log import configure
from gigastt.models.catalog import CatalogEntry, find
from gigastt.models.download import DownloadOptions, download
from gigastt.models.fetch import FetchRequest
from gigastt.models.install import PREPARATION
from gigastt.models.progress import DownloadProgress, Snapshot
from gigastt.processes import end_with_parent, forbid_core_files


def run(entry: CatalogEntry, model_dir: Path, options: DownloadOptions) -> int:
    """Download, and tell the parent; return the exit status."""
    _prepare()
    try:
        download(entry, model_dir, options, DownloadProgress(_Reporter().observe))
    except GigasttError as exc:
        _write_line({"error": str(exc), "code": exc.code})
        return exc.exit_code
    return 0


class _Reporter:
    """The child's end of the line: a line a percent, not a line a block."""

    def __init__(self) -> None:
        self._last: tuple[str, int | None] | None = None

    def observe(self, snapshot: Snapshot) -> None:
        """Write a snapshot where it differs in what people would see."""
        seen = (snapshot.stage, snapshot.percent)
        if seen != self._last:
            self._last = seen
            _write_line(asdict(snapshot))


def _write_line(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)


def _prepare() -> None:
    """Set this process up as a child, but one that may use every core and ends at SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    forbid_core_files()

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def main(argument: str) -> int:
    request = FetchRequest(**json.loads(argument))
    configure("warning", request.log_format)
    options = DownloadOptions(PREPARATION, request.precision)
    return run(find(request.model), Path(request.model_dir), options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
