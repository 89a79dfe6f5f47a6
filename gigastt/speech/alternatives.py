"""Alternatives: what else may have been said, by a beam over the transducer.

The likeliest token sequences, one for each wording: case, punctuation and ways of spelling make no alternative of their
own, so that the beam is not full of commas. On the recogniser's thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gigastt.speech.token_tree import Emitted, Node, TokenTree

LEAST_BEAM = 6
_MARGIN = 10.0  # a path so much less likely than the best is given up, in natural logarithms
_FLOOR = math.log(2e-3)  # a token less likely is not followed
_BRANCHES = 4  # tokens with which a path may go on at one frame


@dataclass(slots=True, eq=False)
class _Path:
    """A hypothesis so far, and the logarithm of its probability: of all paths that were joined in it."""

    node: Node
    log: float
    last: Emitted | None = None


def find_alternatives(tree: TokenTree, most: int, max_symbols: int) -> list[Emitted | None]:
    """Return the last tokens of the likeliest paths with different wordings, the best first.

    Args:
        most: how many are wanted, about.
        max_symbols: tokens that one frame may emit.
    """
    width = max(LEAST_BEAM, most + 2)
    paths = [_Path(tree.root, 0.0)]
    for frame in range(len(tree.frames)):
        paths = _step(tree, frame, paths, width, max_symbols)
    return [path.last for path in paths]


def _step(tree: TokenTree, frame: int, paths: list[_Path], width: int, max_symbols: int) -> list[_Path]:
    """Take every path over one frame."""
    tree.score(frame, [path.node for path in paths])
    if not any(path.node.is_busy(frame) for path in paths):
        for path in paths:
            path.log += path.node.blank[frame - path.node.begin]
        return paths
    over: dict[str, _Path] = {}  # that are done with the frame, by wording
    for symbol in range(max_symbols + 1):
        tree.score(frame, [path.node for path in paths])
        longer: dict[str, _Path] = {}
        for path in paths:
            node, is_full = path.node, symbol == max_symbols
            rest = 0.0 if is_full else node.blank[frame - node.begin]
            _join(over, _Path(node, path.log + rest, path.last))
            if is_full or not node.is_busy(frame):
                continue
            row = node.row(frame)
            for token in tree.likely(node, frame, _FLOOR)[:_BRANCHES]:
                child, log = tree.child(node, token), float(row[token])
                _join(longer, _Path(child, path.log + log, Emitted(path.last, child, frame, log)))
        bar = max(path.log for path in over.values()) - _MARGIN
        paths = _best(longer, width, bar)
        if not paths:
            break
    return _best(over, width, max(path.log for path in over.values()) - _MARGIN)


def _join(paths: dict[str, _Path], path: _Path) -> None:
    """Add a path; of two with one wording the likelier stays, with the probability of both."""
    wording = path.node.wording.rstrip(" ")
    other = paths.get(wording)
    if other is not None:
        path, other = (path, other) if path.log > other.log else (other, path)
        path.log += math.log1p(math.exp(other.log - path.log))
    paths[wording] = path


def _best(paths: dict[str, _Path], most: int, bar: float) -> list[_Path]:
    kept = [path for path in paths.values() if path.log >= bar]
    return sorted(kept, key=lambda path: -path.log)[:most]
