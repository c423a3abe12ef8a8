"""From a training run to a release folder: whiten the code space, drop the training codes, write the model card."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from headfield.errors import StoreError, WeightsError
from headfield.io.store import Record, Store
from headfield.models import release
from headfield.models.architectures import architecture
from headfield.models.prior import BARE, BEARD
from headfield.models.protocol import V1_TILT, TrainableModel
from headfield.train import checkpoint
from headfield.train.card import model_card
from headfield.train.trainer import CHECKPOINT, FIRST
from headfield.train.whiten import whiten, whiten_expressions

_DEFORMER = """
## The expression deformer, trained again

The deformer and the weights of its two ambient coordinates were trained on by themselves, on whole faces of up to
twenty channels whose eyes turn (`headfield synth --drawing faces`; {people} of the identities above, {step:,} steps,
{hours:.1f} core-hours; `headfield train --only deformer`). All other weights, and with them every head at rest, are
those of the model above, bit for bit.
"""


COMPONENTS = {
    # truth v1, and what a curated scan's own fit says
    "bald": BARE,
    "short": "short",
    "receding": "short",
    "long": "long",
    "medium": "long",
    "neck": "long",
    "bun": "long",
    "fringe": "long",
    "parting": "long",
    "beard": BEARD,
    "unknown": None,  # a scan's hair that no class explained: in the mean of all heads only
    # truth v2. Every component is one more short fit of each scan, so none is added: a cap lies as near to the skin as
    # cropped hair, and would teach the bald component, by which "no hair here" is told, to grow
    "buzz": "short",
    "cap": "short",
}
"""Component of the prior of each hair class that a store may name."""


def hair_class(hair: str, beard: str) -> str | None:
    """Component of the prior that a head belongs to: bald (no hair at all), short, long, beard, or none of them.

    Args:
        hair, beard: Classes of a store's record.
    Raises:
        StoreError: No component is known for this hair class.
    """
    if hair not in COMPONENTS:
        raise StoreError(
            f"the store names the hair class {hair!r}; known are {', '.join(COMPONENTS)}. Add it to COMPONENTS in "
            "train/release.py, or correct the store's records."
        )
    return BEARD if beard == "full" else COMPONENTS[hair]


def load_run(run: Path) -> tuple[TrainableModel, dict[str, torch.Tensor], dict]:
    """Model, learned codes and meta data of a run's last checkpoint, code space as trained.

    The codes are ``codes`` (n, D) of the identities and, where they are learned, ``expressions`` (m, E) of the scans.

    Raises:
        WeightsError: No readable checkpoint there.
    """
    tensors, meta = checkpoint.read(run / CHECKPOINT)
    kind = architecture(meta.get("architecture", FIRST))
    model = kind.build(kind.config(**meta["config"]), box=np.array(meta["box"]))
    model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
    tables = {name: tensors[name] for name in ("codes", "expressions") if name in tensors}
    return model.eval().requires_grad_(False), tables, meta


@dataclass(frozen=True)
class _Trained:
    """Whom a run was trained on: those of its identities that the store holds.

    Attributes:
        records: Theirs.
        rows: (n,) their rows of the run's code table, the mirrored copies after all others.
        played: (52,) bool, the ARKit channels that any of them plays.
        expression_rows: (m,) rows of their expressions in a table of learned codes.
    """

    records: list[Record]
    rows: torch.Tensor
    played: torch.Tensor
    expression_rows: torch.Tensor


def _trained(store: Store, identities: list[str], codes: int, expressions: int = 0) -> _Trained:
    """Of a run with so many rows in its tables of codes and of learned expression codes."""
    records = {record.id: record for record in store.records}
    here = [row for row, name in enumerate(identities) if name in records]
    if not here:
        raise StoreError(f"{store.path} holds none of the run's {len(identities)} identities: give the store it saw.")
    chosen = [records[identities[row]] for row in here]
    copies, each = range(codes // len(identities)), expressions // codes
    rows = [row + copy * len(identities) for copy in copies for row in here]
    posed = [
        row * each + k for row, one in zip(rows, chosen * len(copies)) for k in range(1, min(each, one.expressions))
    ]
    played = np.max([np.max(store.open(record)["expressions"], axis=0) for record in chosen], axis=0) > 0
    return _Trained(chosen, torch.tensor(rows), torch.as_tensor(played), torch.tensor(posed, dtype=torch.long))


def release_run(run: Path, store: Path, out: Path, *, card: str = "", half: bool = False) -> TrainableModel:
    """Write the release folder of a run; the training codes stay behind.

    Args:
        run: Folder of the run.
        store: Its store, for hair classes and head sizes.
        out: Release folder, must not exist.
        card: Model card; empty writes that of :func:`headfield.train.card.model_card`.
        half: Store weights in float16.
    """
    model, tables, meta = load_run(run)
    codes, expressions = tables["codes"], tables.get("expressions", torch.zeros(0, 0))
    seen = _trained(Store(store), meta["identities"], len(codes), len(expressions))
    if len(expressions):
        whiten_expressions(model, expressions[seen.expression_rows])
    else:
        model.silence(~seen.played)
    chosen, copies = seen.records, len(seen.rows) // len(seen.records)
    classes = [hair_class(record.hair, record.beard) for record in chosen] * copies
    sizes = np.array([record.log_size for record in chosen] * copies)
    whiten(model, codes[seen.rows], classes, sizes)
    truth = Store(store).settings.get("settings", {}).get("truth", "v1")
    model.neck_tilt = 0.0 if truth == "v2" else V1_TILT
    # heads outside the training families vary more in size than the families do
    model.prior = replace(model.prior, size_sd=max(model.prior.size_sd, 0.08))
    settings = {key: value for key, value in meta["train"].items() if key not in ("store", "out", "release")}
    if settings.get("start"):  # no paths of the training machine
        settings["start"] = "/".join(Path(settings["start"]).parts[-2:])
    facts = {
        "training": settings | {"step": meta["step"], "seconds": round(meta["seconds"]), "identities": len(chosen)}
    }
    release.write(out, model, card or model_card(out.name, meta, chosen, model, truth), facts, half=half)
    return model


def release_deformer(run: Path, store: Path, base: str | Path, out: Path, *, card: str = "") -> TrainableModel:
    """Write released weights anew with the deformer of a run of the deformer alone; heads at rest stay bit for bit.

    Args:
        run: Folder of the run (``--only deformer``); the checkpoint that it started from must still be there.
        store: The store that `base` was released with, for who was seen and which channels were played.
        base: Name or folder of the weights that were released from that checkpoint.
        out: Release folder, must not exist.
        card: Model card; empty takes the base's, with a paragraph on the deformer.
    Raises:
        WeightsError: `base` was not released from the checkpoint that the run started from.
    """
    model, tables, meta = load_run(run)
    seen = _trained(Store(store), meta["identities"], len(tables["codes"]))
    model.silence(~seen.played)
    began = Path(meta["train"]["start"])
    codes = checkpoint.read(began)[0]["codes"][seen.rows]
    whiten(model, codes, [""] * len(codes), np.zeros(len(codes)))
    released = deepcopy(release.load(base))
    _replace_deformer(released, model, f"{base} and what the run began from, {began}")
    settings = {key: value for key, value in meta["train"].items() if key not in ("store", "out", "release", "start")}
    settings |= {"step": meta["step"], "seconds": round(meta["seconds"]), "identities": len(meta["identities"])}
    folder = release.find(str(base))
    facts = json.loads((folder / release.CONFIG).read_text())
    text = _DEFORMER.format(people=len(meta["identities"]), step=meta["step"], hours=meta["seconds"] / 3600.0)
    card = card or (folder / release.CARD).read_text() + text
    release.write(out, released, card, {"training": facts.get("training", {}), "deformer": settings})
    return released


@torch.no_grad()
def _replace_deformer(released: TrainableModel, model: TrainableModel, which: str) -> None:
    """Take what only expressions depend on from a model whose code space is the released one's, in place.

    Raises:
        WeightsError: Anything else differs by more than rounding.
    """
    (held, expressive), (at_rest, drawn) = released.weights_by_use(), model.weights_by_use()
    for name, old in held.items():
        if not torch.allclose(at_rest[name], old, atol=1e-4, rtol=1e-4):
            raise WeightsError(
                f"{name} differs by up to {float((at_rest[name] - old).abs().max()):.2g} between {which}: give the "
                "weights that were released from that checkpoint."
            )
    for name, value in expressive.items():  # views of the model's own
        value.copy_(drawn[name])
