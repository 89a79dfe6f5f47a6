"""The fetching child process with the small model of `tests.fakes.models` instead of the catalogue.

`python -m tests.fakes.fetch_child MODEL_DIR`, with HF_ENDPOINT set to a stand-in of the hub.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gigastt.models.download import DownloadOptions
from gigastt.models.fetch import fetch_for_parent
from gigastt.models.transfer import Retries
from tests.fakes.models import NO_PREPARATION, make_contents, make_entry

if __name__ == "__main__":
    options = DownloadOptions(NO_PREPARATION, "fp32", retries=Retries(attempts=2, first_pause=0.0))
    sys.exit(fetch_for_parent(make_entry(make_contents()), Path(sys.argv[1]), options))
