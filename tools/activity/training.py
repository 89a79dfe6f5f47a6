"""Train the network: `python -m tools.activity.training --mixtures 'work/train_*.npz' --dev work/dev.npz --out FILE`.

Needs torch. Reads what tools.activity.mixtures wrote; writes weights that tools.activity.export turns into the
shipped file.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.activity.network import BANDS, HIDDEN, INNER, Array, Weights, follow_floor, network_input

CHECK_EVERY = 5  # epochs
_NAMES = {
    "inp_w": "dense.weight",
    "inp_b": "dense.bias",
    "gru_w": "gru.weight_ih_l0",
    "gru_b": "gru.bias_ih_l0",
    "gru_u": "gru.weight_hh_l0",
    "gru_c": "gru.bias_hh_l0",
    "out_w": "out.weight",
    "out_b": "out.bias",
}


class ActivityNetwork(nn.Module):
    """Dense layer, GRU, one logit: [segments, blocks, 192] to [segments, blocks]."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3 * BANDS, INNER)
        self.gru = nn.GRU(INNER, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN + INNER, 1)

    def forward(self, seen: Tensor) -> Tensor:
        dense = torch.relu(self.dense(seen))
        states, _ = self.gru(dense)
        return self.out(torch.cat([states, dense], dim=-1)).squeeze(-1)

    def to_weights(self) -> Weights:
        """Return the parameters by the names of the numpy reference."""
        state = {name: value.detach().numpy().copy() for name, value in self.state_dict().items()}
        arrays = {name: state[key] for name, key in _NAMES.items()}
        for name in ("inp_w", "gru_w", "gru_u"):
            arrays[name] = np.ascontiguousarray(arrays[name].T)
        arrays["out_w"] = arrays["out_w"][0]
        return Weights(**arrays)

    def from_weights(self, weights: Weights) -> None:
        """Set the parameters."""
        state = {}
        for name, key in _NAMES.items():
            value = getattr(weights, name)
            value = value[None] if name == "out_w" else value.T
            state[key] = torch.from_numpy(np.ascontiguousarray(value))
        self.load_state_dict(state)


@dataclass(frozen=True, slots=True)
class Mixtures:
    """Network input [segments, blocks, 192], labels and loss weights [segments, blocks]."""

    seen: Tensor
    labels: Tensor
    weights: Tensor

    @classmethod
    def load(cls, paths: list[Path]) -> Mixtures:
        parts = [np.load(path) for path in paths]
        pairs, labels, weights = (
            np.concatenate([part[name] for part in parts]).astype(np.float32) for name in ("pairs", "labels", "weights")
        )
        seen: Array = network_input(pairs, follow_floor(pairs))
        return cls(torch.from_numpy(seen), torch.from_numpy(labels), torch.from_numpy(weights))


def augment(seen: Tensor, rng: np.random.Generator) -> Tensor:
    """Change the level and equaliser of the absolute part, and hide some bands; the relative part is invariant."""
    places = torch.linspace(0, np.pi, BANDS)
    waves = torch.stack([torch.cos(order * places) for order in range(4)])
    equaliser = (torch.randn(len(seen), 4) * 0.15) @ waves
    seen = seen.clone()
    seen[..., 2 * BANDS :] = (seen[..., 2 * BANDS :] + equaliser[:, None]).clamp(min=-1.5)
    if rng.random() < 0.5:
        count = int(rng.integers(1, 14))
        first = int(rng.integers(0, BANDS - count))
        for part, value in enumerate((0.0, 0.0, -1.5)):
            seen[..., part * BANDS + first : part * BANDS + first + count] = value
    return seen


def train(arguments: argparse.Namespace) -> None:
    """Run all epochs; the weights are written after every check."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    mixtures = Mixtures.load(sorted(Path().glob(arguments.mixtures)))
    dev = Mixtures.load([arguments.dev])
    network = ActivityNetwork()
    if arguments.init:
        network.from_weights(Weights.load(arguments.init))
    optimiser = torch.optim.AdamW(network.parameters(), lr=arguments.rate, weight_decay=1e-3)
    steps = max(1, len(mixtures.seen) // arguments.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, arguments.rate, total_steps=steps * arguments.epochs, pct_start=0.15
    )
    for epoch in range(1, arguments.epochs + 1):
        order = rng.permutation(len(mixtures.seen))
        total = 0.0
        for step in range(steps):
            drawn = order[step * arguments.batch : (step + 1) * arguments.batch]
            labels = mixtures.labels[drawn]
            weights = mixtures.weights[drawn] * (1 + (arguments.positive - 1) * labels)
            logits = network(augment(mixtures.seen[drawn], rng))
            loss = functional.binary_cross_entropy_with_logits(logits, labels, weight=weights)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        if epoch % CHECK_EVERY == 0 or epoch == arguments.epochs:
            print(json.dumps({"epoch": epoch, "loss": round(total / steps, 4), **check(network, dev)}), flush=True)
            network.to_weights().save(arguments.out)


def check(network: ActivityNetwork, dev: Mixtures) -> dict[str, float]:
    """Return misses and false alarms at three thresholds, shares of blocks."""
    with torch.no_grad():
        probability = torch.sigmoid(network(dev.seen))
    speech = dev.labels > 0
    figures = {}
    for threshold in (0.3, 0.5, 0.7):
        active = probability > threshold
        figures[f"miss_{threshold}"] = round(float((~active & speech).sum() / speech.sum()), 4)
        figures[f"false_alarm_{threshold}"] = round(float((active & ~speech).sum() / (~speech).sum()), 4)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixtures", required=True, help="a pattern of .npz files")
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="weights to start from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=6e-3)
    parser.add_argument("--positive", type=float, default=2.0, help="weight of speech blocks in the loss")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
