"""Preference: the greedy hypothesis with some of its words replaced by phrases that are expected.

Paths go on greedily, and leave what the model likes best only along a phrase; one that leaves it and does not bring the
phrase to its end is given up. So nothing but a phrase can come in, and it has to be likelier than what it replaces by
no less than its credit. What comes out replaces words by words, at the same time in the audio: a hypothesis in which
words only come or go is refused.

    greedy  ──▁Позвони──▁Тикут─────узов──у──▁вечером
                  └─те──▁Ку──ту──зов──у──────▁вечером      a path that strays, until its phrase is complete
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from gigastt.hotwords import fold
from gigastt.speech.phrases import Phrases
from gigastt.speech.token_tree import Emitted, Node, TokenTree
from gigastt.speech.tokens import Hypothesis, group_words
from gigastt.transcript import Word

BEAM = 6
_MARGIN = 8.0  # a path so much worse than the best is given up, in natural logarithms
_MOST_SKIPS = 2  # frames in a row at which a path that strays may wait where it would emit a token
_SHIFT_SECONDS = 0.24  # that a phrase may begin or end before or behind the words it replaces


@dataclass(slots=True, eq=False)
class _Path:
    """A hypothesis so far.

    log: the logarithm of its probability.
    gain: the worth of the phrases that are complete in it.
    state, credit: where it stands in the phrases, and what that is worth.
    strays: whether it has left its likeliest tokens for a phrase that is not complete.
    is_greedy: whether it never has.
    skips: frames since its last token at which it would have emitted another one than it wants.
    """

    node: Node
    log: float = 0.0
    last: Emitted | None = None
    gain: float = 0.0
    state: int = Phrases.START
    credit: float = 0.0
    strays: bool = False
    is_greedy: bool = True
    skips: int = 0

    @property
    def total(self) -> float:
        return self.log + self.gain + self.credit

    def wait(self, log: float, skips: int) -> _Path:
        """Return this path one frame later."""
        told = self.gain, self.state, self.credit
        strays, is_greedy = self.strays or skips > self.skips, self.is_greedy and skips == self.skips
        return _Path(self.node, self.log + log, self.last, *told, strays, is_greedy, skips)


def prefer(tree: TokenTree, greedy: Hypothesis, phrases: Phrases, first_frame: int, max_symbols: int) -> Hypothesis:
    """Return the hypothesis that phrases make best; `greedy` itself where they change no word.

    Args:
        greedy: what the greedy search has found in the same window, with at least one token.
        first_frame: the absolute feature frame of frame 0.
        max_symbols: tokens that one frame may emit.
    """
    tree.add(greedy.states)
    paths = [_Path(tree.root)]
    for frame in range(len(tree.frames)):
        paths = _step(tree, frame, paths, phrases, max_symbols)
    ended: list[tuple[float, _Path]] = []
    for path in paths:
        gain = phrases.finish(path.state)
        if not path.strays or (gain and not path.skips):
            ended.append((path.log + path.gain + gain, path))
    before = group_words(greedy.tokens)
    for _, path in sorted(ended, key=lambda one: -one[0]):
        if path.is_greedy:
            break
        hypothesis = tree.hypothesis(path.last, first_frame)
        if _only_replaces(before, group_words(hypothesis.tokens), phrases):
            return hypothesis
    return greedy


def _step(tree: TokenTree, frame: int, paths: list[_Path], phrases: Phrases, max_symbols: int) -> list[_Path]:
    """Take every path over one frame."""
    tree.score(frame, [path.node for path in paths])
    if not any(path.node.is_busy(frame) for path in paths):
        for path in paths:
            path.log += path.node.blank[frame - path.node.begin]
        return paths
    over: dict[Node, _Path] = {}  # that are done with the frame
    for symbol in range(max_symbols + 1):
        tree.score(frame, [path.node for path in paths])
        longer: dict[Node, _Path] = {}
        for path in paths:
            if symbol == max_symbols:
                _keep(over, path)
                continue
            node = path.node
            own = node.best[frame - node.begin]
            skips = path.skips + (own != tree.blank_id)
            if own == tree.blank_id or (path.credit > 0.0 and skips <= _MOST_SKIPS):
                _keep(over, path.wait(node.blank[frame - node.begin], skips))
            if own != tree.blank_id or node.is_busy(frame):
                _go_on(tree, frame, path, own, phrases, longer)
        if not longer:
            break
        paths = _best(longer, max(path.total for path in (*over.values(), *longer.values())) - _MARGIN)
    return _best(over, max(path.total for path in over.values()) - _MARGIN)


def _go_on(tree: TokenTree, frame: int, path: _Path, own: int, phrases: Phrases, longer: dict[Node, _Path]) -> None:
    """Add what a path becomes with its likeliest token, and with those that spell a phrase."""
    node = path.node
    row = node.row(frame)
    tokens = dict.fromkeys([own] if own != tree.blank_id else [])
    if node.is_busy(frame):
        among = phrases.openings if path.state == phrases.idle else None
        tokens |= dict.fromkeys(tree.likely(node, frame, among=among))
    for token in tokens:
        step = phrases.advance(path.state, token)
        if step.gain and path.skips:  # it waited for more of the phrase, which did not come
            continue
        if token == own:
            strays = path.strays and not step.gain
            if strays and not step.credit:
                continue
        elif step.credit or token == phrases.word_start:
            strays = True
        else:
            continue
        child, log = tree.child(node, token), float(row[token])
        told = path.gain + step.gain, step.state, step.credit, strays, path.is_greedy and token == own
        _keep(longer, _Path(child, path.log + log, Emitted(path.last, child, frame, log), *told))


def _keep(paths: dict[Node, _Path], path: _Path) -> None:
    """Add a path; of two with the same tokens the greedy one stays, else the better."""
    other = paths.get(path.node)
    if other is None or (path.is_greedy, path.total) > (other.is_greedy, other.total):
        paths[path.node] = path


def _best(paths: dict[Node, _Path], bar: float) -> list[_Path]:
    """Return the best paths; the greedy one always stays, as what the others are compared with."""
    ranked = sorted(paths.values(), key=lambda path: -path.total)
    return [path for rank, path in enumerate(ranked) if path.is_greedy or (rank < BEAM and path.total >= bar)]


def _only_replaces(before: Sequence[Word], after: Sequence[Word], phrases: Phrases) -> bool:
    """Tell whether words are only replaced by phrases, and the words beside them, that are said at the same time."""
    old_texts, new_texts = ([fold(word.text).strip() for word in words] for words in (before, after))
    matcher = SequenceMatcher(a=old_texts, b=new_texts, autojunk=False)
    of_phrases = phrases.find(new_texts)
    for kind, begin, end, new_begin, new_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        if kind != "replace" or of_phrases.isdisjoint(range(new_begin, new_end)):
            return False
        if new_end - new_begin > end - begin and new_end - 1 not in of_phrases:  # a word came in behind a phrase
            return False
        old, new = before[begin:end], after[new_begin:new_end]
        if max(abs(old[0].start - new[0].start), abs(old[-1].end - new[-1].end)) > _SHIFT_SECONDS:
            return False
    return True
