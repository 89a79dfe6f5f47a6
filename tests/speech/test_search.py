"""The greedy search over a scripted network: which frames are asked, what is emitted, when, from which state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from gigastt.errors import InferenceError
from gigastt.speech.model import Floats
from gigastt.speech.search import Emission, Transducer, token_probability
from gigastt.speech.tokens import EncoderOut, Hypothesis, SearchState, Vocabulary

_VOCABULARY = Vocabulary(("<unk>", "▁да", "▁нет", "<blk>"))
_DA, _NET, _BLANK = 1, 2, 3


@dataclass
class ScriptedNetwork:
    """Emit at each frame the scripted tokens in turn; a state counts the tokens since the start.

    A frame's number is its single value, so that a search over a part of the frames finds its script.
    """

    script: dict[int, list[int]]
    steps: list[int] = field(default_factory=list)

    def predict(self, token: int, state: SearchState | None) -> SearchState:
        self.steps.append(token)
        count = np.zeros(1, dtype=np.float32) if state is None else state.h + 1
        return SearchState(token, count, count, count)

    def prepare(self, encoder_out: EncoderOut) -> ScriptedFrames:
        return ScriptedFrames(self.script, encoder_out[0].astype(int).tolist())


@dataclass
class ScriptedFrames:
    script: dict[int, list[int]]
    numbers: list[int]
    block: int = 1

    def __len__(self) -> int:
        return len(self.numbers)

    def score_all(self, begin: int, end: int, states: Sequence[SearchState]) -> Floats:
        raise AssertionError("the greedy search asks for emissions only")

    def find(self, first: int, state: SearchState) -> Emission | None:
        before = 0
        for number in sorted(self.script):
            for token in self.script[number]:
                at = number - self.numbers[0]
                if before == int(state.h[0]) and first <= at < len(self.numbers):
                    return Emission(at, token, 0.5)
                before += 1
        return None

    def score(self, frame: int, state: SearchState) -> Floats:
        raise AssertionError("the search asks for emissions only")


def _frames(count: int) -> EncoderOut:
    return np.arange(count, dtype=np.float32)[None]


def _tokens(hypothesis: Hypothesis) -> list[tuple[int, int]]:
    return [(token.frame, token.id) for token in hypothesis.tokens]


@pytest.mark.parametrize(
    ("script", "frames", "expected"),
    [
        ({}, 10, []),
        ({}, 0, []),
        ({0: [_DA]}, 10, [(0, _DA)]),
        ({9: [_DA]}, 10, [(36, _DA)]),
        ({2: [_DA], 5: [_NET]}, 10, [(8, _DA), (20, _NET)]),
        ({2: [_DA, _NET, _DA]}, 10, [(8, _DA), (8, _NET), (8, _DA)]),
        ({9: [_DA, _NET]}, 10, [(36, _DA), (36, _NET)]),
    ],
)
def test_tokens_carry_the_frame_that_emitted_them(
    script: dict[int, list[int]], frames: int, expected: list[tuple[int, int]]
) -> None:
    hypothesis = Transducer(ScriptedNetwork(script), _VOCABULARY).search(_frames(frames))
    assert _tokens(hypothesis) == expected
    assert [token.piece for token in hypothesis.tokens] == [_VOCABULARY.pieces[id_] for _, id_ in expected]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_frame_emits_at_most_its_limit(limit: int) -> None:
    transducer = Transducer(ScriptedNetwork({4: [_DA] * 20}), _VOCABULARY, max_symbols=limit)
    assert len(transducer.search(_frames(8)).tokens) == limit


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_the_limit_counts_for_each_frame_anew(limit: int) -> None:
    transducer = Transducer(ScriptedNetwork({4: [_DA] * limit, 5: [_NET] * limit}), _VOCABULARY, max_symbols=limit)
    frames = [token.frame for token in transducer.search(_frames(8)).tokens]
    assert frames == [16] * limit + [20] * limit


def test_the_predictor_runs_once_at_the_start_and_once_for_each_token() -> None:
    network = ScriptedNetwork({2: [_DA], 5: [_NET]})
    Transducer(network, _VOCABULARY).search(_frames(100))
    assert network.steps == [_BLANK, _DA, _NET]


def test_states_stand_beside_their_tokens() -> None:
    hypothesis = Transducer(ScriptedNetwork({2: [_DA], 5: [_NET]}), _VOCABULARY).search(_frames(10))
    assert [(state.token, float(state.h[0])) for state in hypothesis.states] == [(_DA, 1.0), (_NET, 2.0)]


def test_times_count_from_the_first_sample_of_the_client() -> None:
    hypothesis = Transducer(ScriptedNetwork({2: [_DA]}), _VOCABULARY).search(_frames(10), first_frame=400)
    assert _tokens(hypothesis) == [(408, _DA)]


def test_a_search_goes_on_from_a_saved_state() -> None:
    script = {2: [_DA], 5: [_NET], 8: [_DA]}
    whole = Transducer(ScriptedNetwork(script), _VOCABULARY).search(_frames(10))
    network = ScriptedNetwork(script)
    rest = Transducer(network, _VOCABULARY).search(_frames(10), skip=4, state=whole.states[0])
    assert rest.tokens == whole.tokens[1:]
    assert network.steps == [_NET, _DA]


def test_a_skip_beyond_the_window_finds_nothing() -> None:
    hypothesis = Transducer(ScriptedNetwork({2: [_DA]}), _VOCABULARY).search(_frames(10), skip=12)
    assert hypothesis == Hypothesis((), ())


@pytest.mark.parametrize("shift", [0.0, -3.5, 80.0])
def test_probability_is_the_same_of_logits_and_of_log_probabilities(shift: float) -> None:
    logits = np.log(np.array([0.1, 0.7, 0.2], dtype=np.float32)) + np.float32(shift)
    assert token_probability(logits, 1) == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize("scores", [[np.nan, 0.0], [np.inf, 0.0]])
def test_scores_that_are_no_numbers_fail_the_window(scores: list[float]) -> None:
    with pytest.raises(InferenceError, match="finite scores"):
        token_probability(np.array(scores, dtype=np.float32), 0)
