"""How well expressions are deformed that were not trained on: the last rows of each identity, whose codes are known."""

from __future__ import annotations

import numpy as np
import torch

from headfield.frames import MM_PER_UNIT
from headfield.io.quantise import dequantise
from headfield.models.protocol import ForwardWarped, HeadModel, Warped, require
from headfield.nn.machine import denormals_flushed
from headfield.train.batches import Batches
from headfield.types import Codes

POINTS = 4096
"""Surface points of a head that are measured."""

MOVED = 1.0
"""Points that an expression moves by so much (mm) count as moved."""


@torch.no_grad()
@denormals_flushed()
def held_out_errors(model: HeadModel, codes: torch.Tensor, batches: Batches, most: int = 200) -> dict[str, float]:
    """Millimetres on held-out rows.

    Args:
        model: The model.
        codes: (n, D) codes, in the order of the batches.
        batches: What is trained on, with `held_rows` above 0.
        most: Heads at most, identities in turn.
    Returns:
        ``warp``: mean miss of the warp over surface points; ``moved``: over those that the expression moves, and
        ``way``: how far it moves them; ``surface``: mean |f| at moved points; ``surface_p90``: its 90th percentile.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("warp", "moved", "way", "surface")}
    here = [(index, arrays) for index, arrays in enumerate(batches.arrays) if arrays is not None][:most]
    each = -(-most // len(here))
    backward, forward = require(model, Warped, "Measuring held-out expressions"), None
    if backward.closed_form == "forward":  # the way back takes steps, so it is asked for fewer points
        forward = require(model, ForwardWarped, "Measuring held-out expressions")
    for index, arrays in here:
        for row in range(len(arrays["expressions"]) - min(each, batches.drawing.held_rows), len(arrays["expressions"])):
            at = [dequantise(arrays[name][row, :POINTS], batches.store.box) for name in ("points", "canonical")]
            posed, neutral = (torch.as_tensor(places, device=codes.device)[None] for places in at)
            valid = np.array(arrays["canonical_valid"][row, :POINTS])
            expression = torch.as_tensor(np.array(arrays["expressions"][row]), device=codes.device)[None]
            condition = model.condition(Codes(codes[index][None], expression))
            if forward is None:
                warped = backward.to_canonical(posed, condition)[0]
            else:
                warped = forward.from_canonical(neutral, condition)
            miss = MM_PER_UNIT * (warped - (neutral if forward is None else posed)).norm(dim=-1)[0].cpu().numpy()
            way = MM_PER_UNIT * (posed - neutral).norm(dim=-1)[0].cpu().numpy()
            some = slice(None, None, 1 if forward is None else 4)
            value = MM_PER_UNIT * model.signed_distance(posed[:, some], condition).abs()[0].cpu().numpy()
            moved = valid & (way > MOVED)
            for name, values in (("warp", miss[valid]), ("moved", miss[moved]), ("way", way[moved])):
                found[name].append(values)
            found["surface"].append(value[moved[some]])
    columns = {name: np.concatenate(values) for name, values in found.items()}
    errors = {name: float(values.mean()) for name, values in columns.items()}
    return errors | {"surface_p90": float(np.quantile(columns["surface"], 0.9))}
