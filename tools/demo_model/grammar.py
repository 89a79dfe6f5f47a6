"""Slots: what the sentence templates are written in, and how a seed fills them.

    {на|до}                one of the alternatives
    {ROOMS}                one item of a list in `words`; {GOODS+FOOD} of two lists
    {#cardinal 1 101}      a numeral from 1 to 100; {#cardinal 2 60 f} a feminine one
    {#ordinal 1 30 ый}     an ordinal with that ending
    {#time}                a time of day
    <name>                 what the rule has worked out beforehand

Inner slots are filled before outer ones, from left to right, so the same seed always draws the same sentence.
Pure; no third-party text.
"""

from __future__ import annotations

import random
import re

from tools.demo_model.numerals import agree, cardinal, ordinal
from tools.demo_model.words import WORD_LISTS

SENTENCE = re.compile(r"^[А-ЯЁ][А-Яа-яЁё ,\-]*[.?!]$")  # every written symbol is spoken
_SLOT = re.compile(r"\{([^{}]*)\}")
_ROUND_MINUTES = (0, 5, 10, 15, 20, 25, 30, 40, 45, 50)


class TemplateFiller:
    """Fills templates out of one random sequence."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def fill(self, template: str, **values: str) -> str:
        """Fill every slot of a template."""
        for name, value in values.items():
            template = template.replace(f"<{name}>", value)
        while slot := _SLOT.search(template):
            template = template[: slot.start()] + self._resolve(slot[1]) + template[slot.end() :]
        return template

    def pick(self, name: str) -> str:
        """Pick one item of a word list."""
        return self.random.choice(WORD_LISTS[name])

    def cardinal(self, low: int, high: int, *, feminine: bool = False) -> str:
        """Draw a number from `low` to `high` - 1, in words."""
        return cardinal(self.random.randrange(low, high), feminine=feminine)

    def counted(self, number: int, one: str, few: str, many: str, *, feminine: bool = False) -> str:
        """Write a number and the form of the noun that goes with it."""
        return f"{cardinal(number, feminine=feminine)} {agree(number, one, few, many)}"

    def time(self) -> str:
        """Draw a time of day."""
        hour = self.random.randrange(24)
        minute = self.random.choice([*_ROUND_MINUTES, self.random.randrange(1, 60)])
        text = self.counted(hour, "час", "часа", "часов")
        if minute:
            text += " " + self.counted(minute, "минута", "минуты", "минут", feminine=True)
        return text

    def polite(self, request: str) -> str:
        """Address a request to somebody, or say please, now and then; and end the sentence."""
        roll = self.random.random()
        if roll < 0.15:
            request = f"{self.pick('GIVEN_NAMES')}, {request}"
        elif roll < 0.25:
            request = f"{request}, пожалуйста"
        elif roll < 0.32:
            request = f"пожалуйста, {request}"
        return request + "."

    def _resolve(self, slot: str) -> str:
        if slot.startswith("#"):
            return self._number(slot[1:].split())
        if slot.replace("+", "_").replace("_", "A").isupper() and slot.isascii():
            items = [item for name in slot.split("+") for item in WORD_LISTS[name]]
            return self.random.choice(items)
        return self.random.choice(slot.split("|"))

    def _number(self, words: list[str]) -> str:
        match words:
            case ["time"]:
                return self.time()
            case ["cardinal", low, high]:
                return self.cardinal(int(low), int(high))
            case ["cardinal", low, high, "f"]:
                return self.cardinal(int(low), int(high), feminine=True)
            case ["ordinal", low, high, ending]:
                return ordinal(self.random.randrange(int(low), int(high)), ending)
        raise ValueError(f"Expected a number slot such as #cardinal 1 10, but got {words}.")
