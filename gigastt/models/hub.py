"""The model hub over HTTP: a file's size and digest, and its bytes from any offset.

The client, the addresses, the token and the offline switch are huggingface-hub's (`HF_ENDPOINT`, `HF_TOKEN`,
`HF_HUB_OFFLINE`, `HF_HUB_ETAG_TIMEOUT`, `HF_HUB_DOWNLOAD_TIMEOUT`); the transfer is a plain ranged GET and not
`hf_hub_download`, because that throws a partial file away when it fails, so an 844 MB file could never be
fetched over a line that breaks every few minutes. The Xet protocol is not used, for the same reason.

Blocking network access. Bytes that come from here are not verified yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import huggingface_hub.errors
from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]  # lazy

from gigastt.errors import DownloadFailed

# The HTTP client's own base error: httpx or httpx2, whichever this version of huggingface-hub is built on.
_ClientError: type[Exception] = huggingface_hub.errors.HTTPError  # type: ignore[attr-defined]
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = "access is refused; if a login is needed, set HF_TOKEN"
_REASONS = {
    401: _REFUSED,
    403: _REFUSED,
    404: "there is no such file in {entry.repository} at revision {entry.revision}",
}
_DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")

# Telemetry would send a request before every first one, to the public hub even if a mirror is set.
constants.HF_HUB_DISABLE_TELEMETRY = True


class Repository(Protocol):
    """A repository at one revision."""

    @property
    def repository(self) -> str: ...

    @property
    def revision(self) -> str: ...


class LineBroken(Exception):
    """The line or the far side failed in a way that may pass: try again."""


class PartTooLong(LineBroken):
    """The part of a file that is here is longer than the file: throw it away and begin anew."""


@dataclass(frozen=True, slots=True)
class RemoteState:
    """A file's size and digest as the hub tells them; None if it does not.

    digest: SHA-256 of a large file, git's own (SHA-1 of a blob) of a small one; hexadecimal.
    """

    size: int | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class Body:
    """An answer that has begun: where its bytes start in the file, how long the file is, and the bytes."""

    offset: int
    total: int | None
    blocks: Iterator[bytes]


class Hub:
    """One model's repository at its pinned revision, on the hub or a mirror of it.

    endpoint: the address of either.
    """

    def __init__(self, entry: Repository, mirror: str | None, timeout: float | None) -> None:
        self._entry = entry
        self.endpoint = (mirror or constants.ENDPOINT).rstrip("/")
        self._metadata_timeout = timeout or constants.HF_HUB_ETAG_TIMEOUT
        self._read_timeout = timeout or constants.HF_HUB_DOWNLOAD_TIMEOUT

    def _url(self, name: str) -> str:
        return hf_hub_url(self._entry.repository, name, revision=self._entry.revision, endpoint=self.endpoint)

    def look_up(self, name: str) -> RemoteState:
        """Ask for a file's size and digest.

        Raises:
            LineBroken: worth another try.
            DownloadFailed: not worth one.
        """
        with self._errors(name):
            metadata = get_hf_file_metadata(self._url(name), timeout=self._metadata_timeout, endpoint=self.endpoint)
        etag = metadata.etag or ""
        return RemoteState(metadata.size, etag if _DIGEST.fullmatch(etag) else None)

    @contextmanager
    def open(self, name: str, offset: int) -> Iterator[Body]:
        """Begin to receive a file at `offset`; the answer may start at 0 all the same.

        Raises:
            LineBroken: also while the blocks are read; worth another try.
            DownloadFailed: not worth one.
        """
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with (
            self._errors(name),
            get_session().stream("GET", self._url(name), headers=headers, timeout=self._read_timeout) as response,
        ):
            if response.status_code == 416:
                raise PartTooLong(f"the part of {name} that is here is longer than the file")
            hf_raise_for_status(response)
            if response.headers.get("Content-Type", "").lower().startswith("text/html"):
                raise DownloadFailed(
                    f"{self.endpoint} answered with a web page instead of {name}: a login, proxy or error page? "
                    "Check `--mirror`, HF_ENDPOINT and the proxy settings."
                )
            start, total = 0, response.headers.get("Content-Length", "")
            if response.status_code == 206:
                match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
                if match is None:
                    raise LineBroken("a partial answer that does not say which part")
                start, total = int(match[1]), match[2]
            yield Body(start, int(total) if total.isdecimal() else None, response.iter_bytes())

    def find_cached(self, name: str) -> Path | None:
        """Return the file in huggingface-hub's own cache, if another program has put it there."""
        path = try_to_load_from_cache(self._entry.repository, name, revision=self._entry.revision)
        return Path(path) if isinstance(path, str) else None

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Sort the client's errors into those that may pass and those that will not."""
        try:
            yield
        except OfflineModeIsEnabled as exc:
            raise DownloadFailed(
                f"{name} is not on this machine, and HF_HUB_OFFLINE forbids fetching it. Unset it, or copy the "
                "model's folder from a machine that has it (docs/operations.md)."
            ) from exc
        except HfHubHTTPError as exc:
            status = exc.response.status_code
            if status in _PASSING_STATUS:
                raise LineBroken(f"{self.endpoint} answered {status}") from exc
            reason = _REASONS.get(status, f"it answered {status}").format(entry=self._entry)
            raise DownloadFailed(f"Cannot fetch {name} from {self.endpoint}: {reason}.") from exc
        except _ClientError as exc:
            raise LineBroken(f"{type(exc).__name__}: {exc}") from exc
