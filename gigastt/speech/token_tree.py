"""The tree of token sequences that are followed side by side through one window, and paths through it.

A node is a sequence. It has the predictor's state behind its last token, and the scores of the next frames, which are
computed for all nodes of a beam at once and some frames ahead: most frames are blank, whatever was said before. A path
is a node and the frames at which its tokens were emitted.

Owned by one search, on the recogniser's thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gigastt.errors import InferenceError
from gigastt.speech.model import Floats
from gigastt.speech.tokens import SUBSAMPLING, Hypothesis, SearchState, Token, Vocabulary

Mask: TypeAlias = npt.NDArray[np.bool_]  # [V]

LOG_FLOOR = math.log(1e-3)  # a token less likely is not looked at
_BUSY = math.log1p(-math.exp(LOG_FLOOR))  # log-probability of blank, above which no token can be likelier than that


class ScoredFrames(Protocol):
    """One window's encoder frames.

    block: how many are best scored at once.
    """

    @property
    def block(self) -> int: ...
    def __len__(self) -> int: ...
    def score_all(self, begin: int, end: int, states: Sequence[SearchState]) -> Floats:
        """Return the scores of some frames behind each state, [states, frames, V]: logits or log-probabilities."""
        ...


class Predictor(Protocol):
    """The network's memory of what was emitted."""

    def predict(self, token: int, state: SearchState | None) -> SearchState: ...


@dataclass(slots=True, eq=False)
class Node:
    """A token sequence.

    wording: its text, as `texts` of the tree spell it.
    begin: the frame of the first scores.
    logs: log-probabilities [frames, V].
    best: the likeliest token of each frame.
    blank: log-probability of blank at each frame.
    """

    token: int
    parent: Node | None
    wording: str
    state: SearchState | None
    children: dict[int, Node] = field(default_factory=dict)
    begin: int = 0
    logs: Floats | None = None
    best: Sequence[int] = ()
    blank: Sequence[float] = ()

    def row(self, frame: int) -> Floats:
        """Return the scores of a frame."""
        assert self.logs is not None, "it was scored"
        scores: Floats = self.logs[frame - self.begin]
        return scores

    def is_busy(self, frame: int) -> bool:
        """Whether some token is likely enough at a frame to be looked at."""
        return self.blank[frame - self.begin] < _BUSY


@dataclass(frozen=True, slots=True)
class Emitted:
    """A token of a path, and what was emitted before it."""

    before: Emitted | None
    node: Node
    frame: int
    log: float


class TokenTree:
    """All that is known of one window.

    Args:
        predictor: gives nodes their states.
        frames: give them their scores.
        start: the state before the window.
        vocabulary: the pieces, of which the last is blank.
        texts: what each token adds to a wording; spaces lie between words.
    """

    def __init__(
        self,
        predictor: Predictor,
        frames: ScoredFrames,
        start: SearchState,
        vocabulary: Vocabulary,
        texts: Sequence[str],
    ) -> None:
        self.root = Node(start.token, None, "", start)
        self.frames = frames
        self.blank_id = vocabulary.blank_id
        self.texts = texts
        self._predictor = predictor
        self._vocabulary = vocabulary

    def child(self, node: Node, token: int) -> Node:
        """Return a sequence with one token more."""
        child = node.children.get(token)
        if child is None:
            text = self.texts[token]
            wording = node.wording + (text.lstrip(" ") if node.wording.endswith(" ") or not node.wording else text)
            child = node.children[token] = Node(token, node, wording, None)
        return child

    def add(self, states: Iterable[SearchState]) -> None:
        """Take the states of a sequence that was found before."""
        node = self.root
        for state in states:
            node = self.child(node, state.token)
            node.state = state

    def score(self, frame: int, nodes: Iterable[Node]) -> None:
        """Give nodes their scores at a frame, and at some that follow.

        Raises:
            InferenceError: onnxruntime refused a step, or the scores are not numbers.
        """
        missing = [node for node in nodes if not node.begin <= frame < node.begin + len(node.best)]
        if not missing:
            return
        states = [self._state_of(node) for node in missing]
        scores = self.frames.score_all(frame, min(len(self.frames), frame + self.frames.block), states)
        logs = scores - scores.max(axis=2, keepdims=True)
        with np.errstate(all="ignore"):
            logs -= np.log(np.exp(logs).sum(axis=2, keepdims=True))
        blank = logs[:, :, self.blank_id]
        if not np.isfinite(blank).all():
            raise InferenceError("Expected finite scores from the joint, but got NaN or infinity.")
        best = logs.argmax(axis=2)
        for number, node in enumerate(missing):
            node.begin, node.logs = frame, logs[number]
            node.best, node.blank = best[number].tolist(), blank[number].tolist()

    def likely(self, node: Node, frame: int, floor: float = LOG_FLOOR, among: Mask | None = None) -> list[int]:
        """Return the tokens (of those that `among` marks) that are likely enough at a frame, the likeliest first.

        Blank is never among them.
        """
        row = node.row(frame)
        tokens = np.flatnonzero(row > floor if among is None else (row > floor) & among)
        ranked = tokens[np.argsort(-row[tokens], kind="stable")].tolist() if len(tokens) > 1 else tokens.tolist()
        return [token for token in ranked if token != self.blank_id]

    def hypothesis(self, last: Emitted | None, first_frame: int) -> Hypothesis:
        """Return the tokens of a path; `first_frame` is the absolute feature frame of frame 0."""
        emitted: list[Emitted] = []
        while last is not None:
            emitted.append(last)
            last = last.before
        emitted.reverse()
        pieces = self._vocabulary.pieces
        tokens = tuple(
            Token(one.node.token, pieces[one.node.token], first_frame + one.frame * SUBSAMPLING, math.exp(one.log))
            for one in emitted
        )
        return Hypothesis(tokens, tuple(self._state_of(one.node) for one in emitted))

    def _state_of(self, node: Node) -> SearchState:
        """Return a node's state; its parent has one, since it was scored before the node came to be."""
        if node.state is None:
            assert node.parent is not None, "the root has a state"
            node.state = self._predictor.predict(node.token, self._state_of(node.parent))
        return node.state
