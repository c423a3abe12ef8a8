"""From a training run to a release folder: whiten the code space, drop the training codes, write the model card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from headfield.io.store import Store
from headfield.models import release
from headfield.models.config import ImHeadConfig
from headfield.models.imhead import ImHead
from headfield.models.prior import BARE, BEARD
from headfield.models.whiten import whiten
from headfield.train import checkpoint
from headfield.train.card import model_card
from headfield.train.loop import CHECKPOINT


def hair_class(hair: str, beard: str) -> str:
    """Component of the prior that a head belongs to: bald (no hair at all), short, long or beard."""
    if beard == "full":
        return BEARD
    return {"bald": BARE, "receding": "short", "short": "short"}.get(hair, "long")


def load_run(run: Path) -> tuple[ImHead, torch.Tensor, dict]:
    """Model, code table (n, D) and meta data of a run's last checkpoint, code space as trained.

    Raises:
        WeightsError: No readable checkpoint there.
    """
    tensors, meta = checkpoint.read(run / CHECKPOINT)
    model = ImHead(ImHeadConfig(**meta["config"]), box=np.array(meta["box"]))
    model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
    model.centre.copy_(model.mean_anchors.mean(0))
    return model.eval().requires_grad_(False), tensors["codes"], meta


@torch.no_grad()
def silence(model: ImHead, channels: np.ndarray) -> None:
    """Make expression channels (E,) bool do nothing: what no training head played (a tongue) kept random weights."""
    where = torch.as_tensor(channels)
    model.deformer.gate.weight[:, where] = 0.0
    model.deformer.embed_expression.weight[:, where] = 0.0


def release_run(run: Path, store: Path, out: Path, *, card: str = "", half: bool = False) -> ImHead:
    """Write the release folder of a run; the training codes stay behind.

    Args:
        run: Folder of the run.
        store: Its store, for hair classes and head sizes.
        out: Release folder, must not exist.
        card: Model card; empty writes that of :func:`headfield.train.card.model_card`.
        half: Store weights in float16.
    """
    model, codes, meta = load_run(run)
    kept = Store(store)
    records = {record.id: record for record in kept.records}
    chosen = [records[name] for name in meta["identities"]]
    played = np.max([np.max(kept.open(record)["expressions"], axis=0) for record in chosen], axis=0) > 0
    silence(model, ~played)
    copies = len(codes) // len(chosen)
    classes = [hair_class(record.hair, record.beard) for record in chosen] * copies
    sizes = np.array([record.log_size for record in chosen] * copies)
    whiten(model, codes, classes, sizes)
    # heads outside the training families vary more in size than the families do
    model.prior = replace(model.prior, size_sd=max(model.prior.size_sd, 0.08))
    settings = {key: value for key, value in meta["train"].items() if key not in ("store", "out", "release")}
    facts = {
        "training": settings | {"step": meta["step"], "seconds": round(meta["seconds"]), "identities": len(chosen)}
    }
    release.write(out, model, card or model_card(out.name, meta, chosen, model.prior.names), facts, half=half)
    return model
