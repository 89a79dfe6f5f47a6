"""JSON that clients have written: one outcome for all that is none, and nothing in it that cannot be told again."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parse_json(text: str) -> Any:
    """Return what JSON says, with U+FFFD for each half of a character.

    A browser writes such a lone surrogate where a program cuts a text amid an emoji. Python's parser takes it, and the
    first thing to encode it would fail.

    Raises:
        ValueError: it is no JSON, or nested too deep.
    """
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            written = json.dumps(value, ensure_ascii=False)
            value = json.loads(written.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except RecursionError as exc:
        raise ValueError("It is nested too deep.") from exc
    return value


def _refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities are not JSON, whatever Python's parser thinks."""
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # made once: it takes as long as a short message
