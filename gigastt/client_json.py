"""JSON that clients have written: one outcome for all that is none, nothing that cannot be told again, and a bound.

Python's parser holds everybody up until it is done, and texts of one length differ a hundredfold: half a megabyte of
base64 takes half a millisecond, of empty objects 30 ms. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn
from typing import Final as Constant

MOST_VALUES: Constant = 16_384  # 500 hotwords with weights have some 2,500; so many empty objects take 5 ms


def parse_json(text: str) -> Any:
    """Return what JSON says, with U+FFFD for each half of a character.

    A browser writes such a lone surrogate where a program cuts a text amid an emoji. Python's parser takes it, and the
    first thing to encode it would fail.

    Raises:
        ValueError: it is no JSON, nested too deep, or may have over `MOST_VALUES` values: marks inside of texts count
            as well.
    """
    if sum(map(text.count, ",:[{")) > MOST_VALUES:
        raise ValueError("It has too many values.")
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            value = json.loads(_HALF.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    except RecursionError as exc:
        raise ValueError("It is nested too deep.") from exc
    return value


def _refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities are not JSON, whatever Python's parser thinks."""
    raise ValueError(name)


_HALF = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # made once: it takes as long as a short message
