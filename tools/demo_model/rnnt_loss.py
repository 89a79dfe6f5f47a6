"""RNN-T loss with the joint inside it, in plain PyTorch, with its exact gradient (Graves 2012).

The joint's [T, U, V] lattice is by far the largest tensor of a transducer. Here the cells of all utterances are
packed (no padding) and worked off in blocks that stay in the processor's cache:

1. logits of each cell → log-probabilities of the blank and of the next label;
2. forward-backward over the anti-diagonals of all lattices at once;
3. the gradient (softmax × occupancy - [blank] - [label]) goes straight back through the joint, block by block.

`check_rnnt_loss` compares it with a plain double loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_NEVER = -1e30
_BLOCK = 4096  # cells at a time: fits the cache, and one matrix shape (oneDNN compiles for each)


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Log likelihood [batch], and the posterior of each blank and each label arc [batch, T, U]."""

    log_likelihood: Tensor
    blank: Tensor
    label: Tensor


def occupancies(log_blank: Tensor, log_label: Tensor, frames: Tensor, labels: Tensor) -> Occupancy:
    """Run forward-backward.

    Args:
        log_blank, log_label: log-probabilities [batch, T, U]; U counts states, cells outside hold -1e30.
        frames, labels: of each utterance [batch].
    """
    batch, most_frames, states = log_blank.shape
    blank, label = _skew(log_blank), _skew(log_label)
    diagonals, rows = most_frames + states - 1, torch.arange(batch)
    alpha = log_blank.new_full((diagonals, batch, states), _NEVER)
    alpha[0, :, 0] = 0.0
    for k in range(1, diagonals):
        stay = alpha[k - 1] + blank[k - 1]
        alpha[k, :, 0] = stay[:, 0]
        torch.logaddexp(stay[:, 1:], alpha[k - 1, :, :-1] + label[k - 1, :, :-1], out=alpha[k, :, 1:])
    # beta[k, b, u]: from cell (k - u, u) to the end; the last blank ends in a virtual cell of weight 1
    last = frames + labels - 1
    beta = log_blank.new_full((diagonals + 1, batch, states + 1), _NEVER)
    after_blank = log_blank.new_full((diagonals, batch, states), _NEVER)
    final = torch.zeros(diagonals, batch, states, dtype=torch.bool)
    final[last, rows, labels] = True
    for k in range(diagonals - 1, -1, -1):
        after_blank[k] = beta[k + 1, :, :-1].masked_fill(final[k], 0.0)
        torch.logaddexp(after_blank[k] + blank[k], beta[k + 1, :, 1:] + label[k], out=beta[k, :, :-1])
    log_likelihood = alpha[last, rows, labels] + blank[last, rows, labels]
    base = alpha - log_likelihood[None, :, None]
    return Occupancy(
        log_likelihood,
        _unskew((base + blank + after_blank).clamp(max=0.0).exp(), most_frames),
        _unskew((base + label + beta[1:, :, 1:]).clamp(max=0.0).exp(), most_frames),
    )


def joint_rnnt_loss(
    encoded: Tensor,
    dec: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    frames: Tensor,
    labels: Tensor,
    blank: int,
) -> Tensor:
    """Return the summed negative log likelihood.

    Args:
        encoded, dec: the two projections that the joint adds, [batch, T, J] and [batch, U + 1, J].
        weight, bias: its output layer, [V, J] and [V].
        targets: token ids [batch, U].
        frames, labels: lengths [batch].
    """
    loss: Tensor = _JointLoss.apply(encoded, dec, weight, bias, targets, frames, labels, blank)
    return loss


def _skew(cells: Tensor) -> Tensor:
    """Turn [B, T, U] to [T + U - 1, B, U]: out[t + u, b, u] = cells[b, t, u]; the others hold -1e30."""
    batch, frames, states = cells.shape
    padded = torch.cat((cells, cells.new_full((batch, 1, states), _NEVER)), 1)
    index = torch.arange(frames + states - 1)[:, None] - torch.arange(states)[None, :]
    index = index.where((index >= 0) & (index < frames), torch.tensor(frames))
    return padded.gather(1, index.unsqueeze(0).expand(batch, -1, -1)).transpose(0, 1).contiguous()


def _unskew(cells: Tensor, frames: int) -> Tensor:
    """Turn [T + U - 1, B, U] back to [B, T, U]."""
    states = cells.shape[2]
    index = torch.arange(frames)[:, None] + torch.arange(states)[None, :]
    return cells.transpose(0, 1).gather(1, index.unsqueeze(0).expand(cells.shape[1], -1, -1))


