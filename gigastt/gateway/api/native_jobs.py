"""Jobs over HTTP: a recording in, its transcript when it is done. A codec around `jobs`.

POST   /v1/jobs               a file in the body, or {"url": …}; 201 with the job
GET    /v1/jobs/{id}          how far it is
GET    /v1/jobs/{id}/events   the same, and what is found, as it comes
GET    /v1/jobs/{id}/result   the transcript
DELETE /v1/jobs/{id}          ends it, and forgets all of it
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from typing import Any
from typing import Final as Constant

from starlette.requests import Request
from starlette.responses import Response

from gigastt.audio.selection import read_choice
from gigastt.errors import InvalidParameter, JobFailed, JobNotDone, JobsDisabled, RequestError
from gigastt.gateway.api.configure import SEARCH_FIELDS, read_search_query, read_spelling
from gigastt.gateway.api.enrolment import require_model
from gigastt.gateway.api.event_stream import (
    QUIET_COMMENT,
    QUIET_SECONDS,
    EventAnswer,
    encode_block,
    failure_block,
    last_event,
)
from gigastt.gateway.api.native_files import Uploads, render_answer
from gigastt.gateway.api.speaker_fields import SPEAKER_FIELDS, read_speaker_query
from gigastt.gateway.api.wire import gap_error_fields, session_speakers
from gigastt.gateway.context import AppContext
from gigastt.gateway.files.forms import MOST_FIELD_BYTES
from gigastt.gateway.jobs.bell import wait_for_ring
from gigastt.gateway.jobs.job import Job, JobOrder, transcript_of
from gigastt.gateway.jobs.jobs import Jobs
from gigastt.gateway.jobs.spool import pieces_of
from gigastt.gateway.requests import exchange_of, read_json
from gigastt.gateway.responses import JSONResponse, choose_form
from gigastt.gateway.webhook import check_url
from gigastt.rendering import channel_fields, final_fields
from gigastt.spelling import Spelling
from gigastt.transcript import Final, Options

_MOST_ORDER_BYTES: Constant = MOST_FIELD_BYTES + 16 * 1024
_FIELDS: Constant = ("channels", "track", "url", "webhook", "webhook_secret")
_JSON_FIELDS: Constant = ("diarization", *SPEAKER_FIELDS, *SEARCH_FIELDS)
_MOST_SECRET_CHARACTERS: Constant = 256


class JobRoutes:
    """The routes."""

    def __init__(self, context: AppContext, uploads: Uploads) -> None:
        self._context = context
        self._uploads = uploads

    async def create(self, request: Request) -> Response:
        """`POST /v1/jobs`."""
        exchange = exchange_of(request.scope)
        jobs, owner = self._enabled(), exchange.owner
        if exchange.usage is not None:
            exchange.usage.expect_audio(0.0)
        async with AsyncExitStack() as stack:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
                values = _checked(await read_json(request, _MOST_ORDER_BYTES)) | dict(request.query_params)
                order, pieces = self._read_order(owner, values), None
                if not order.url:
                    raise InvalidParameter("url is missing: send it, or the file itself as the body.", param="url")
            else:
                upload = stack.enter_context(await self._uploads.receive_body(request.scope, request.receive))
                values = dict(upload.fields or ()) | dict(request.query_params)
                order, pieces = self._read_order(owner, values), pieces_of(upload.open())
                if order.url:
                    raise InvalidParameter("Send either a file or a url.", param="url")
            job = await jobs.add(order, pieces)
        unusable = self._uploads.unusable_of(order.options)
        fields = await jobs.describe(job) | ({"unusable_hotwords": unusable} if unusable else {})
        return JSONResponse(fields, 201, {"location": f"/v1/jobs/{job.id}"})

    async def show(self, request: Request) -> Response:
        """`GET /v1/jobs/{id}`."""
        jobs, job = await self._find(request)
        return JSONResponse(await jobs.describe(job))

    async def delete(self, request: Request) -> Response:
        """`DELETE /v1/jobs/{id}`."""
        jobs, job = await self._find(request)
        await jobs.delete(job)
        return Response(status_code=204)

    async def result(self, request: Request) -> Response:
        """`GET /v1/jobs/{id}/result`."""
        form = choose_form(request.query_params.getlist("format"), request.headers.get("accept", ""))
        spelling = read_spelling(request.query_params)
        jobs, job = await self._find(request)
        if job.state == "queued":
            raise JobNotDone("The job is not done yet.")
        if job.state == "failed" or job.facts is None:
            raise JobFailed(f"The job failed: {job.error}")
        facts, tells_dropped = job.facts, request.query_params.get("dropped") == "true"
        told, speakers = await jobs.told(job), await jobs.speakers(job)

        def render() -> Response:
            heard = transcript_of(facts, [one for _, one in told], speakers)
            return render_answer(form, spelling.of(heard), tells_dropped=tells_dropped)

        return await asyncio.to_thread(render)

    async def events(self, request: Request) -> Response:
        """`GET /v1/jobs/{id}/events`: from the beginning, or behind the event that `Last-Event-ID` names."""
        spelling = read_spelling(request.query_params)
        jobs, job = await self._find(request)
        return EventAnswer(_event_blocks(jobs, job, last_event(request.headers), spelling))

    def _enabled(self) -> Jobs:
        if self._context.jobs is None:
            raise JobsDisabled("This server takes no jobs; its operator can change that: --jobs-dir.")
        return self._context.jobs

    async def _find(self, request: Request) -> tuple[Jobs, Job]:
        jobs = self._enabled()
        return jobs, await jobs.find(request.path_params["id"], exchange_of(request.scope).owner)

    def _read_order(self, owner: str, values: Mapping[str, Any]) -> JobOrder:
        """Read what is asked for. Raises InvalidParameter, InvalidHotwords, UnsupportedByModel: a value is wrong."""
        url, webhook, secret = (values.get(name, "").strip() for name in ("url", "webhook", "webhook_secret"))
        if len(secret) > _MOST_SECRET_CHARACTERS:
            raise InvalidParameter("webhook_secret is too long.", param="webhook_secret")
        hosts = self._context.settings.jobs_url_host
        choice, speakers = read_choice(values), read_speaker_query(values)
        search = read_search_query(values, Options(), self._uploads.alphabet)
        if speakers is not None and not choice.splits_channels:
            require_model(self._context)
        return JobOrder(
            owner,
            choice,
            check_url(url, hosts, "url") if url else "",
            check_url(webhook, hosts, "webhook") if webhook else "",
            secret,
            speakers,
            search.hotwords,
            search.most_alternatives,
        )


async def _event_blocks(jobs: Jobs, job: Job, after: int, spelling: Spelling) -> AsyncGenerator[bytes, None]:
    """Yield the events of a job behind number `after`, until it ends."""
    before: dict[str, Any] = {}
    try:
        while True:
            ring = jobs.next_ring(job.id)
            job = await jobs.find(job.id, job.order.owner)
            for number, told in await jobs.told(job, after):
                after = number
                told = spelling.of(told)
                apart = bool(job.facts and job.facts.copies)
                if not isinstance(told, Final):
                    fields = gap_error_fields(told)
                elif told.text:
                    fields = final_fields(told)
                else:
                    continue
                fields = {**fields, **channel_fields(told, is_told=apart), "last": False}
                yield b"id: %d\n" % number + encode_block(fields)
            state = {"type": "job", **await jobs.describe(job), "last": job.state != "queued"}
            if state["last"] and (heard := await jobs.speakers(job)) is not None:
                yield encode_block({**session_speakers(spelling.of(heard)), "last": False})
            yield encode_block(state) if state != before else QUIET_COMMENT
            if state["last"]:
                return
            before = state
            await wait_for_ring(ring, QUIET_SECONDS)
    except RequestError as exc:
        yield failure_block(exc)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an order; those of speakers and of the search are as in `configure`, the others text.

    Raises InvalidParameter: one is no text, or is not known.
    """
    for name, value in values.items():
        if name not in _JSON_FIELDS and (name not in _FIELDS or not isinstance(value, str)):
            known = ", ".join((*_FIELDS, *_JSON_FIELDS))
            raise InvalidParameter(f"{name[:40]!a}: expected one of {known}.", param=name[:40])
    return dict(values)
