"""Check the RNN-T loss and its gradients against the definition: a plain double loop under autograd, in float64.

python -m tools.demo_model.check_rnnt_loss
"""

from __future__ import annotations

import torch
from torch import Tensor

from tools.demo_model.rnnt_loss import joint_rnnt_loss


def slow_loss(scores: Tensor, targets: Tensor, frames: Tensor, labels: Tensor) -> Tensor:
    """Sum over utterances of the negative log likelihood, cell by cell."""
    blank = scores.shape[3] - 1
    total = torch.zeros((), dtype=scores.dtype)
    for row in range(len(frames)):
        log = scores[row].log_softmax(-1)
        alpha: dict[tuple[int, int], Tensor] = {}
        for t in range(int(frames[row])):
            for u in range(int(labels[row]) + 1):
                ways = [alpha[t - 1, u] + log[t - 1, u, blank]] if t else []
                if u:
                    ways.append(alpha[t, u - 1] + log[t, u - 1, targets[row, u - 1]])
                alpha[t, u] = torch.logsumexp(torch.stack(ways), 0) if ways else torch.zeros((), dtype=scores.dtype)
        t, u = int(frames[row]) - 1, int(labels[row])
        total = total - alpha[t, u] - log[t, u, blank]
    return total


def main() -> None:
    torch.manual_seed(0)
    shapes = ((3, 6, 7), (3, 5, 7), (5, 7), (5,))
    exact = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    encoded, dec, weight, bias = exact
    targets = torch.randint(0, 4, (3, 4))
    frames, labels = torch.tensor([6, 4, 5]), torch.tensor([4, 2, 0])
    scores = torch.relu(encoded[:, :, None] + dec[:, None]) @ weight.t() + bias
    expected = slow_loss(scores, targets, frames, labels)
    expected.backward()
    leaves = [leaf.detach().float().requires_grad_() for leaf in exact]
    loss = joint_rnnt_loss(leaves[0], leaves[1], leaves[2], leaves[3], targets, frames, labels, blank=4)
    loss.backward()
    gaps = [float((leaf.grad - wanted.grad).abs().max()) for leaf, wanted in zip(leaves, exact, strict=True)]
    print(f"loss {loss.item():.6f}, by definition {expected.item():.6f}; largest gap of a gradient {max(gaps):.2e}")
    if abs(loss.item() - expected.item()) > 1e-3 or max(gaps) > 1e-4:
        raise SystemExit("the loss is not what its definition says")


if __name__ == "__main__":
    main()
