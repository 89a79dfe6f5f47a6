"""Debian's Firefox, driven over WebDriver BiDi: enough of it to open a page, look at it and press on it.

It runs no audio where nothing can play any, so it is given a sound server whose output goes nowhere. Playwright drives
only a Firefox of its own build, and the driver of other tools is not in Debian. The browser itself speaks BiDi on a
WebSocket: https://w3c.github.io/webdriver-bidi/.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.shared import require_program
from tests.waiting import DEADLINE_SECONDS, wait_for

_PREFERENCES = {
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "media.autoplay.default": 0,
    "media.autoplay.block-webaudio": False,
    "intl.accept_languages": "ru-RU, ru",
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.auto": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


class Firefox:
    """One page of a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._ask("session.new", {"capabilities": {}})
        self._context = self._ask("browsingContext.getTree", {})["contexts"][0]["context"]

    def before_scripts(self, script: str) -> None:
        """Run a function, as text, in every page before its own scripts."""
        self._ask("script.addPreloadScript", {"functionDeclaration": script})

    def open(self, url: str) -> None:
        self._ask("browsingContext.navigate", {"context": self._context, "url": url, "wait": "complete"})

    def reload(self) -> None:
        self._ask("browsingContext.reload", {"context": self._context, "wait": "complete"})

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited, by way of JSON."""
        wrapped = f"(async () => JSON.stringify(await ({expression}) ?? null))()"
        target = {"target": {"context": self._context}, "awaitPromise": True, "userActivation": True}
        answer = self._ask("script.evaluate", {"expression": wrapped, **target})
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        wait_for(lambda: self.evaluate(f"Boolean({expression})"))

    def choose_file(self, selector: str, path: Path) -> None:
        located = self._ask(
            "browsingContext.locateNodes", {"context": self._context, "locator": {"type": "css", "value": selector}}
        )
        element = {"sharedId": located["nodes"][0]["sharedId"]}
        self._ask("input.setFiles", {"context": self._context, "element": element, "files": [str(path)]})

    def _ask(self, method: str, parameters: dict[str, Any]) -> Any:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(DEADLINE_SECONDS))
            if message.get("id") == number:
                assert message["type"] == "success", message
                return message["result"]


@contextmanager
def _sound_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run PulseAudio with an output that leads nowhere; yield what tells programs of it."""
    socket = folder / "native"
    modules = ("module-null-sink", f"module-native-protocol-unix socket={socket} auth-anonymous=1")
    arguments = [
        require_program("pulseaudio"),
        "-n",
        "--exit-idle-time=-1",
        *(f"--load={module}" for module in modules),
    ]
    home = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder)}
    silence = subprocess.DEVNULL
    with subprocess.Popen(arguments, env={**os.environ, **home}, stdout=silence, stderr=silence) as process:
        try:
            wait_for(socket.exists)
            yield {**os.environ, "HOME": str(folder), "PULSE_SERVER": f"unix:{socket}"}
        finally:
            process.terminate()


@contextmanager
def running_firefox(profile: Path) -> Iterator[Firefox]:
    """Run the browser without a window, in a new profile; do without if there is none."""
    program = require_program("firefox-esr")
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items())
    (profile / "user.js").write_text("\n".join(lines))
    arguments = [program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port=0"]
    with (
        _sound_server(profile) as environment,
        subprocess.Popen(
            arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
        ) as process,
    ):
        try:
            assert process.stderr is not None
            found = (re.search(r"WebDriver BiDi listening on (ws://\S+)", line) for line in process.stderr)
            address = next(match[1] for match in found if match)
            with connect(f"{address}/session", max_size=None) as socket:
                yield Firefox(socket)
        finally:
            process.terminate()
