"""What /openapi.json says is what the server does, judged by schemathesis: requests that fit and requests that do not.

A longer run by hand, against a server on port 9876:

    .venv-clients/schemathesis/bin/schemathesis --config-file tests/clients/schemathesis.toml \\
        run http://127.0.0.1:9876/openapi.json --max-examples 500
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.clients.conftest import interpreter
from tests.server import ServerProcess

HERE = Path(__file__).resolve().parent


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    program = Path(interpreter("schemathesis")).parent / "schemathesis"
    with ServerProcess("--pool-size", "1", "--metrics") as server:
        done = subprocess.run(
            [
                *(program, "--config-file", HERE / "schemathesis.toml", "run", f"{server.url}/openapi.json"),
                *("--seed", "1", "--no-color"),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,  # it keeps a cache where it stands
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    assert re.search(r"(\d+) generated, \1 passed", done.stdout), done.stdout[-2000:]
