"""The fetching child process with a model of the tests instead of the catalogue's.

`python -m tests.fakes.fetch_child MODEL_DIR [FOLDER]`, with HF_ENDPOINT set to a stand-in of the hub: the small model
of `tests.fakes.models`, or the files of a folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gigastt.models.download import DownloadOptions
from gigastt.models.fetch import fetch_for_parent
from gigastt.models.transfer import Retries
from tests.fakes.models import NO_PREPARATION, contents_of, make_contents, make_entry

if __name__ == "__main__":
    options = DownloadOptions(NO_PREPARATION, "fp32", retries=Retries(attempts=2, first_pause=0.0))
    contents = contents_of(Path(sys.argv[2])) if len(sys.argv) > 2 else make_contents()
    sys.exit(fetch_for_parent(make_entry(contents), Path(sys.argv[1]), options))
