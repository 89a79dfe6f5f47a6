"""Forms of a transcript: by `format`, by `Accept`, and JSON without either."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from gigastt.errors import InvalidParameter
from gigastt.gateway.responses import choose_form
from tests.fakes.gateway import http_client
from tests.fakes.pool import Fakes

PATH = "/v1/transcribe"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/json, text/plain, */*", "json"),
        ("text/plain", "text"),
        ("text/vtt;q=0.5, application/x-subrip", "srt"),
        ("text/markdown; charset=utf-8", "md"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("image/png", "json"),
        ("text/plain;q=0", "json"),
        ("text/plain;q=x, text/vtt", "vtt"),
        (",;,", "json"),
    ],
)
def test_accept_chooses(accept: str, form: str) -> None:
    assert choose_form([], accept) == form
    assert choose_form(["srt"], accept) == "srt"


@pytest.mark.parametrize("asked", [["pdf"], [""], ["srt", "vtt"]])
def test_an_unknown_format_is_refused_with_those_that_are_not(asked: list[str]) -> None:
    with pytest.raises(InvalidParameter, match="format must be one of text, json, srt, vtt, md"):
        choose_form(asked, "*/*")


@pytest.mark.parametrize(
    ("form", "kind", "text"),
    [
        ("text", "text/plain", "Привет, мир.\n"),
        ("srt", "application/x-subrip", "1\n00:00:00,000 --> 00:00:00,800\nПривет, мир.\n\n"),
        ("vtt", "text/vtt", "WEBVTT\n\n1\n00:00:00.000 --> 00:00:00.800\nПривет, мир.\n\n"),
        ("md", "text/markdown", "**[00:00:00]** Привет, мир.\n\n"),
    ],
)
async def test_an_upload_is_answered_in_the_form_asked_for(form: str, kind: str, text: str) -> None:
    asked: list[dict[str, Any]] = [{"params": {"format": form}}, {"headers": {"accept": kind}}]
    async with http_client(Fakes().context()) as client:
        for options in asked:
            response = await client.post(PATH, content=b"\0" * 6400, **options)
            assert (response.status_code, response.text) == (200, text)
            assert response.headers["content-type"] == f"{kind}; charset=utf-8"


async def test_a_form_and_a_packed_body_hold_the_same_file() -> None:
    fakes = Fakes()
    body = b"\1\2" * 3200
    async with http_client(fakes.context()) as client:
        await client.post(PATH, files={"recording": ("a.wav", body)}, data={"note": "x"})
        await client.post(PATH, content=gzip.compress(body), headers={"content-encoding": "gzip"})
        packed_form = client.build_request("POST", PATH, files={"file": ("a.wav", body)})
        headers = {"content-type": packed_form.headers["content-type"], "content-encoding": "gzip"}
        await client.post(PATH, content=gzip.compress(packed_form.read()), headers=headers)
        await client.post(f"{PATH}/stream", files={"recording": ("a.wav", body)})
    assert fakes.decoder.bodies == [body] * 4


async def test_a_form_without_a_file_and_an_empty_file_are_refused() -> None:
    async with http_client(Fakes().context()) as client:
        response = await client.post(PATH, files={"file": ("a.wav", b"")})
        assert (response.status_code, response.json()["code"]) == (400, "empty_body")
        headers = {"content-type": "multipart/form-data; boundary=x"}
        response = await client.post(PATH, content=b"--x--\r\n", headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
