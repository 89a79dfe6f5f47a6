"""Training on a CPU, against the clock: CTC first, then RNN-T with a little CTC.

    START=$(date +%s); END=$((START + 75*60))
    for r in 0 1; do
        taskset -c $r python -m tools.demo_model.training --start $START --end $END --world 2 --rank $r &
    done; wait

The learning rate follows the wall clock, so a run fits its budget, and a restart (also with another number of
processes) continues the same schedule; training is therefore not bit-reproducible. Weights are kept in float32, the
encoder computes in bfloat16 (with AVX512-BF16 about seven times the speed).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from tools.demo_model.batches import Batch, BatchSource, Recipe
from tools.demo_model.corpus import Corpus
from tools.demo_model.features import Tokens, train_tokens
from tools.demo_model.muon import Muon
from tools.demo_model.network import NetworkShape, Transducer
from tools.demo_model.rnnt_loss import joint_rnnt_loss
from tools.demo_model.validation import word_error_rates

CTC_SHARE = 0.15
EARLY_CTC_LOSS = 1.2  # per token: below it CTC has found the alignment, and clips may be long
EARLY_RECIPE = Recipe(budget=36.0, joined=0.0, longest=4.5, augmented=0.3)
_REPORT_STEPS = 50
_VALIDATION_CLIPS = 40


class MixedPrecision:
    """Float32 master weights for all, a bfloat16 encoder, one flat gradient for the all-reduce."""

    def __init__(self, model: Transducer, world: int) -> None:
        self._model, self._world = model, world
        for parameter in model.parameters():
            parameter.data = parameter.data.float()
        self._masters = [parameter.detach().clone() for parameter in model.parameters()]
        self._live = list(model.parameters())
        for part in (model.encoder, model.ctc, model.joint):
            part.bfloat16()
        # Hidden matrices of the encoder: Muon; embeddings, output layers, convolutions, vectors: AdamW.
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for (name, parameter), master in zip(model.named_parameters(), self._masters, strict=True):
            hidden = parameter.ndim == 2 and name.startswith("encoder.layers")
            (matrices if hidden else others).append(master)
        self._muon = Muon(matrices)
        self._adam = torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        self._flat = torch.zeros(sum(master.numel() for master in self._masters))
        offset = 0
        for master in self._masters:
            master.grad = self._flat[offset : offset + master.numel()].view_as(master)
            offset += master.numel()

    def publish(self) -> None:
        """Copy the master weights into the working ones."""
        with torch.no_grad():
            for parameter, master in zip(self._live, self._masters, strict=True):
                parameter.copy_(master)

    def step(self, learning_rate: float, clip: float) -> float:
        """Take the working gradients, move the master weights; return the gradient's norm."""
        for parameter, master in zip(self._live, self._masters, strict=True):
            if parameter.grad is None:
                master.grad.zero_()
            else:
                master.grad.copy_(parameter.grad)
                parameter.grad = None
        if self._world > 1:
            dist.all_reduce(self._flat)
            self._flat /= self._world
        norm = float(self._flat.norm())
        if not math.isfinite(norm):
            return norm
        if norm > clip:
            self._flat *= clip / norm
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self._muon.step(learning_rate)
        self.publish()
        return norm

    def state(self) -> dict[str, object]:
        """Return what a checkpoint needs to go on."""
        names = [name for name, _ in self._model.named_parameters()]
        weights = {name: master.clone() for name, master in zip(names, self._masters, strict=True)}
        return {"weights": weights, "adam": self._adam.state_dict(), "muon": self._muon.buffers}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from `state`."""
        weights, adam, buffers = state["weights"], state["adam"], state["muon"]
        assert isinstance(weights, dict)
        assert isinstance(buffers, dict)
        for (name, _), master in zip(self._model.named_parameters(), self._masters, strict=True):
            master.copy_(weights[name])
        self._adam.load_state_dict(adam)
        self._muon.buffers = buffers
        self.publish()


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean losses per token; RNN-T's is None before it joins."""

    ctc: Tensor
    rnnt: Tensor | None

    @property
    def total(self) -> Tensor:
        return self.ctc if self.rnnt is None else CTC_SHARE * self.ctc + self.rnnt


