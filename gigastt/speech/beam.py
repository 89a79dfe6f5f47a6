"""The beam: several hypotheses of one window side by side, where somebody wants more than the greedy search gives.

Two searches over the same ground. `alternatives` follows the likeliest token sequences, one for each wording: case and
punctuation make no hypothesis of their own. `prefer` follows greedy hypotheses, which leave what the model likes best
only along a phrase that is expected: what results is the greedy hypothesis with some of its words replaced by phrases.

Token sequences are a tree. A node has the predictor's state behind its token, and the scores of the next frames, which
are computed for all nodes of the beam at once and a block at a time: most frames are blank, whatever was said before.

Called by the thread that owns the recogniser; it knows no windows, words or clocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gigastt.errors import InferenceError
from gigastt.speech.model import Floats
from gigastt.speech.phrases import Phrases, fold
from gigastt.speech.tokens import SUBSAMPLING, WORD_START, Hypothesis, SearchState, Token
from gigastt.speech.vocabulary import Vocabulary

BEAM = 6  # hypotheses that are kept from frame to frame
_MARGIN = 8.0  # one so much less likely than the best is given up, in natural logarithms
_FLOOR = math.log(2e-3)  # a token less likely is not looked at,
_PHRASE_FLOOR = math.log(2e-4)  # unless it goes on with a phrase
_BRANCHES = 4  # tokens that a hypothesis may go on with at one frame


class BeamFrames(Protocol):
    """One window's encoder frames.

    block: how many frames are best scored at once.
    """

    block: int

    def __len__(self) -> int: ...

    def score_all(self, begin: int, end: int, states: Sequence[SearchState]) -> Floats:
        """Return the scores of some frames behind each state, [states, frames, V]: logits or log-probabilities."""
        ...


class BeamNetwork(Protocol):
    """Predictor of several hypotheses."""

    def predict_all(self, steps: Sequence[tuple[int, SearchState]]) -> list[SearchState]:
        """Advance the predictor over a token from each of some states."""
        ...


@dataclass(slots=True, eq=False)
class _Node:
    """A token sequence.

    key: its text, folded.
    state: of the predictor; None until it is needed.
    logs: log-probabilities of frames from `begin` on, [frames, V].
    best: the likeliest token of each of them.
    """

    token: int
    parent: _Node | None
    key: str
    state: SearchState | None
    children: dict[int, _Node] = field(default_factory=dict)
    begin: int = 0
    logs: Floats | None = None
    best: Sequence[int] = ()
    busy: Sequence[bool] = ()


@dataclass(frozen=True, slots=True)
class _Step:
    """An emitted token of a path, and the one before it."""

    before: _Step | None
    node: _Node
    frame: int
    log: float


@dataclass(slots=True, eq=False)
class _Path:
    """A hypothesis so far.

    log: its log-probability.
    gain: the worth of the phrases that are complete in it.
    state: where it stands in the phrases.
    strays: whether it has left its likeliest tokens for a phrase that is not complete.
    """

    node: _Node
    log: float
    last: _Step | None = None
    gain: float = 0.0
    state: int = Phrases.START
    credit: float = 0.0
    strays: bool = False

    @property
    def total(self) -> float:
        return self.log + self.gain + self.credit


class Beam:
    """The searches over one network."""

    def __init__(self, network: BeamNetwork, vocabulary: Vocabulary, *, max_symbols: int) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._blank = vocabulary.blank_id
        self._max_symbols = max_symbols
        self._texts = [fold(piece.replace(WORD_START, " ")) for piece in vocabulary.pieces]

    def alternatives(
        self, frames: BeamFrames, start: SearchState, most: int, phrases: Phrases | None = None
    ) -> list[_Path]:
        """Return the likeliest paths that differ in more than case and punctuation, the best first."""
        paths = [_Path(_Node(start.token, None, "", start), 0.0)]
        for frame in range(len(frames)):
            paths = self._step_wide(frames, frame, paths, max(BEAM, most + 2), phrases)
        return sorted(paths, key=lambda path: -path.total)

    def prefer(self, frames: BeamFrames, start: SearchState, greedy: Hypothesis, phrases: Phrases) -> list[_Path]:
        """Return greedy paths with phrases in them, and without, the best first."""
        root = _Node(start.token, None, "", start)
        node = root
        for state in greedy.states:
            node = self._child(node, state.token)
            node.state = state
        paths = [_Path(root, 0.0)]
        for frame in range(len(frames)):
            paths = self._step_strict(frames, frame, paths, phrases)
        ended: list[_Path] = []
        for path in paths:
            gain = phrases.finish(path.state)
            if gain or not path.strays:
                path.gain, path.credit = path.gain + gain, 0.0
                ended.append(path)
        return sorted(ended, key=lambda path: -path.total)

    def hypothesis(self, path: _Path, first_frame: int) -> Hypothesis:
        """Return a path's tokens, with absolute frames, and the states behind them."""
        steps: list[_Step] = []
        step = path.last
        while step is not None:
            steps.append(step)
            step = step.before
        steps.reverse()
        self._predict([step.node for step in steps])
        tokens = tuple(
            Token(
                step.node.token,
                self._vocabulary.pieces[step.node.token],
                first_frame + step.frame * SUBSAMPLING,
                math.exp(step.log),
            )
            for step in steps
        )
        return Hypothesis(tokens, tuple(step.node.state for step in steps if step.node.state is not None))

    # -- one frame

    def _step_wide(
        self, frames: BeamFrames, frame: int, paths: list[_Path], width: int, phrases: Phrases | None
    ) -> list[_Path]:
        over: dict[str, _Path] = {}  # paths that are done with this frame, by wording
        for symbol in range(self._max_symbols + 1):
            self._score(frames, frame, [path.node for path in paths])
            longer: dict[str, _Path] = {}
            for path in paths:
                logs = self._row(path.node, frame)
                last = symbol == self._max_symbols
                rest = 0.0 if last else float(logs[self._blank])
                _join(over, _Path(path.node, path.log + rest, path.last, path.gain, path.state, path.credit))
                if last or not path.node.busy[frame - path.node.begin]:
                    continue
                for token in self._branches(logs, _FLOOR):
                    _join(longer, self._extend(path, token, float(logs[token]), frame, phrases))
            if not longer:
                break
            bar = max(path.total for path in over.values()) - _MARGIN
            paths = _best(longer, width, bar)
            if not paths:
                break
        return _best(over, width, max(path.total for path in over.values()) - _MARGIN)

    def _step_strict(self, frames: BeamFrames, frame: int, paths: list[_Path], phrases: Phrases) -> list[_Path]:
        over: dict[_Node, _Path] = {}
        for symbol in range(self._max_symbols + 1):
            self._score(frames, frame, [path.node for path in paths])
            longer: dict[_Node, _Path] = {}
            for path in paths:
                logs = self._row(path.node, frame)
                own = path.node.best[frame - path.node.begin]
                if symbol == self._max_symbols:
                    _keep(over, path)
                    continue
                if own == self._blank or path.credit > 0.0:
                    strays = path.strays or own != self._blank
                    rest = path.log + float(logs[self._blank])
                    _keep(over, _Path(path.node, rest, path.last, path.gain, path.state, path.credit, strays))
                if own != self._blank:
                    longest = self._extend(path, own, float(logs[own]), frame, phrases)
                    if not path.strays or longest.credit > 0.0 or longest.gain > path.gain:
                        longest.strays = path.strays and longest.gain == path.gain
                        _keep(longer, longest)
                if not path.node.busy[frame - path.node.begin]:
                    continue
                for token in self._branches(logs, _PHRASE_FLOOR, most=64):
                    if token == own:
                        continue
                    longest = self._extend(path, token, float(logs[token]), frame, phrases)
                    if longest.credit > 0.0:
                        longest.strays = True
                        _keep(longer, longest)
            if not longer:
                break
            bar = max(path.total for path in (*over.values(), *longer.values())) - _MARGIN
            paths = _best(longer, BEAM, bar)
        return _best(over, BEAM, max(path.total for path in over.values()) - _MARGIN)

    def _branches(self, logs: Floats, floor: float, most: int = _BRANCHES) -> Iterator[int]:
        """Yield the tokens that are likely enough, the likeliest first."""
        tokens = np.flatnonzero(logs > floor)
        order = tokens[np.argsort(-logs[tokens], kind="stable")] if len(tokens) > 1 else tokens
        yield from [token for token in order.tolist() if token != self._blank][:most]

    def _extend(self, path: _Path, token: int, log: float, frame: int, phrases: Phrases | None) -> _Path:
        node = self._child(path.node, token)
        longer = _Path(node, path.log + log, _Step(path.last, node, frame, log), path.gain, path.state, path.credit)
        if phrases is not None:
            step = phrases.advance(path.state, token)
            longer.state, longer.gain = step.state, path.gain + step.gain
            longer.credit = phrases.credit(step.state)
        return longer

    # -- the tree

    def _child(self, node: _Node, token: int) -> _Node:
        child = node.children.get(token)
        if child is None:
            text = self._texts[token]
            key = node.key + (text.lstrip(" ") if node.key.endswith(" ") or not node.key else text)
            child = node.children[token] = _Node(token, node, key, None)
        return child

    def _predict(self, nodes: Sequence[_Node]) -> None:
        """Give nodes their states; a node's parent has one before it is in the beam."""
        missing = list(dict.fromkeys(node for node in nodes if node.state is None))
        if not missing:
            return
        steps = [(node.token, node.parent.state) for node in missing if node.parent and node.parent.state]
        for node, state in zip(missing, self._network.predict_all(steps), strict=True):
            node.state = state

    def _score(self, frames: BeamFrames, frame: int, nodes: Sequence[_Node]) -> None:
        """Give nodes their scores at a frame, and at some that follow."""
        missing = [node for node in nodes if node.logs is None or not node.begin <= frame < node.begin + len(node.logs)]
        if not missing:
            return
        missing = list(dict.fromkeys(missing))
        self._predict(missing)
        end = min(len(frames), frame + frames.block)
        scores = frames.score_all(frame, end, [node.state for node in missing if node.state is not None])
        logs = scores - scores.max(axis=2, keepdims=True)
        with np.errstate(all="ignore"):
            logs -= np.log(np.exp(logs).sum(axis=2, keepdims=True))
        if not np.isfinite(logs[:, :, self._blank]).all():
            raise InferenceError("Expected finite scores from the joint, but got NaN or infinity.")
        best = logs.argmax(axis=2).tolist()
        busy = (logs[:, :, self._blank] < math.log1p(-math.exp(_PHRASE_FLOOR))).tolist()
        for number, node in enumerate(missing):
            node.begin, node.logs, node.best, node.busy = frame, logs[number], best[number], busy[number]

    def _row(self, node: _Node, frame: int) -> Floats:
        assert node.logs is not None, "it was scored"
        row: Floats = node.logs[frame - node.begin]
        return row


def _join(paths: dict[str, _Path], path: _Path) -> None:
    """Add a path; of two with one wording the likelier stays, and what both say together is its probability."""
    other = paths.get(path.node.key)
    if other is None:
        paths[path.node.key] = path
        return
    better, worse = (path, other) if path.total > other.total else (other, path)
    better.log += math.log1p(math.exp(min(0.0, worse.log - better.log)))
    paths[path.node.key] = better


def _keep(paths: dict[_Node, _Path], path: _Path) -> None:
    """Add a path; of two with the same tokens the likelier stays."""
    other = paths.get(path.node)
    if other is None or path.total > other.total:
        paths[path.node] = path


def _best(paths: dict[str, _Path] | dict[_Node, _Path], most: int, bar: float) -> list[_Path]:
    kept = [path for path in paths.values() if path.total >= bar]
    return sorted(kept, key=lambda path: -path.total)[:most]
