"""Bodies: a whole file in the body of one request, until a decoder has read it.

    request ─► unpacked (gzip, zstd) ─► the file of a form ─► a few kilobytes in the gateway's own memory
            ─► more: a file in anonymous memory ─► handed to a decoder

Bytes and files are counted, in all and for each client, and so is the time that a body takes. Used by `uploads` in the
task of its request.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
from collections.abc import Callable, Hashable
from typing import Final, Self

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from gigastt.errors import BadRequest, EmptyBody, InvalidAudio, PayloadTooLarge, RequestTimeout
from gigastt.gateway.access.key_usage import KeyUsage
from gigastt.gateway.files.forms import FormFields, UploadForm, form_boundary, may_begin_form
from gigastt.gateway.files.shares import Holding, Room
from gigastt.gateway.files.unpacking import open_unpacker
from gigastt.gateway.requests import ClientGone, exchange_of

MOST_BYTES_WITHOUT_FILE: Final = 8 * 1024
MOST_UPLOADS: Final = 256  # of one client at a time, from the head on: a request that is being served takes 20 kB
GRACE_SECONDS: Final = 300.0  # for the first bytes of a body, as slow as `http_connection` lets them come
LEAST_BYTES, LEAST_SECONDS = 4 * 1024 * 1024, 60.0  # after that, so many bytes in so long: half a megabit a second
_HOW = "Send the file itself as the body, for example: curl --data-binary @FILE"
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Upload:
    """A body, and what it holds of the rooms of all.

    Attributes:
        client: whose it is, for shares.
        request_id: its request's.
        usage: what its key's use is counted in.
        fields: those beside the file in a form; None where the body is the file itself.
        facts: what the request's line in the log also tells.
    """

    def __init__(
        self,
        client: Hashable,
        request_id: str,
        usage: KeyUsage | None,
        held_place: Holding,
        held_bytes: Holding,
        held_files: Holding,
    ) -> None:
        self.client = client
        self.request_id = request_id
        self.usage = usage
        self.fields: FormFields | None = None
        self.facts: dict[str, float | str] = {}
        self.size = 0
        self._place = held_place
        self._bytes = held_bytes
        self._files = held_files
        self._small = bytearray()
        self._descriptor = -1

    def append(self, piece: bytes) -> None:
        """Keep the next bytes.

        Raises:
            CapacityTimeout: bodies of this client, or of all, fill the room.
        """
        self._bytes.change_to(self.size + len(piece))
        self.size += len(piece)
        if self._descriptor < 0 and self.size <= MOST_BYTES_WITHOUT_FILE:
            self._small += piece
            return
        self._write(piece)

    def open(self) -> int:
        """Return the descriptor of a file with the whole body, which changes no more; it is this object's to close.

        Raises:
            CapacityTimeout: there are too many files already.
        """
        self._write(b"")
        fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return self._descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory, unless another process still holds it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._small.clear()
        self._bytes.release()
        self._files.release()
        self._place.release()

    def _write(self, piece: bytes) -> None:
        """Write to the file, which holds everything from its beginning."""
        if self._descriptor < 0:
            self._files.change_to(1)
            self._descriptor = os.memfd_create("gigastt-upload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            piece = bytes(self._small) + piece
            self._small.clear()
        view = memoryview(piece)
        while view:
            view = view[os.write(self._descriptor, view) :]


class Bodies:
    """Receives bodies, as many as there is room for.

    Args:
        limit: the most bytes of a body.
        grace: how long a body may take before it has to come at a pace, in seconds.
    """

    def __init__(self, limit: Callable[[], int], grace: float = GRACE_SECONDS) -> None:
        self.uploads = Room(lambda: MOST_UPLOADS, "places")
        self.bytes = Room(limit, "memory")
        self.files = Room(most_files, "files")
        self._limit = limit
        self._grace = grace

    async def receive(self, scope: Scope, receive: Receive) -> Upload:
        """Read a body, no further than the limit, which holds as well for what is unpacked from it.

        Raises:
            PayloadTooLarge: it is longer, or says so beforehand.
            EmptyBody: there is nothing in it.
            InvalidAudio: it is a file wrapped or packed in something that is not unpacked.
            InvalidParameter: it is a broken form, or one without a file.
            RequestTimeout: it comes too slowly.
            CapacityTimeout: bodies of this client, or of all, fill the room.
            ClientGone: the client hung up.
        """
        headers = Headers(scope=scope)
        if _announced_length(headers) > self._limit():
            raise _too_large(self._limit())
        exchange = exchange_of(scope)
        client, usage = exchange.client, exchange.usage
        if usage is not None:
            usage.expect_audio(0.0)
        place = self.uploads.hold(client)
        place.change_to(1)
        upload = Upload(client, exchange.request_id, usage, place, self.bytes.hold(client), self.files.hold(client))
        upload.facts = exchange.facts
        try:
            await self._fill(upload, headers, receive)
        except BaseException as exc:
            upload.close()
            if isinstance(exc, TimeoutError):
                raise RequestTimeout("The body came too slowly.") from exc
            raise
        return upload

    async def _fill(self, upload: Upload, headers: Headers, receive: Receive) -> None:
        clock = asyncio.get_running_loop().time
        first_deadline = clock() + self._grace
        mark = LEAST_BYTES
        received = 0
        contents = _Contents(upload, headers, self._limit())
        async with asyncio.timeout_at(first_deadline) as deadline:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                piece: bytes = message.get("body", b"")
                received += len(piece)
                if received > self._limit():
                    raise _too_large(self._limit())
                await contents.feed(piece)
                if not message.get("more_body", False):
                    break
                if received >= mark:
                    mark = received + LEAST_BYTES
                    deadline.reschedule(max(first_deadline, clock() + LEAST_SECONDS))
        contents.finish()


class _Contents:
    """The contents of a body: unpacked, taken out of a form, and appended to its upload.

    A body is a form if its headers say so and its first byte agrees; else it is the file, whatever its type.
    """

    def __init__(self, upload: Upload, headers: Headers, limit: int) -> None:
        self._upload = upload
        self._limit = limit
        self._unpacker = open_unpacker(headers)
        self._boundary = form_boundary(headers)
        self._form: UploadForm | None = None
        self._begun = False

    async def feed(self, piece: bytes) -> None:
        """Take the next bytes; other tasks have their turn between slices of what is unpacked from them."""
        if self._unpacker is None:
            self._take(piece)
            return
        for made in self._unpacker.unpack(piece):
            self._take(made)
            await asyncio.sleep(0)

    def finish(self) -> None:
        """Check that all has come."""
        if self._unpacker is not None:
            self._unpacker.finish()
        if self._form is not None:
            self._upload.fields = self._form.finish()
        if not self._upload.size:
            raise EmptyBody(f"The {'file in the form is empty' if self._form else 'request has no body'}. {_HOW}")

    def _take(self, piece: bytes) -> None:
        if piece and not self._begun:
            self._begun = True
            if self._boundary is not None and may_begin_form(piece):
                self._form = UploadForm(self._boundary, self._keep)
        if self._form is not None:
            self._form.feed(piece)
        else:
            self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        if self._upload.size + len(piece) > self._limit:
            raise _too_large(self._limit)
        if not self._upload.size:
            refuse_wrapping(piece)
        self._upload.append(piece)


def most_files() -> int:
    """Return how many files the uploads of one client may have open: two shares are a quarter of what is left.

    Connections take three quarters of the descriptors at most (`connections.most_connections`); of the rest, uploads
    leave more than half to workers, connections that are being refused, and files of the server's own.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if descriptors < 0 else max(1, (descriptors - descriptors * 3 // 4) // 8)


def refuse_wrapping(beginning: bytes) -> None:
    """Refuse a file that is plainly no audio but may hold it, by its first bytes.

    Raises:
        InvalidAudio: it is an archive or text; the message says what to send.
    """
    if beginning.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        raise InvalidAudio(f"This is a compressed file, not an audio file. {_HOW}")
    if beginning[:64].lstrip().startswith((b"{", b"[", b"data:")):
        raise InvalidAudio(f"This is text, not an audio file. {_HOW}")


def _announced_length(headers: Headers) -> int:
    """Return what `Content-Length` says, 0 where it says nothing; the parser has checked that it is a number."""
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("Content-Length must be a number.")
    return int(length[:20])


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is over {limit} bytes, the most this server takes.")
