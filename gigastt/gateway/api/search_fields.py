"""What a client says of hotwords and alternatives: fields of `configure`, of a query and of a form. Pure.

The same names and meanings everywhere; in a query or a form `hotwords` is JSON, or phrases with commas between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gigastt.errors import InvalidHotwords, InvalidParameter, UnsupportedByModel
from gigastt.gateway.api.configure import Complaint, whole
from gigastt.hotwords import read_hotwords
from gigastt.transcript import MOST_ALTERNATIVES, Options

SEARCH_FIELDS = ("hotwords", "alternatives")


def read_search_fields(
    fields: Mapping[str, Any], options: Options, alphabet: str | None
) -> tuple[Options, list[Complaint]]:
    """Return options with what fields say, those that are absent as before, and what is wrong with them.

    Args:
        alphabet: the letters of the served model; empty for one that searches greedily only, None where none is loaded.
    """
    complaints: list[Complaint] = []
    told = options
    if fields.get("hotwords") is not None:
        try:
            told = replace(told, hotwords=read_hotwords(fields["hotwords"]))
        except InvalidHotwords as exc:
            complaints.append(Complaint(exc.code, str(exc), "hotwords"))
    if fields.get("alternatives") is not None:
        most = whole(fields["alternatives"])
        if most is not None and 1 <= most <= MOST_ALTERNATIVES:
            told = replace(told, most_alternatives=most)
        else:
            expected = f"alternatives must be a whole number from 1 to {MOST_ALTERNATIVES}."
            complaints.append(Complaint("invalid_configuration", expected, "alternatives"))
    if alphabet == "" and (told.hotwords or told.most_alternatives > 1):
        refusal = UnsupportedByModel()
        return options, [*complaints, Complaint(refusal.code, str(refusal), "")]
    return told, complaints


def read_search_query(fields: Mapping[str, str], options: Options, alphabet: str | None) -> Options:
    """Return options with what a query or a form says.

    Raises:
        InvalidHotwords, InvalidParameter: a field is wrong; `param` names it.
        UnsupportedByModel: the served model cannot do that.
    """
    told, complaints = read_search_fields(fields, options, alphabet)
    for complaint in complaints:
        errors = {InvalidHotwords.code: InvalidHotwords, UnsupportedByModel.code: UnsupportedByModel}
        raise errors.get(complaint.code, InvalidParameter)(complaint.message, param=complaint.field)
    return told
