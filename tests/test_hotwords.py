"""Hotwords as clients and operators write them, and lists that are none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.errors import ConfigError, InvalidHotwords
from gigastt.hotwords import MOST_HOTWORDS, fit_hotwords, read_hotwords, read_hotwords_file, unusable
from gigastt.transcript import Hotword

HOSTILE: list[Any] = [
    ["x"] * 100_000,
    [f"слово {number}" for number in range(100_000)],
    ["ы" * 1_000_000],
    "ы" * 1_000_000,
    ",".join(["ы"] * 500_000),
    json.dumps(["ы" * 90] * 500),
    "[" * 100_000,
    '["' + "[" * 50_000,
    ["(a+)+$" * 20],
    [{"phrase": "слово", "weight": 1e9}],
    [{"phrase": "слово", "weight": float("nan")}],
    [{"phrase": "слово", "weight": True}],
    [{"phrase": "слово", "weight": "1"}],
    [{"phrase": "слово", "boost": 1}],
    [{"weight": 1}],
    [1],
    [None],
    [["слово"]],
    {"слово": 1},
    7,
    True,
    "[1]",
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_list_is_refused_at_once(value: Any) -> None:
    begun = time.process_time()
    with pytest.raises(InvalidHotwords, match="hotwords must be a list of at most 500 phrases"):
        read_hotwords(value)
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize(
    "value",
    [
        ["Кутузов", {"phrase": "Красная Пахра", "weight": 2}],
        '["Кутузов", {"phrase": " Красная  Пахра ", "weight": 2.0}]',
        [
            {"phrase": "кутузов", "weight": 3},
            "Кутузов",
            {"phrase": "Красная Пахра", "weight": 2},
            "",
            {"phrase": "Яуза", "weight": 0},
        ],
    ],
)
def test_a_list_is_read(value: Any) -> None:
    assert read_hotwords(value) == (Hotword("Кутузов"), Hotword("Красная Пахра", 2.0))


def test_a_text_has_commas_or_lines_between_phrases() -> None:
    assert read_hotwords("Кутузов, Красная Пахра\nЯуза,,") == tuple(map(Hotword, ("Кутузов", "Красная Пахра", "Яуза")))
    assert read_hotwords("") == read_hotwords([]) == ()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["phrase", "weight", "x"]), inner),
    )
)
def test_anything_is_read_or_refused(value: Any) -> None:
    try:
        hotwords = read_hotwords(value)
    except InvalidHotwords:
        return
    assert all(hotword.phrase and 0 < hotword.weight <= 3 for hotword in hotwords)


def test_phrases_that_a_model_cannot_write_are_named() -> None:
    phrases = ("Кутузов", "Ёлка!", "SAP", "😀", "...", "R2-Д2", "кот 🐈")
    assert unusable(map(Hotword, phrases), "абвгдежзиклмнопрстуф") == ["SAP", "😀", "...", "R2-Д2"]


def test_of_too_many_the_first_are_taken() -> None:
    names = [f"имя {number}" for number in range(400)]
    fitting = fit_hotwords([([*names, 7, "x" * 101, ""], 1.5), ([f"слово {number}" for number in range(400)], 1.0)])
    assert len(fitting) == MOST_HOTWORDS
    assert fitting[:400] == tuple(Hotword(name, 1.5) for name in names)
    assert fit_hotwords([(None, 1.0), ("текст", 1.0), ({}, 1.0)]) == ()


def test_a_file_has_a_phrase_a_line(tmp_path: Path) -> None:
    path = tmp_path / "hotwords.txt"
    path.write_text("# names\nКутузов\n\nКрасная Пахра\t2.5\n", encoding="utf-8")
    assert read_hotwords_file(path) == (Hotword("Кутузов"), Hotword("Красная Пахра", 2.5))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Кутузов\tmuch\n", "Line 1"),
        ("a\nb\t9\n", "Line 2"),
        ("x" * 101, "Line 1"),
        ("\n".join(map(str, range(501))), "500"),
    ],
)
def test_a_wrong_file_is_a_mistake_in_the_settings(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "hotwords.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        read_hotwords_file(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="Cannot read"):
        read_hotwords_file(path)
