"""The fetching child process with the small model of `tests.fakes.models` instead of the catalogue.

`python -m tests.fakes.fetch_child MODEL_DIR`, with HF_ENDPOINT set to a stand-in of the hub.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gigastt.errors import GigasttError
from gigastt.models.download import DownloadOptions, ensure
from gigastt.models.fetch import Reporter, end_with_parent, report_failure
from gigastt.models.progress import DownloadProgress
from gigastt.models.transfer import Patience
from tests.fakes.models import make_contents, make_entry


def main(model_dir: str) -> int:
    """Run the child."""
    end_with_parent()
    options = DownloadOptions(precision="fp32", patience=Patience(attempts=2, first_pause=0.0))
    try:
        ensure(make_entry(make_contents()), Path(model_dir), options, DownloadProgress(Reporter().observe))
    except GigasttError as exc:
        return report_failure(exc)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
