"""Russian numerals in words: cardinals, ordinals, and nouns that agree with a number."""

from __future__ import annotations

_UNITS = ("", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять")
_FEMININE_UNITS = ("", "одна", "две", *_UNITS[3:])
_TEENS = (
    *("десять", "одиннадцать", "двенадцать", "тринадцать", "четырнадцать"),
    *("пятнадцать", "шестнадцать", "семнадцать", "восемнадцать", "девятнадцать"),
)
_TENS = (
    *("", "", "двадцать", "тридцать", "сорок", "пятьдесят"),
    *("шестьдесят", "семьдесят", "восемьдесят", "девяносто"),
)
_HUNDREDS = (
    *("", "сто", "двести", "триста", "четыреста"),
    *("пятьсот", "шестьсот", "семьсот", "восемьсот", "девятьсот"),
)
_ORDINAL_STEMS = (
    *("", "перв", "втор", "трет", "четвёрт", "пят", "шест", "седьм", "восьм", "девят", "десят"),
    *("одиннадцат", "двенадцат", "тринадцат", "четырнадцат", "пятнадцат"),
    *("шестнадцат", "семнадцат", "восемнадцат", "девятнадцат"),
)
_ORDINAL_TENS = {
    20: "двадцат",
    30: "тридцат",
    40: "сороков",
    50: "пятидесят",
    60: "шестидесят",
    70: "семидесят",
    80: "восьмидесят",
    90: "девяност",
}
_ENDINGS_OF_THIRD = {"ый": "ий", "ого": "ьего", "ом": "ьем", "ая": "ья", "ую": "ью"}
_STRESSED_ENDING = (2, 6, 7, 8, 40)


def cardinal(number: int, *, feminine: bool = False) -> str:
    """Write a number below a milliard in the nominative: 1234 is "тысяча двести тридцать четыре"."""
    if number == 0:
        return "ноль"
    words: list[str] = []
    millions, number = divmod(number, 1_000_000)
    if millions:
        words += [cardinal(millions), agree(millions, "миллион", "миллиона", "миллионов")]
    thousands, number = divmod(number, 1000)
    if thousands:
        if thousands > 1:
            words.append(cardinal(thousands, feminine=True))
        words.append(agree(thousands, "тысяча", "тысячи", "тысяч"))
    words.append(_HUNDREDS[number // 100])
    number %= 100
    if 10 <= number < 20:
        words.append(_TEENS[number - 10])
    else:
        words += [_TENS[number // 10], (_FEMININE_UNITS if feminine else _UNITS)[number % 10]]
    return " ".join(word for word in words if word)


def agree(number: int, one: str, few: str, many: str) -> str:
    """Choose the form of a noun that goes with a number."""
    if 11 <= number % 100 <= 14:
        return many
    if number % 10 == 1:
        return one
    return few if 2 <= number % 10 <= 4 else many


def ordinal(number: int, ending: str = "ый") -> str:
    """Write an ordinal below 100.

    Args:
        number: 1 to 99.
        ending: "ый" (nominative), "ого" (genitive), "ом" (locative), "ое" (neuter), "ая" or "ую" (feminine).
    """
    head, last = "", number
    if number >= 20 and number % 10:
        head, last = _TENS[number // 10] + " ", number % 10
    stem = _ORDINAL_TENS.get(last) or _ORDINAL_STEMS[last]
    if last == 3:
        ending = _ENDINGS_OF_THIRD[ending]
    elif ending == "ый" and last in _STRESSED_ENDING:
        ending = "ой"
    return head + stem + ending
