"""The description of the routes: `GET /openapi.json`, and `GET /docs`, the same as a page.

The document is written by hand (`data/openapi.json`); one test compares it with the routes, another the server
with what it says. The page is made here, needs no network and runs no script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from html import escape
from importlib import resources
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

Json = dict[str, Any]

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
:root { color-scheme: light dark }
details { border: 1px solid #8886; border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem }
summary { cursor: pointer } code { font-size: .95em } .method { font-weight: 700; margin-right: .5rem }
ul { margin: .2rem 0; padding-left: 1.2rem } .faint { opacity: .7 } .deprecated { text-decoration: line-through }
"""


@cache
def openapi_text() -> str:
    """Return the document as it is served."""
    return resources.files("gigastt.gateway.api").joinpath("data/openapi.json").read_text(encoding="utf-8")


async def serve_openapi(request: Request) -> Response:
    """`GET /openapi.json`."""
    return Response(openapi_text(), media_type="application/json", headers={"cache-control": "no-store"})


async def serve_docs(request: Request) -> Response:
    """`GET /docs`."""
    return HTMLResponse(docs_page(), headers=_HEADERS)


@cache
def docs_page() -> str:
    """Return the document as a page."""
    document: Json = json.loads(openapi_text())
    return "\n".join(_Page(document).lines())


class _Page:
    def __init__(self, document: Json) -> None:
        self._document = document

    def lines(self) -> Iterator[str]:
        info = self._document["info"]
        yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        yield f"<h1>{escape(info['title'])} <small class=faint>{escape(info['version'])}</small></h1>"
        yield f'<p>{_prose(info["description"])} <a href="openapi.json">openapi.json</a></p>'
        for tag in self._document["tags"]:
            yield f"<h2>{escape(tag['name'])}</h2><p>{_prose(tag['description'])}</p>"
            for path, methods in self._document["paths"].items():
                for method, operation in methods.items():
                    if operation["tags"][0] == tag["name"]:
                        yield from self._operation(path, method, operation)

    def _operation(self, path: str, method: str, operation: Json) -> Iterator[str]:
        kind = "deprecated" if operation.get("deprecated") else ""
        yield f'<details id="{operation["operationId"]}"><summary><span class=method>{method.upper()}</span>'
        yield f'<code class="{kind}">{escape(path)}</code> {_prose(operation["summary"])}</summary>'
        yield f"<p>{_prose(operation.get('description', ''))}</p>"
        for parameter in map(self._follow, operation.get("parameters", ())):
            where = f"{parameter['name']} ({parameter['in']})"
            yield f"<ul>{self._schema(where, parameter['schema'], parameter.get('description', ''), set())}</ul>"
        if "requestBody" in operation:
            yield f"<h4>Body</h4>{self._content(self._follow(operation['requestBody'])['content'])}"
        answers: dict[str, list[str]] = {}  # statuses by what they are answered with
        for status, response in operation["responses"].items():
            answers.setdefault(json.dumps(response), []).append(status)
        for text, statuses in answers.items():
            found = self._follow(json.loads(text))
            yield f"<h4>{', '.join(statuses)} <span class=faint>{_prose(found['description'])}</span></h4>"
            yield self._content(found.get("content", {}))
        yield "</details>"

    def _content(self, content: Json) -> str:
        items = (self._schema(kind, one["schema"], "", set()) for kind, one in content.items())
        return f"<ul>{''.join(items)}</ul>"

    def _schema(self, name: str, schema: Json, about: str, above: set[str]) -> str:
        """Return one value as an item of a list, with what is in it; `above` are the names that hold it."""
        reference = schema.get("$ref", "")
        found = self._follow(schema)
        kind = found.get("type", "")
        values = found.get("enum", [found["const"]] if "const" in found else [])
        kinds = " or ".join(kind) if isinstance(kind, list) else kind
        text = f"<code>{escape(name)}</code> <span class=faint>{escape(kinds)}"
        text += f" {escape(', '.join(map(str, values)))}</span> {_prose(about or found.get('description', ''))}"
        parts = {} if reference and reference in above else _parts(found)
        inside = "".join(self._schema(part, one, "", above | {reference}) for part, one in parts.items())
        return f"<li>{text}{f'<ul>{inside}</ul>' if inside else ''}</li>"

    def _follow(self, item: Json) -> Json:
        found: Any = item
        if "$ref" in item:
            found = self._document
            for step in item["$ref"].removeprefix("#/").split("/"):
                found = found[step]
        followed: Json = found
        return followed


def _parts(schema: Json) -> Json:
    """Return the schemas that a schema holds, by name."""
    if "items" in schema:
        return {"[…]": schema["items"]}
    variants: list[Json] = schema.get("anyOf") or schema.get("allOf") or []
    named: Json = {one.get("$ref", "").rpartition("/")[2] or str(number): one for number, one in enumerate(variants)}
    return {**named, **schema.get("properties", {})}


def _prose(text: str) -> str:
    """Return a sentence as HTML, with what stands between backquotes as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
