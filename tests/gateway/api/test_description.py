"""OpenAPI and its page say what routes there are; what they answer is judged in tests/clients."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gigastt.gateway.api.configure import PROTOCOL_VERSION
from gigastt.gateway.api.description import docs_page, openapi_text
from tests.fakes.gateway import ROUTES, http_client
from tests.fakes.pool import Fakes

DOCUMENT: dict[str, Any] = json.loads(openapi_text())


def test_every_route_and_method_is_described_and_no_other() -> None:
    described = {
        path: {method.upper() for method in methods if method != "parameters"}
        for path, methods in DOCUMENT["paths"].items()
    }
    assert described == {path: set(methods) - {"HEAD"} for path, methods in ROUTES.items()}


def test_its_version_is_the_protocols() -> None:
    assert DOCUMENT["info"]["version"] == f"{PROTOCOL_VERSION}.0"


def test_names_are_used_once_and_references_lead_somewhere() -> None:
    operations = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len(set(operations)) == len(operations)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', openapi_text())):
        found: Any = DOCUMENT
        for step in reference.split("/"):
            found = found[step]


async def test_both_are_served_without_a_key_and_reach_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    async with http_client(Fakes().context(api_keys_file=tmp_path / "keys")) as client:
        assert (await client.get("/openapi.json")).json() == DOCUMENT
        page = await client.get("/docs")
        assert (await client.get("/v1/models")).status_code == 401
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"<script|https?://|src=", page.text)
    assert page.text == docs_page()
    for path in ROUTES:
        assert f">{path}</code>" in page.text
    for field in ("compression_ratio", "logprob", "retry_after_ms"):  # deep inside
        assert f"<code>{field}</code>" in page.text


@pytest.mark.parametrize(
    ("path", "fields", "schema"),
    [
        ("/v1/transcribe", {}, "Transcript"),
        ("/v1/audio/transcriptions", {"include[]": "logprobs"}, "Transcription"),
        (
            "/v1/audio/transcriptions",
            {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]},
            "VerboseTranscription",
        ),
    ],
)
async def test_transcripts_are_as_described(path: str, fields: dict[str, Any], schema: str) -> None:
    async with http_client(Fakes().context()) as client:
        answer = (await client.post(path, files={"file": ("a.wav", b"\0" * 6400)}, data=fields)).json()
    described = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(described).validate(answer)
    assert answer.keys() <= DOCUMENT["components"]["schemas"][schema]["properties"].keys()