class _Packing:
    """Where the cells of each utterance lie among the packed ones; a multiple of the block in all."""

    def __init__(self, frames: Tensor, labels: Tensor) -> None:
        self.shapes = [(int(t), int(u) + 1) for t, u in zip(frames, labels, strict=True)]
        starts = [0]
        for t, u in self.shapes:
            starts.append(starts[-1] + t * u)
        self.slices = [slice(begin, end) for begin, end in pairwise(starts)]
        self.total = -(-starts[-1] // _BLOCK) * _BLOCK
        self.blocks = [slice(begin, begin + _BLOCK) for begin in range(0, self.total, _BLOCK)]

    def cells(self, packed: Tensor, row: int) -> Tensor:
        """View one utterance's packed values as [T, U, …]."""
        t, u = self.shapes[row]
        return packed[self.slices[row]].view(t, u, *packed.shape[1:])


class _JointLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        encoded: Tensor,
        dec: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        frames: Tensor,
        labels: Tensor,
        blank: int,
    ) -> Tensor:
        packing = _Packing(frames, labels)
        hidden = encoded.new_zeros(packing.total, encoded.shape[2])
        label = torch.zeros(packing.total, dtype=torch.long)
        for row, (t, u) in enumerate(packing.shapes):
            torch.add(encoded[row, :t, None], dec[row, None, :u], out=packing.cells(hidden, row))
            packing.cells(label, row)[:, : u - 1] = targets[row, : u - 1]
        hidden.relu_()

        # 1. log-probabilities of the blank and of the next label in each cell
        normaliser, at_blank, at_label = (torch.empty(packing.total) for _ in range(3))
        kept = []
        for block in packing.blocks:
            logits = functional.linear(hidden[block], weight, bias)
            kept.append(logits)
            torch.logsumexp(logits.float(), 1, out=normaliser[block])
            at_blank[block] = logits[:, blank]
            at_label[block] = logits.gather(1, label[block, None]).squeeze(1)
        at_blank -= normaliser
        at_label -= normaliser
        log_blank, log_label = (torch.full((len(frames), encoded.shape[1], dec.shape[1]), _NEVER) for _ in range(2))
        for row, (t, u) in enumerate(packing.shapes):
            log_blank[row, :t, :u] = packing.cells(at_blank, row)
            log_label[row, :t, : u - 1] = packing.cells(at_label, row)[:, : u - 1]

        # 2. forward-backward
        posterior = occupancies(log_blank, log_label, frames, labels)
        through_blank, through_label = torch.zeros(packing.total), torch.zeros(packing.total)
        for row, (t, u) in enumerate(packing.shapes):
            packing.cells(through_blank, row).copy_(posterior.blank[row, :t, :u])
            packing.cells(through_label, row)[:, : u - 1] = posterior.label[row, :t, : u - 1]

        # 3. the gradient, back through the joint; `hidden` becomes its own gradient
        through = through_blank + through_label
        weight_gradient, bias_gradient = (torch.zeros_like(part, dtype=torch.float32) for part in (weight, bias))
        for block, logits in zip(packing.blocks, kept, strict=True):
            gradient = torch.sub(logits, normaliser[block, None]).exp_().mul_(through[block, None])
            gradient[:, blank] -= through_blank[block]
            gradient.scatter_add_(1, label[block, None], -through_label[block, None])
            cast, part = gradient.to(weight.dtype), hidden[block]
            weight_gradient += (cast.t() @ part).float()
            bias_gradient += gradient.sum(0)
            part.copy_((cast @ weight).mul_(part > 0))
        encoded_gradient, dec_gradient = torch.zeros_like(encoded), torch.zeros_like(dec)
        for row, (t, u) in enumerate(packing.shapes):
            cells = packing.cells(hidden, row)
            encoded_gradient[row, :t] = cells.sum(1)
            dec_gradient[row, :u] = cells.sum(0)
        ctx.save_for_backward(
            encoded_gradient, dec_gradient, weight_gradient.to(weight.dtype), bias_gradient.to(bias.dtype)
        )
        return -posterior.log_likelihood.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        encoded, dec, weight, bias = ctx.saved_tensors
        return encoded * gradient, dec * gradient, weight * gradient, bias * gradient, None, None, None, None
