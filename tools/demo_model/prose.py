"""Prose: clean Russian sentences out of documents that Debian packages install, for a wider vocabulary.

Reads what is there below /usr/share and leaves out what is not. Returning nothing trains a model on templates alone.
"""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Iterable
from pathlib import Path

from tools.demo_model.grammar import SENTENCE

SHARE = Path("/usr/share")
_SKIPPED_FORTUNES = {"sex", "flirt", "lovers", "mat", "e13", "polit", "armenian"}
_ABBREVIATION = re.compile(r"\b(т|д|п|др|пр|см|рис|стр|гл|ред|руб|коп|им|ул|г|в|вв|н|э|тыс|млн|напр)\.$", re.IGNORECASE)
_ONE_LETTER_WORDS = "аивкосуябжэ"
_HTML_FILES = 3000
_DOCUMENT_FILES = 400


def debian_prose(share: Path = SHARE) -> dict[str, list[str]]:
    """Return the clean sentences of each source, sorted, each once."""
    fortunes = _sentences_of(_fortunes(share / "games" / "fortunes" / "ru"))
    gimp = _sentences_of(_pages(share / "gimp" / "2.0" / "help" / "ru", "*.html", _HTML_FILES))
    office = _sentences_of(_pages(share / "libreoffice" / "help" / "ru" / "text", "**/*.html", _HTML_FILES))
    documents: set[str] = set()
    for folder, pattern in (
        (share / "doc" / "debian" / "FAQ", "**/*.ru.html"),
        (share / "doc", "**/*ru*/*.html"),
        (share / "doc", "**/*.ru.html"),
    ):
        documents |= _sentences_of(_pages(folder, pattern, _DOCUMENT_FILES))
    documents |= _sentences_of(_manual_pages(share / "man" / "ru"))
    return {
        "fortunes-ru": sorted(fortunes),
        "gimp-help-ru": sorted(gimp),
        "libreoffice-help-ru": sorted(office),
        "docs-ru": sorted(documents),
    }


def clean_sentence(sentence: str) -> str | None:
    """Reduce a sentence to what is spoken, or return None where something in it is not."""
    text = sentence.strip().strip("\"'«»„“()[]*_ ")
    text = re.sub(r"[«»„“”\"'()\[\]]", "", text)
    text = re.sub(r"\s+[-–—]+\s+", ", ", text)
    text = re.sub(r"[:;]", ",", text)
    text = re.sub(r"\.{2,}|…", ".", text)
    text = re.sub(r"([?!])[?!.]+", r"\1", text)
    text = re.sub(r"\s+", " ", text).replace(" ,", ",")
    text = re.sub(r",+", ",", text).strip(" ,-")
    if not SENTENCE.match(text) or re.search(r"--|-[ ,.]|[ ,]-|,[^ ]", text):
        return None
    words = text.split()
    if not 3 <= len(words) <= 16 or max(map(len, words)) > 18 or re.search(r"[А-ЯЁ]{2}", text):
        return None
    if _ABBREVIATION.search(text) or any(_is_initial(word) for word in words):
        return None
    return text


def split_sentences(text: str) -> list[str]:
    """Cut a text into its clean sentences; hyphenation at line ends is undone."""
    text = re.sub(r"(?<=[а-яё])-\n\s*(?=[а-яё])", "", text)
    sentences = []
    for paragraph in re.split(r"\n\s*\n|\n%", text):
        for match in re.finditer(r"[А-ЯЁ«\"][^.?!…]*[.?!…]+", re.sub(r"\s+", " ", paragraph)):
            sentence = clean_sentence(match.group())
            if sentence:
                sentences.append(sentence)
    return sentences


def _is_initial(word: str) -> bool:
    letters = re.sub(r"\W", "", word)
    return len(letters) == 1 and word.lower().strip(",.?!") not in _ONE_LETTER_WORDS


def _sentences_of(texts: Iterable[str]) -> set[str]:
    return {sentence for text in texts for sentence in split_sentences(text)}


def _fortunes(folder: Path) -> Iterable[str]:
    for path in sorted(folder.glob("*")):
        if path.suffix not in (".dat", ".u8") and path.name not in _SKIPPED_FORTUNES:
            text = path.read_text(encoding="utf-8", errors="ignore")
            yield re.sub(r"\n\s+--[^\n]*", "\n", text)  # attributions


def _pages(folder: Path, pattern: str, most: int) -> Iterable[str]:
    for path in sorted(folder.glob(pattern), key=str)[:most]:
        text = path.read_text(encoding="utf-8", errors="ignore")
        text = re.sub(r"(?s)<(script|style|head).*?</\1>", " ", text)
        text = re.sub(r"</?(p|li|h\d|td|div|tr|dt|dd)[^>]*>", "\n\n", text)
        yield html.unescape(re.sub(r"<[^>]+>", "", text))


def _manual_pages(folder: Path) -> Iterable[str]:
    for path in sorted(folder.glob("man*/*.gz")):
        with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as file:
            text = re.sub(r"(?m)^[.'].*$", "\n", file.read())
        yield re.sub(r"\\f.|\\", "", text)
