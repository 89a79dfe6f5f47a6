"""Make `tests.fakes` and its neighbours importable from every test; mark what `make unit` leaves out."""

import sys
from pathlib import Path

import hypothesis
import pytest

from gigastt.processes import use_one_thread

use_one_thread()  # as in a worker; numpy reads this when it is imported, which is after this file

hypothesis.settings.register_profile("any machine", deadline=None)  # how long an example takes, the machine decides
hypothesis.settings.load_profile("any machine")

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent))

# Real sockets with their deadlines, worker processes, downloads, the demo model over minutes of audio, and the programs
# that judge what is in deploy/.
_SLOW = (
    "deploy/test_kubernetes",
    "deploy/test_linters",
    "deploy/test_monitoring",
    "processes",
    "gateway/test_decoder.py",
    "gateway/test_server",
    "hostile",
    "models/test_download",
    "models/test_optimize_words.py",
    "speech/test_noise.py",
    "speech/test_onnx_asr.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(_HERE).as_posix().startswith(_SLOW):
            item.add_marker(pytest.mark.slow)