def compute_losses(model: Transducer, batch: Batch, blank: int, *, use_rnnt: bool, most_cells: int) -> Losses:
    """Run the network over a batch; RNN-T over as many of its utterances as `most_cells` lattice cells hold."""
    encoded, lengths = model.encoder(batch.features.bfloat16(), batch.lengths)
    encoded, lengths = encoded.transpose(1, 2), lengths.long()
    log_probabilities = model.ctc(encoded).float().log_softmax(-1).transpose(0, 1)
    ctc = functional.ctc_loss(
        log_probabilities,
        batch.targets,
        lengths,
        batch.target_lengths,
        blank=blank,
        reduction="none",
        zero_infinity=True,
    ).sum() / batch.target_lengths.sum().clamp(min=1)
    if not use_rnnt:
        return Losses(ctc, None)
    cells_each = int(lengths.max()) * (int(batch.target_lengths.max()) + 1)
    rows = torch.randperm(len(lengths))[: max(1, most_cells // cells_each)].sort().values
    target_lengths = batch.target_lengths[rows]
    prefix = torch.cat((torch.full((len(rows), 1), blank), batch.targets[rows]), 1)[:, : int(target_lengths.max()) + 1]
    zero = torch.zeros(1, len(rows), model.shape.predictor)
    dec, _, _ = model.predictor(prefix, zero, zero)
    joint = model.joint
    rnnt = joint_rnnt_loss(
        joint.from_encoder(encoded[rows]),
        joint.from_predictor(dec.bfloat16()),
        joint.score.weight,
        joint.score.bias,
        batch.targets[rows],
        lengths[rows],
        target_lengths,
        blank,
    )
    return Losses(ctc, rnnt / target_lengths.sum().clamp(min=1))


class Training:
    """One process's part of a run."""

    def __init__(self, options: argparse.Namespace, tokens: Tokens, corpus: Corpus, validation: Corpus) -> None:
        torch.manual_seed(options.seed)
        self._options = options
        self._tokens = tokens
        self._validation = validation
        self._model = Transducer(NetworkShape(vocabulary=tokens.size))
        self._precision = MixedPrecision(self._model, options.world)
        self._checkpoint: Path = options.work / "last.pt"
        self._step, self._heard_seconds = 0, 0.0
        if self._checkpoint.exists():
            saved = torch.load(self._checkpoint, weights_only=False)
            self._precision.restore(saved["precision"])
            self._step, self._heard_seconds = saved["step"], saved["heard_seconds"]
        self._precision.publish()
        self._early, self._mean_ctc = self._step == 0, 5.0
        torch.manual_seed(options.seed + 100 * options.rank + self._step)
        self._batches = BatchSource(corpus, tokens, options.seed + 1000 * options.rank + self._step)

    def run(self) -> None:
        """Train until the time is up."""
        options = self._options
        end = min(options.end, options.stop or options.end)
        next_validation = time.time() + options.validate_every
        while (elapsed := self._agree_on_time()) < end - options.start:
            progress = elapsed / (options.end - options.start)
            losses, norm = self._train_step(progress)
            if self._step % _REPORT_STEPS == 0:
                rnnt = None if losses.rnnt is None else round(float(losses.rnnt.detach()), 3)
                self._report(ctc=round(self._mean_ctc, 3), rnnt=rnnt, norm=round(norm, 2))
            if time.time() > next_validation:
                self._save_and_validate(progress)
                next_validation = time.time() + options.validate_every
        self._save_and_validate((end - options.start) / (options.end - options.start))

    def _train_step(self, progress: float) -> tuple[Losses, float]:
        options = self._options
        warm = min(1.0, (self._step + 1) / options.warmup)
        learning_rate = options.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-6
        joined = 0.3 if progress > 0.85 else 0.1  # large lattices mainly at the end
        recipe = EARLY_RECIPE if self._early else Recipe(options.budget, joined, 18.0, options.augment)
        batch = self._batches.next_batch(recipe)
        use_rnnt = progress >= options.rnnt_from
        losses = compute_losses(self._model, batch, self._tokens.blank, use_rnnt=use_rnnt, most_cells=options.cells)
        losses.total.backward()
        norm = self._precision.step(learning_rate, 5.0 if self._early else 1.0)
        self._step += 1
        self._heard_seconds += batch.seconds * options.world
        self._mean_ctc = 0.98 * self._mean_ctc + 0.02 * float(losses.ctc.detach())
        return losses, norm

    def _agree_on_time(self) -> float:
        """Return the seconds since the start; one clock and one phase for all processes."""
        early = self._early and self._mean_ctc > EARLY_CTC_LOSS
        shared = torch.tensor([time.time() - self._options.start, float(early)], dtype=torch.float64)
        if self._options.world > 1:
            dist.broadcast(shared, 0)
        self._early = bool(shared[1])
        return float(shared[0])

    def _save_and_validate(self, progress: float) -> None:
        if self._options.rank != 0:
            return
        unfinished = self._checkpoint.with_suffix(".part")
        torch.save(
            {
                "precision": self._precision.state(),
                "shape": self._model.shape.to_dict(),
                "step": self._step,
                "heard_seconds": self._heard_seconds,
            },
            unfinished,
        )
        unfinished.replace(self._checkpoint)
        use_rnnt = progress >= self._options.rnnt_from
        self._report(**word_error_rates(self._model, self._validation, self._tokens, use_rnnt, _VALIDATION_CLIPS))

    def _report(self, **fields: object) -> None:
        if self._options.rank == 0:
            minutes = round((time.time() - self._options.start) / 60, 1)
            heard = round(self._heard_seconds / 3600, 2)
            line = {"minutes": minutes, "step": self._step, "hours_heard": heard, **fields}
            print(json.dumps(line, ensure_ascii=False), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--start", type=float, required=True, help="epoch seconds")
    parser.add_argument("--end", type=float, required=True, help="epoch seconds")
    parser.add_argument("--stop", type=float, default=0, help="leave early (epoch seconds), to go on later")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=400, help="steps")
    parser.add_argument("--rnnt-from", type=float, default=0.28, help="part of the time after which RNN-T joins")
    parser.add_argument("--budget", type=float, default=60, help="seconds of audio in a batch of one process")
    parser.add_argument("--cells", type=int, default=110_000, help="most RNN-T lattice cells in a step")
    parser.add_argument("--augment", type=float, default=0.3, help="part of the utterances that is augmented")
    parser.add_argument("--festival-share", type=float, default=0.68, help="part of the drawn clips")
    parser.add_argument("--validate-every", type=float, default=240, help="seconds")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--world", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.world > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29517")
        dist.init_process_group("gloo", rank=options.rank, world_size=options.world)
    corpus = Corpus(options.data, "train", options.festival_share)
    if options.rank == 0 and not (options.work / "tokens.model").exists():
        train_tokens([clip.text for clip in corpus.clips], options.work / "tokens")
    if options.world > 1:
        dist.barrier()
    Training(options, Tokens(options.work / "tokens.model"), corpus, Corpus(options.data, "dev")).run()


if __name__ == "__main__":
    main()
