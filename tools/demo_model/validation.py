"""Validation: greedy word error rates on held-out clips while training."""

from __future__ import annotations

import jiwer
import torch
from torch import Tensor

from tools.demo_model.batches import collate
from tools.demo_model.corpus import Corpus
from tools.demo_model.features import Tokens, log_mel
from tools.demo_model.network import Transducer
from tools.demo_model.synthesis import normalise

_CLIPS_AT_ONCE = 10
_MOST_SYMBOLS = 3  # in one encoder frame


@torch.no_grad()
def search(model: Transducer, encoded: Tensor, blank: int) -> list[int]:
    """Search [frames, width] greedily; return token ids."""
    zero = torch.zeros(1, 1, model.shape.predictor)
    dec, hidden, cell = model.predictor(torch.tensor([[blank]]), zero, zero)
    tokens: list[int] = []
    for frame in range(len(encoded)):
        for _ in range(_MOST_SYMBOLS):
            scores = model.joint.lattice(encoded[None, frame : frame + 1].bfloat16(), dec.bfloat16())
            token = int(scores[0, 0, 0].argmax())
            if token == blank:
                break
            tokens.append(token)
            dec, hidden, cell = model.predictor(torch.tensor([[token]]), hidden, cell)
    return tokens


@torch.no_grad()
def word_error_rates(
    model: Transducer, corpus: Corpus, tokens: Tokens, use_rnnt: bool, most_clips: int
) -> dict[str, object]:
    """Return percentages for each synthesiser, by CTC and (if it has begun) by RNN-T."""
    model.eval()
    rates: dict[str, object] = {}
    for engine in ("espeak", "festival"):
        clips = sorted(
            [clip for clip in corpus.clips if clip.engine == engine][:most_clips], key=lambda clip: clip.length
        )
        references, by_ctc, by_rnnt = [], [], []
        for begin in range(0, len(clips), _CLIPS_AT_ONCE):
            part = clips[begin : begin + _CLIPS_AT_ONCE]
            batch = collate([log_mel(torch.from_numpy(corpus.waveform(clip))) for clip in part], [[0]] * len(part))
            encoded, lengths = model.encoder(batch.features.bfloat16(), batch.lengths)
            encoded = encoded.transpose(1, 2)
            best = model.ctc(encoded).argmax(-1)
            for row, clip in enumerate(part):
                frames = int(lengths[row])
                collapsed = torch.unique_consecutive(best[row, :frames]).tolist()
                references.append(normalise(clip.text))
                by_ctc.append(normalise(tokens.decode([token for token in collapsed if token != tokens.blank])))
                if use_rnnt:
                    found = search(model, encoded[row, :frames], tokens.blank)
                    by_rnnt.append(normalise(tokens.decode(found)))
        rates[f"{engine}_ctc"] = round(100 * jiwer.wer(references, by_ctc), 2)
        if use_rnnt:
            rates[f"{engine}_rnnt"] = round(100 * jiwer.wer(references, by_rnnt), 2)
    model.train()
    return rates
