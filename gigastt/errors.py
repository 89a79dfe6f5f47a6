"""The error tree: every failure a person or a client can be told about.

Each class carries its wire form as class attributes: `code` (the word in `{"error", "code"}`),
`status` (HTTP), `close_code` (WebSocket; None when the session goes on) and `exit_code` (command line).
The message is for people: it names no path, class or cause of the server's own inside; the cause goes
into the log through `raise … from exc`.

    GigasttError
    ├── ConfigError                    the command line, environment or file is wrong (exit 2)
    │   └── ConfigErrors               the same, with every mistake
    ├── ModelMissing                   no model files (exit 3)
    ├── ModelInvalid                   model files that break their contract (exit 3)
    ├── DownloadFailed                 the hub, the way to it, or what it sent (exit 5)
    ├── NotEnoughRoom                  too little disk or memory for what was asked (exit 6)
    ├── ProviderMissing                what is to run the encoder cannot be had here, or is gone (exit 8)
    ├── InferenceError                 onnxruntime refused one window; the session stays usable
    ├── ProtocolViolation              a peer on the pipe sent what it must not
    ├── WorkerBootFailed               workers die before they are ready (exit 4)
    ├── DutyFailed                     a part of the server that must run to its end did not (exit 1)
    ├── PortUnavailable                the port is taken, or not ours to take (exit 7)
    └── RequestError                   what a client is answered
        ├── EmptyBody, InvalidAudio, AudioTooLong, PayloadTooLarge
        ├── InvalidParameter           of these: InvalidHotwords, UnsupportedByModel
        ├── Unauthorized, OriginDenied, HostDenied, RateLimited, QuotaExceeded
        ├── NotFound, ModelNotFound, MethodNotAllowed, MetricsDisabled, UpgradeRequired, TlsRequired
        ├── BadRequest, RequestTimeout, HeadersTooLarge, SessionTaken
        ├── JobsDisabled, JobNotDone, JobFailed, FetchFailed, JobsFull
        └── CapacityTimeout, ShuttingDown, InternalError
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class GigasttError(Exception):
    """Base of every error this project raises on purpose."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    close_code: ClassVar[int | None] = None
    exit_code: ClassVar[int] = 1
    retry_after_ms: int | None = None

    def __init_subclass__(
        cls,
        code: str | None = None,
        status: int | None = None,
        close_code: int | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Take the wire form of a class from its head; what that leaves out is as in the class above."""
        form = {"code": code, "status": status, "close_code": close_code, "exit_code": exit_code}
        for name, value in form.items():
            if value is not None:
                setattr(cls, name, value)


class ConfigError(GigasttError, code="invalid_configuration", exit_code=2): ...


class ConfigErrors(ConfigError):
    """Every mistake that was found in the settings; one sentence or two each."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(" ".join(mistakes))
        self.mistakes = tuple(mistakes)


class ModelMissing(GigasttError, code="model_missing", status=503, exit_code=3): ...


class ModelInvalid(GigasttError, code="model_invalid", status=503, exit_code=3): ...


class DownloadFailed(GigasttError, code="download_failed", status=503, exit_code=5): ...


class NotEnoughRoom(GigasttError, code="not_enough_room", status=503, exit_code=6): ...


class ProviderMissing(GigasttError, code="provider_missing", status=503, exit_code=8): ...


class InferenceError(GigasttError, code="inference_error"): ...


class ProtocolViolation(GigasttError, code="protocol_violation"): ...


class WorkerBootFailed(GigasttError, code="worker_boot_failed", exit_code=4): ...


class DutyFailed(GigasttError, code="duty_failed"): ...


class PortUnavailable(GigasttError, code="port_unavailable", exit_code=7): ...


class RequestError(GigasttError):
    """An error that a client is told; a transient one has `retry_after_ms`, one about a field its name in `param`."""

    def __init__(self, message: str, *, retry_after_ms: int | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms
        self.param = param


class EmptyBody(RequestError, code="empty_body", status=400): ...


class InvalidParameter(RequestError, code="invalid_parameter", status=400, close_code=1003): ...


class InvalidHotwords(InvalidParameter, code="invalid_hotwords"): ...


class UnsupportedByModel(InvalidParameter, code="unsupported_by_model"):
    def __init__(
        self, message: str = "The served model finds no hotwords and no alternatives.", *, param: str | None = None
    ) -> None:
        super().__init__(message, param=param)


class Unauthorized(RequestError, code="unauthorized", status=401, close_code=1008): ...


class OriginDenied(RequestError, code="origin_denied", status=403): ...


class NotFound(RequestError, code="not_found", status=404): ...


class ModelNotFound(RequestError, code="model_not_found", status=404): ...


class MetricsDisabled(RequestError, code="metrics_disabled", status=404): ...


class JobsDisabled(NotFound, code="jobs_disabled"): ...


class JobNotDone(RequestError, code="job_not_done", status=409): ...


class JobFailed(RequestError, code="job_failed", status=409): ...


class FetchFailed(RequestError, code="fetch_failed", status=502): ...


class JobsFull(RequestError, code="jobs_full", status=503): ...


class MethodNotAllowed(RequestError, code="method_not_allowed", status=405): ...


class UpgradeRequired(RequestError, code="upgrade_required", status=426): ...


class TlsRequired(RequestError, code="tls_required", status=400):
    def __init__(self, message: str = "This address speaks TLS: use https:// and wss://.") -> None:
        super().__init__(message)


class BadRequest(RequestError, code="bad_request", status=400, close_code=1002): ...


class RequestTimeout(RequestError, code="request_timeout", status=408, close_code=1008): ...


class HeadersTooLarge(RequestError, code="headers_too_large", status=431): ...


class PayloadTooLarge(RequestError, code="payload_too_large", status=413): ...


class AudioTooLong(RequestError, code="audio_too_long", status=413): ...


class HostDenied(RequestError, code="host_denied", status=421): ...


class InvalidAudio(RequestError, code="invalid_audio", status=422): ...


class SessionTaken(RequestError, code="session_taken", status=409, close_code=1008): ...


class RateLimited(RequestError, code="rate_limited", status=429): ...


class QuotaExceeded(RequestError, code="quota_exceeded", status=429, close_code=1008): ...


class InternalError(RequestError, code="internal", status=500): ...


class CapacityTimeout(RequestError, code="timeout", status=503, close_code=1013): ...


class ShuttingDown(RequestError, code="shutting_down", status=503, close_code=1001):
    def __init__(self, message: str = "The server is shutting down.", *, retry_after_ms: int = 5_000) -> None:
        super().__init__(message, retry_after_ms=retry_after_ms)  # by then another server, or this one, may be there


def codes_of_requests() -> set[str]:
    """Return the code of every error that a request can be answered with."""
    classes = [RequestError]
    for each in classes:
        classes += each.__subclasses__()
    return {each.code for each in classes}
