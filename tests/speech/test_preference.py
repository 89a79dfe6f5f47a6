"""Hotwords in the search: what they replace, and that they neither add nor take away a word."""

from __future__ import annotations

import numpy as np
import pytest

from gigastt.speech.features import log_mel
from gigastt.speech.model import Triplet
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.search import RunNetwork, Transducer
from gigastt.speech.tokens import EncoderOut, Hypothesis, Vocabulary, Window, join_pieces
from gigastt.transcript import Hotword, Options
from tests.clips import Clip
from tests.fakes.lattice import Lattice, LatticeNetwork
from tests.recordings import DEMO_MODEL, bundled_clips, files_in, samples_of


def _window(clip: Clip, options: Options | None) -> Window:
    return Window(log_mel(samples_of(clip)), 0, options=options)


_PIECES = ("<unk>", "▁", "▁да", "▁ку", "▁ка", "ту", "рту", "зов", "зу", "▁узов", "▁вот", ".", "<blk>")
_VOCABULARY = Vocabulary(_PIECES)
# «да картузу», which could have been «да Кутузов»
_CAP: Lattice = {
    (2, ""): {"▁да": 0.98},
    (6, "▁да"): {"▁ка": 0.8, "▁ку": 0.1},
    (9, "▁ка"): {"рту": 0.9},
    (9, "▁ку"): {"ту": 0.7},
    (12, "рту"): {"зу": 0.9},
    (12, "ту"): {"зов": 0.6, "зу": 0.3},
}


def _search(lattice: Lattice, *phrases: str, weight: float = 1.0) -> Hypothesis:
    options = Options(hotwords=tuple(Hotword(phrase, weight) for phrase in phrases))
    encoder_out: EncoderOut = np.zeros((1, 30), np.float32)
    return Transducer(LatticeNetwork(lattice, _VOCABULARY), _VOCABULARY).search(encoder_out, options=options)


def _text(hypothesis: Hypothesis) -> str:
    return join_pieces([token.piece for token in hypothesis.tokens])


def test_a_phrase_replaces_what_sounds_like_it() -> None:
    hypothesis = _search(_CAP, "Кутузов")
    assert _text(_search(_CAP)) == "да картузу"
    assert _text(hypothesis) == "да кутузов"
    assert [token.frame for token in hypothesis.tokens] == [8, 24, 36, 48]
    assert [state.token for state in hypothesis.states] == [token.id for token in hypothesis.tokens]
    assert join_pieces([token.piece for token in hypothesis.greedy]) == "да картузу"


def test_the_probabilities_of_its_tokens_are_the_models_own() -> None:
    assert [token.probability for token in _search(_CAP, "Кутузов").tokens] == pytest.approx([0.98, 0.1, 0.7, 0.6])


@pytest.mark.parametrize("phrases", [("Узов",), ("кату",), ("картузов",), ("ку",), ("да ку",), ("😀", ".*", "(a+)+$")])
def test_a_phrase_that_is_not_said_to_its_end_changes_nothing(phrases: tuple[str, ...]) -> None:
    assert _search(_CAP, *phrases, weight=3.0) == _search(_CAP)


def test_a_phrase_far_from_the_sound_changes_nothing() -> None:
    unlikely = {**_CAP, (6, "▁да"): {"▁ка": 0.999, "▁ку": 0.0005}, (12, "ту"): {"зов": 0.01, "зу": 0.9}}
    assert _text(_search(unlikely, "Кутузов", weight=0.5)) == "да картузу"


def test_a_word_that_begins_at_another_place_is_found() -> None:
    """«дакутузов» is split where the phrase begins, by the token that only begins a word."""
    lattice: Lattice = {
        (2, ""): {"▁да": 0.9},
        (5, "▁да"): {"ту": 0.6, "▁": 0.2},
        (5, "▁"): {"ту": 0.9},
        (8, "ту"): {"зов": 0.9},
    }
    assert _text(_search(lattice)) == "датузов"
    assert _text(_search(lattice, "Тузов")) == "да тузов"


def test_no_word_comes_in_where_none_was_heard() -> None:
    lattice: Lattice = {
        (2, ""): {"▁да": 0.9},
        (9, "▁да"): {"▁ку": 0.3},
        (12, "▁ку"): {"ту": 0.9},
        (14, "ту"): {"зов": 0.9},
    }
    assert _text(_search(lattice, "Кутузов", weight=3.0)) == "да"
    assert _search({(9, ""): lattice[9, "▁да"], **lattice}, "Кутузов", weight=3.0).tokens[0].piece == "▁да"


def test_where_nothing_was_heard_nothing_is() -> None:
    assert _search({(9, ""): {"▁ку": 0.4}, (10, "▁ку"): {"ту": 0.9}, (12, "ту"): {"зов": 0.9}}, "Кутузов").tokens == ()


def test_no_word_goes() -> None:
    """A phrase after which the model falls silent would swallow what was said behind it."""
    lattice: Lattice = {**_CAP, (20, "зу"): {"▁вот": 0.9}}
    assert _text(_search(lattice)) == "да картузу вот"
    assert _text(_search(lattice, "Кутузов")) == "да картузу вот"


@pytest.mark.slow
def test_no_hotwords_are_the_greedy_search_and_unrelated_ones_change_nothing() -> None:
    recognizer, plain = Recognizer.load(files_in(DEMO_MODEL)), Options()
    unrelated = Options(hotwords=tuple(map(Hotword, ("Хабаровск", "амлодипин", "Красная Пахра", "эквайринг"))))
    for clip in bundled_clips():
        windows = [_window(clip, options) for options in (None, plain, unrelated)]
        greedy, empty, other = map(recognizer.transcribe, windows)
        assert greedy.tokens == empty.tokens == other.tokens
        assert not other.greedy


def test_the_server_s_own_hotwords_are_for_finals_only() -> None:
    network = LatticeNetwork(_CAP, _VOCABULARY)
    transducer = Transducer(network, _VOCABULARY, hotwords=(Hotword("Кутузов"),))
    encoder_out: EncoderOut = np.zeros((1, 30), np.float32)
    assert _text(transducer.search(encoder_out)) == "да картузу"
    assert _text(transducer.search(encoder_out, options=Options())) == "да кутузов"


@pytest.mark.slow
def test_the_graphs_find_what_the_weights_find() -> None:
    files, options = (
        files_in(DEMO_MODEL),
        Options(hotwords=(Hotword("фиксик"), Hotword("рисовая каша")), most_alternatives=3),
    )
    recognizer, triplet = Recognizer.load(files), Triplet.load(files)
    vocabulary = Vocabulary.load(files.vocabulary)
    graphs = Recognizer(
        triplet.encoder, Transducer(RunNetwork(triplet.decoder, triplet.joint), vocabulary), vocabulary, "graphs"
    )
    window = _window(bundled_clips()[0], options)
    one, other = recognizer.transcribe(window), graphs.transcribe(window)
    assert [list(map(_text, each.alternatives)) for each in (one, other)] == [list(map(_text, one.alternatives))] * 2
    assert len(one.alternatives) == 3
