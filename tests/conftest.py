"""Make `tests.fakes` and its neighbours importable from every test; mark what `make unit` leaves out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from gigastt.processes import use_one_thread

if TYPE_CHECKING:
    from tests.server import ServerProcess

use_one_thread()  # as in a worker; numpy reads this when it is imported, which is after this file

hypothesis.settings.register_profile("any machine", deadline=None)  # how long an example takes, the machine decides
hypothesis.settings.load_profile("any machine")

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent))

# Every test here starts the shipped program or talks to it.
_E2E = ("clients", "e2e", "page")

# Real sockets with their deadlines, worker processes, downloads, the demo model over minutes of audio, and the programs
# that judge what is in deploy/.
_SLOW = (
    "audio/test_cases.py",
    "audio/test_kinds.py",
    "gateway/jobs/test_hosts.py",
    "benchmarks",
    "cli/test_transcribe",
    "deploy/test_kubernetes",
    "deploy/test_linters",
    "deploy/test_monitoring",
    "processes",
    "gateway/api/test_asterisk.py",
    "gateway/api/test_audiosocket.py",
    "gateway/api/test_jambonz.py",
    "gateway/api/test_jitsi.py",
    "gateway/api/test_native_query.py",
    "gateway/api/test_native_ws",
    "gateway/api/test_realtime.py",
    "gateway/api/test_realtime_secrets.py",
    "gateway/api/test_tcp.py",
    "gateway/files/test_decoder.py",
    "gateway/server/test_caps_server.py",
    "gateway/server/test_connections.py",
    "gateway/server/test_listener.py",
    "gateway/server/test_shutdown.py",
    "gateway/server/test_websockets.py",
    "gateway/server/test_ws_protocol.py",
    "hostile",
    "models/test_download",
    "optimize",
    "speech/test_noise.py",
    "speech/test_onnx_asr.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(_HERE)
        if place.as_posix().startswith(_SLOW):
            item.add_marker(pytest.mark.slow)
        if place.parts[0] in _E2E:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server with two workers and default limits, for tests that leave it as they found it."""
    from tests.server import ServerProcess

    with ServerProcess("--pool-size", "2") as running:
        yield running


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The file of a `--secret-file`."""
    path = tmp_path / "secret"
    path.write_bytes(b"0123456789abcdef")
    return path
