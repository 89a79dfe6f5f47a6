"""Negotiation: in which form a client wants a transcript, by `?format=` or, without it, by `Accept`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from gigastt.errors import InvalidParameter
from gigastt.rendering import MEDIA_TYPES, TranscriptForm

_FORMS: dict[str, TranscriptForm] = {form: form for form in get_args(TranscriptForm)}
_BY_MEDIA_TYPE: dict[str, TranscriptForm] = {kind: form for form, kind in MEDIA_TYPES.items()} | {"*/*": "json"}


def choose_form(asked: Sequence[str], accept: str) -> TranscriptForm:
    """Return the form of an answer: JSON where nothing else is asked for, or only what there is not.

    Args:
        asked: the values of `format`.
        accept: the value of `Accept`.

    Raises:
        InvalidParameter: `format` names no form, or comes more than once.
    """
    if asked:
        form = _FORMS.get(asked[0].strip().lower()) if len(asked) == 1 else None
        if form is None:
            raise InvalidParameter(f"format must be one of {', '.join(_FORMS)}.", param="format")
        return form
    ranges = [_media_range(text) for text in accept.split(",")]
    known = [(weight, kind) for weight, kind in ranges if weight > 0 and kind in _BY_MEDIA_TYPE]
    if not known:
        return "json"
    return _BY_MEDIA_TYPE[max(known, key=lambda one: one[0])[1]]  # of equals, the first


def _media_range(text: str) -> tuple[float, str]:
    """Return the weight of one part of `Accept` and what it names."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    weight = next((value.removeprefix("q=") for value in parameters if value.startswith("q=")), "1")
    try:
        return float(weight), kind
    except ValueError:
        return 0.0, kind
