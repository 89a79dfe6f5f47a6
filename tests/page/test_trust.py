"""A server with an own authority, by the name it has on its network, in a browser that was told to trust it."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Playwright

from tests.page.conftest import MICROPHONE
from tests.server import ServerProcess, run_program
from tests.shared import require_program
from tests.waiting import DEADLINE_SECONDS

NAME = "asr.test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority that `gigastt tls init` has made."""
    folder = tmp_path_factory.mktemp("authority") / "tls"
    made = run_program(["tls", "init", "--tls-dir", str(folder), "--allowed-host", NAME])
    assert made.returncode == 0, made.stderr
    for word in (NAME, "127.0.0.1", "SHA-256", "Android", "iPhone", "Windows", "macOS", "Linux"):
        assert word in made.stdout
    return folder


@pytest.fixture(scope="module")
def own_server(folder: Path) -> Iterator[ServerProcess]:
    trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    flags = ("--host", "0.0.0.0", "--bind-all", "--tls", "auto", "--tls-dir", str(folder), "--allowed-host", NAME)
    with ServerProcess("--pool-size", "1", *flags, trust=trust) as running:
        yield running


@contextmanager
def launched(playwright: Playwright, home: Path, authority: Path | None) -> Iterator[Browser]:
    """Run a browser of a person whose home is a new folder; trusts `authority` if there is one."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    certutil = [require_program("certutil"), "-d", f"sql:{database}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True, capture_output=True)
    if authority is not None:
        subprocess.run([*certutil, "-A", "-t", "C,,", "-n", "gigastt", "-i", str(authority)], check=True)
    browser = playwright.chromium.launch(
        executable_path=require_program("chromium"),
        args=[*MICROPHONE, f"--host-resolver-rules=MAP {NAME} 127.0.0.1"],
        env={**os.environ, "HOME": str(home)},
    )
    yield browser
    browser.close()


def test_a_browser_that_trusts_the_authority_opens_the_page_by_name_and_gives_it_the_microphone(
    playwright: Playwright, own_server: ServerProcess, folder: Path, tmp_path: Path
) -> None:
    with launched(playwright, tmp_path / "home", folder / "ca.crt") as browser:
        page = browser.new_page(locale="ru-RU")
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        page.goto(f"http://{NAME}:{own_server.port}/")
        page.get_by_role("img", name="QR-код этой страницы").wait_for()
        page.get_by_role("link", name=f"https://{NAME}:{own_server.port}/").click()
        page.wait_for_url(f"https://{NAME}:{own_server.port}/")
        assert page.evaluate("isSecureContext")
        page.get_by_role("button", name="Начать запись").click()
        page.locator("#spoken p").first.wait_for()


def test_a_browser_that_does_not_trust_it_refuses(
    playwright: Playwright, own_server: ServerProcess, tmp_path: Path
) -> None:
    with launched(playwright, tmp_path / "home", None) as browser:
        page = browser.new_page()
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            page.goto(f"https://{NAME}:{own_server.port}/")
