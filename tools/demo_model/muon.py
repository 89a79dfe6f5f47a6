"""Muon: momentum whose matrices are orthogonalised by a Newton-Schulz iteration in bfloat16 (K. Jordan 2024).

Scaled so that one learning rate serves both it and AdamW. AdamW alone stayed on the all-blank plateau of CTC for
1500 steps; with Muon for the encoder's matrices training left it after 250.
"""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_SCALE = 0.3


def orthogonalise(gradients: Tensor) -> Tensor:
    """Return nearly orthogonal matrices with the singular vectors of [count, rows, columns]."""
    matrices = gradients.bfloat16()
    tall = matrices.shape[1] > matrices.shape[2]
    if tall:
        matrices = matrices.transpose(1, 2)
    matrices = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    linear, cubic, quintic = _COEFFICIENTS
    for _ in range(_STEPS):
        square = matrices @ matrices.transpose(1, 2)
        matrices = linear * matrices + (cubic * square + quintic * (square @ square)) @ matrices
    return (matrices.transpose(1, 2) if tall else matrices).float()


class Muon:
    """An optimiser for matrices; those of one shape are one batched product."""

    def __init__(self, matrices: list[Tensor], momentum: float = 0.95, decay: float = 0.02) -> None:
        self._momentum = momentum
        self._decay = decay
        self._groups: dict[tuple[int, int], list[Tensor]] = {}
        for matrix in matrices:
            self._groups.setdefault((matrix.shape[0], matrix.shape[1]), []).append(matrix)
        self.buffers = {shape: torch.zeros(len(group), *shape) for shape, group in self._groups.items()}

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every matrix along its orthogonalised momentum."""
        for shape, group in self._groups.items():
            gradients = torch.stack([matrix.grad for matrix in group])
            buffer = self.buffers[shape]
            buffer.lerp_(gradients, 1 - self._momentum)
            updates = orthogonalise(gradients.lerp(buffer, self._momentum))
            scale = _SCALE * max(shape) ** 0.5 * learning_rate
            for matrix, update in zip(group, updates, strict=True):
                matrix.mul_(1 - learning_rate * self._decay).add_(update, alpha=-scale)
