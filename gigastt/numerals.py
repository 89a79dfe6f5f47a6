"""Numerals: spoken Russian numbers as figures (inverse text normalisation), by a small grammar. Pure.

    две тысячи двадцать шестого года  →  2026 года          сто двадцать первый   →  121-й
    ноль целых пять десятых           →  0,5                два миллиона рублей   →  2 миллиона рублей
    восемь девятьсот двенадцать       →  8 912              один раз, два вопроса →  as they are

Numerals that follow each other, in any case, make a number as long as each fits below the one before; punctuation ends
it. All numerals between two other words are a run. What a run becomes depends on it, on the word before and the word
behind it, and on nothing else: so a run with a word behind it will not change any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gigastt.transcript import Word, speaker_of

_MILLION = 10**6
_SCALES = {1000: "тысяч", _MILLION: "миллион", 10**9: "миллиард", 10**12: "триллион"}
_DENOMINATORS = {10: 1, 100: 2, 1000: 3}  # of decimal fractions, and how many figures they have
_WHOLE = ("целых", "целая", "целой", "целую", "целые", "целыми", "целым")
_MONTHS = (
    "января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября",
    "декабря",
)  # fmt: skip
_YEAR = ("год", "года", "году", "годом", "годе")
_UNIT = re.compile(
    "(?:рубл|доллар|процент|градус|(?:кило|санти|милли)?метр|(?:кило|милли)?грамм|(?:милли)?литр|тонн|секунд|минут|"
    "час|месяц|недел|год|копейк|балл)(?:|[аеиуыюья]|ов|ев|ей|ой|ом|ем|[ая]м|[ая]ми|[ая]х)|"
    "копеек|евро|лет|дней|дня|дням|днями|днях|суток|кило"
)
_NUMBERED = ("номер", "номера", "номеру", "номером", "номере", "№")
_MAGPIE = "сорока"  # also the bird

_EDGES = re.compile(r"(\W*)(.*?)(\W*)", re.DOTALL)
_NOMINATIVES = {
    0: "ноль нуль", 1: "один одна одно", 2: "два две", 3: "три", 4: "четыре", 5: "пять", 6: "шесть", 7: "семь",
    8: "восемь", 9: "девять", 10: "десять", 11: "одиннадцать", 12: "двенадцать", 13: "тринадцать", 14: "четырнадцать",
    15: "пятнадцать", 16: "шестнадцать", 17: "семнадцать", 18: "восемнадцать", 19: "девятнадцать", 20: "двадцать",
    30: "тридцать", 40: "сорок", 50: "пятьдесят", 60: "шестьдесят", 70: "семьдесят", 80: "восемьдесят",
    90: "девяносто", 100: "сто", 200: "двести", 300: "триста", 400: "четыреста", 500: "пятьсот", 600: "шестьсот",
    700: "семьсот", 800: "восемьсот", 900: "девятьсот",
}  # fmt: skip
_OBLIQUES = {
    0: "ноля нолю нолем ноле нуля нулю нулем нуле",
    1: "одни одного одной одному одну одним одном одних одними одною",
    2: "двух двум двумя",
    3: "трех трем тремя",
    4: "четырех четырем четырьмя",
    8: "восьми восемью восьмью",
    40: _MAGPIE,
    90: "девяноста",
    100: "ста",
    200: "двухсот двумстам двумястами двухстах",
    300: "трехсот тремстам тремястами трехстах",
    400: "четырехсот четыремстам четырьмястами четырехстах",
} | {
    tens: f"{stem}идесяти {stem}ьюдесятью" for tens, stem in {50: "пят", 60: "шест", 70: "сем", 80: "восьм"}.items()
} | {
    100 * digit: " ".join(f"{stem}и{end}" for end in ("сот", "стам", "стах")) + f" {stem}ьюстами"
    for digit, stem in {5: "пят", 6: "шест", 7: "сем", 8: "восьм", 9: "девят"}.items()
}  # fmt: skip
_STEMS = {
    1: "перв", 2: "втор", 4: "четверт", 5: "пят", 6: "шест", 7: "седьм", 8: "восьм", 9: "девят", 40: "сороков",
    50: "пятидесят", 60: "шестидесят", 70: "семидесят", 80: "восьмидесят", 90: "девяност", 100: "сот", 200: "двухсот",
    300: "трехсот", 400: "четырехсот", 500: "пятисот", 600: "шестисот", 700: "семисот", 800: "восьмисот",
    900: "девятисот", 1000: "тысячн", 2000: "двухтысячн",
} | {value: _NOMINATIVES[value][:-1] for value in (*range(10, 21), 30)}  # fmt: skip
_ENDINGS = "ый ой ая ое ого ому ую ым ом ых ые ыми ою"
_THIRD = "третий третья третье третьи третьего третьему третью третьим третьем третьей третьих третьими"


@dataclass(frozen=True, slots=True)
class _Numeral:
    """One word of a number.

    is_ordinal: with `suffix`, what is written behind its figures.
    is_scale: a thousand or more, which multiplies what is before it.
    joins_ordinal: an ordinal may follow within the number.
    """

    value: int
    is_ordinal: bool = False
    is_scale: bool = False
    joins_ordinal: bool = True
    suffix: str = ""


def _lexicon() -> dict[str, _Numeral]:
    words: dict[str, _Numeral] = {}
    for value, forms in _STEMS.items():
        for ending in _ENDINGS.split():
            words[forms + ending] = _Numeral(value, is_ordinal=True, suffix=_suffix(ending))
    words |= {form: _Numeral(3, is_ordinal=True, suffix=_suffix(form)) for form in _THIRD.split()}
    for value, forms in _NOMINATIVES.items():
        words |= {form: _Numeral(value) for form in forms.split()}
        softs = [forms[:-1] + end for end in ("и", "ью")] if forms.endswith("ь") and 5 <= value <= 30 else []
        obliques = [*softs, *_OBLIQUES.get(value, "").split()]
        words |= {form: _Numeral(value, joins_ordinal=False) for form in obliques}
    for value, stem in _SCALES.items():
        plain, other = ("а и", "е у ей ью ам ами ах") if value == 1000 else ("а ов", "у ом е ы ам ами ах")
        words |= {stem + end: _Numeral(value, is_scale=True) for end in ("", *plain.split())}
        words |= {stem + end: _Numeral(value, is_scale=True, joins_ordinal=False) for end in other.split()}
    return words


def _suffix(form: str) -> str:
    """Return what is written behind figures: the last letter, or two where a consonant is before that."""
    return form[-1] if form[-2] in "аеиоуыэюяь" else form[-2:]


_LEXICON = _lexicon()


@dataclass(frozen=True, slots=True)
class _Told:
    """A word: what stands around it, what it is, and what it says as a numeral."""

    before: str
    core: str
    behind: str
    numeral: _Numeral | None

    @classmethod
    def read(cls, text: str) -> _Told:
        match = _EDGES.fullmatch(text)
        assert match is not None, "it takes every text"
        before, core, behind = match.groups()
        core = core.lower().replace("ё", "е")
        return cls(before, core, behind, _LEXICON.get(core))


@dataclass(frozen=True, slots=True)
class _Number:
    """A number: its words, from `first` to before `end`.

    fraction: it is a decimal one, so written.
    """

    first: int
    end: int
    value: int
    last: _Numeral
    fraction: str = ""

    @property
    def is_one_word(self) -> bool:
        return self.end - self.first == 1


def closed_words(words: Sequence[Word]) -> int:
    """Return how many of these words will be written the same way whatever follows them."""
    told = [_Told.read(word.text) for word in words]
    run = next((run for run in _runs(told) if run.stop == len(told)), None)
    return len(told) if run is None else run.start


def write_figures(words: Sequence[Word]) -> list[Word]:
    """Return the words of an utterance with figures for numbers.

    A figure spans its words, has their mean confidence, and the speaker who says most of them.
    """
    told = [_Told.read(word.text) for word in words]
    written: list[Word] = []
    at = 0
    for run in _runs(told):
        for number, figures in _decide(told, run):
            written += [*words[at : number.first], _merge(words, told, number, figures)]
            at = number.end
    return [*written, *words[at:]]


def _runs(told: Sequence[_Told]) -> Iterator[range]:
    """Yield the runs of numerals; `целых` between them belongs to them."""
    start = None
    for at, word in enumerate(told):
        if word.numeral is not None or (start is not None and word.core in _WHOLE):
            start = at if start is None else start
        elif start is not None:
            yield range(start, at)
            start = None
    if start is not None:
        yield range(start, len(told))


def _decide(told: Sequence[_Told], run: range) -> Iterator[tuple[_Number, str]]:
    """Yield those numbers of a run that are written in figures, and these."""
    numbers = list(_numbers(told, run))
    many = len(numbers) > 2 or (len(numbers) > 1 and any(number.value > 9 for number in numbers))
    kept = -1  # the last word of a common fraction
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        before = told[number.first - 1].core if number.first else ""
        is_last = number.end == len(told) or told[number.end - 1].behind
        behind = "" if is_last else told[number.end].core
        if number.fraction:
            yield number, number.fraction
        elif number.last.is_ordinal:
            if number.first > kept and (figures := _ordinal(number, behind)):
                yield number, figures
        elif following is not None and following.first == number.end and _is_fraction(told, following):
            kept = following.end
        elif number.last.is_scale and number.last.value >= _MILLION:
            if not number.is_one_word:
                yield replace(number, end=number.end - 1), str(number.value // number.last.value)
        elif not number.is_one_word or _is_worth(number, told[number.first], before, behind, many):
            yield number, str(number.value)


def _is_worth(number: _Number, word: _Told, before: str, behind: str, many: bool) -> bool:
    """Whether a single numeral is written in figures."""
    if number.last.is_scale:
        return False
    measures = number.value != 1 and _UNIT.fullmatch(behind) is not None
    if word.core == _MAGPIE:
        return many or measures
    return number.value > 9 or many or measures or before in _NUMBERED


def _ordinal(number: _Number, behind: str) -> str:
    """Return the figures of an ordinal; nothing where it stays a word."""
    if behind in _MONTHS and number.value <= 31:
        return str(number.value)
    if behind in _YEAR and number.value > 9:
        return str(number.value)
    if number.is_one_word and not 9 < number.value < 100:
        return ""
    return f"{number.value}-{number.last.suffix}"


def _is_fraction(told: Sequence[_Told], number: _Number) -> bool:
    """Whether an ordinal behind a cardinal is a denominator, and no date: `две третьих`, `пять десятых`."""
    behind = told[number.end].core if number.end < len(told) else ""
    is_ordinal = number.last.is_ordinal and not number.fraction
    return is_ordinal and number.value > 1 and behind not in _MONTHS and behind not in _YEAR


def _numbers(told: Sequence[_Told], run: range) -> Iterator[_Number]:
    """Cut a run into numbers, each as long as can be."""
    at = run.start
    while at < run.stop:
        if told[at].numeral is None:  # `целых` that makes no fraction
            at += 1
            continue
        number = _read(told, at, run.stop)
        number = _with_fraction(told, number, run.stop)
        yield number
        at = number.end


def _with_fraction(told: Sequence[_Told], whole: _Number, stop: int) -> _Number:
    """Return a number with the decimal fraction behind it, if there is one."""
    at = whole.end + 1
    if whole.last.is_ordinal or at >= stop or told[whole.end - 1].behind or told[whole.end].core not in _WHOLE:
        return whole
    if told[at].numeral is None:
        return whole
    part = _read(told, at, stop, cardinal=True)
    last = told[part.end].numeral if part.end < stop and not told[part.end - 1].behind else None
    places = _DENOMINATORS.get(last.value, 0) if last is not None and last.is_ordinal else 0
    if last is None or part.last.is_ordinal or not 0 <= part.value < 10**places or not places:
        return whole
    return _Number(whole.first, part.end + 1, whole.value, last, f"{whole.value},{part.value:0{places}d}")


def _read(told: Sequence[_Told], first: int, stop: int, *, cardinal: bool = False) -> _Number:
    """Read a number from its first word on; with `cardinal`, without an ordinal at its end."""
    total, group, scale, joins = 0, 0, 10**15, True
    last: _Numeral | None = None
    at = first
    while at < stop and (numeral := told[at].numeral) is not None:
        if last is not None and (last.is_ordinal or last.value == 0 or told[at - 1].behind or told[at].before):
            break
        if numeral.is_ordinal and last is not None and (cardinal or not joins):
            break
        if numeral.is_scale:
            if numeral.value >= scale or (last is not None and not group and not last.is_scale):
                break
            total, group, scale = total + max(group, 1) * numeral.value, 0, numeral.value
        elif last is not None and not _fits(group, numeral.value):
            break
        else:
            group += numeral.value
        joins = joins and numeral.joins_ordinal
        last = numeral
        at += 1
    assert last is not None, "a run begins with a numeral"
    return _Number(first, at, total + group, last)


def _fits(group: int, value: int) -> bool:
    """Whether a numeral below a thousand fits behind the hundreds, tens and units so far."""
    if not 0 < value < 1000:
        return False
    if value >= 100:
        return group == 0
    if value >= 10:
        return group % 100 == 0
    return group % 10 == 0 and group % 100 != 10


def _merge(words: Sequence[Word], told: Sequence[_Told], number: _Number, figures: str) -> Word:
    spoken = words[number.first : number.end]
    text = told[number.first].before + figures + told[number.end - 1].behind
    confidence = round(sum(word.confidence for word in spoken) / len(spoken), 4)
    speaker = speaker_of(spoken) or spoken[0]
    return replace(speaker, text=text, start=spoken[0].start, end=spoken[-1].end, confidence=confidence)
