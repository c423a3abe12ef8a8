"""A training run between its steps: built from a configuration and a store, or put back from its checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from headfield.errors import ConfigError, present
from headfield.io.store import Record, Store
from headfield.io.store_plan import planned
from headfield.models.architectures import Architecture, architecture
from headfield.models.protocol import Releasable, TrainableModel, Warped, require
from headfield.train import checkpoint
from headfield.train.batches import Batches, Drawing
from headfield.train.begin import begin_from
from headfield.train.code_start import random_codes, starting_codes
from headfield.train.code_table import CodeTable
from headfield.train.config import TrainConfig
from headfield.train.deformer import hold_all_but_deformer, shared_weights
from headfield.train.recipe import Recipe, recipe_of, with_preset
from headfield.train.whitening import Whitening, inverse_root, whitening_of

CHECKPOINT = "last.safetensors"

WHITENING = "whitening"
"""The tensor of a checkpoint that says in which coordinates expression weights were learned; see `whitening.py`."""

FIRST = "imhead"
"""The architecture of checkpoints from before they named one."""


@dataclass
class Trainer:
    """State of a run between steps."""

    config: TrainConfig
    model: TrainableModel
    recipe: Recipe
    identities: CodeTable
    batches: Batches
    device: torch.device
    optimiser: torch.optim.Optimizer
    names: list[str]
    expressions: CodeTable | None = None
    step: int = 0
    seconds: float = 0.0
    rank: int = 0
    world: int = 1
    weights: Any = None
    whitening: Whitening | None = None

    @property
    def codes(self) -> torch.Tensor:
        """The identities' codes (C, D) as they are."""
        return self.identities.values.detach()

    @property
    def tables(self) -> list[CodeTable]:
        """All codes that are learned beside the networks."""
        return [self.identities] if self.expressions is None else [self.identities, self.expressions]


def start(config: TrainConfig) -> Trainer:
    """Build or resume a run.

    Raises:
        ConfigError: An unknown model, preset or losses, or an existing run of other settings.
        StoreError: The store is missing or has no training identities.
    """
    kind, recipe = architecture(config.model), recipe_of(config.model)
    config = with_preset(config)
    model_config, weights = _model_config(config, kind), recipe.loss_weights(config.losses)
    alone = config.only == "deformer"
    if alone and config.start is None:
        raise ConfigError("--only deformer needs --start CHECKPOINT, the complete run that it continues from.")
    device, rank, world = _processes(config)
    batches = _batches(config, getattr(model_config, "canonical_expression", None))
    model = _new_model(kind, model_config, batches, config.seed).to(device)
    if config.held_rows or alone:
        require(model, Warped, "Training the deformer alone" if alone else "Measuring held-out expressions")
    file = config.out / CHECKPOINT
    resumed = file.exists() and not alone
    none = torch.zeros(batches.codes, model.prior.means.shape[1])
    table = none if resumed else _first_codes(config, model, batches)
    if alone:
        _hold_head(model, config.preset)
    identities = CodeTable("codes", table.float().to(device), config.code_rate, learned=not alone, prefix="code_adam")
    named, groups = _parameter_groups(model, recipe, alone)
    optimiser = torch.optim.AdamW(groups, lr=config.rate, weight_decay=config.weight_decay, fused=True)
    trainer = Trainer(
        config,
        model,
        recipe,
        identities,
        batches,
        device,
        optimiser,
        [n for n, _ in named],
        expressions=_expression_table(config, batches, device) if config.learned_expression else None,
        rank=rank,
        world=world,
        weights=weights,
    )
    if not file.exists():
        trainer.whitening = whitening_of(model, inverse_root(batches) if _is_whitened(config) else None)
    else:
        _restore(trainer, file)
        if rank == 0:
            for log in ("metrics.jsonl", "held_out.jsonl"):
                checkpoint.forget_after(config.out / log, trainer.step)
    return trainer


def _is_whitened(config: TrainConfig) -> bool:
    """Whether steps are taken in white coordinates; a code that is learned is whitened by its release."""
    return config.whitened and not config.learned_expression


def _processes(config: TrainConfig) -> tuple[torch.device, int, int]:
    """This process's device and number, and how many there are; they know each other afterwards."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = _device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device, rank, world


def _batches(config: TrainConfig, canonical: Sequence[float] | None) -> Batches:
    """What is trained on; `canonical` is the expression of the model's canonical face, None for the face at rest.

    Raises:
        ConfigError: The store has no training identities, or not all that it is going to have.
        StoreError: It does not have that face of everybody.
    """
    store = Store(config.store)
    records = store.select(split="train")
    if not records:
        raise ConfigError(
            f"{config.store} holds no training identities (its splits: "
            f"{sorted({record.split for record in store.records})})."
        )
    drawing = Drawing(
        heads=config.heads,
        points=config.points,
        samples=config.samples,
        mirror=config.mirror,
        seed=config.seed,
        warp_points=config.warp_points,
        held_rows=config.held_rows,
    )
    return Batches(store, records, drawing, waiting=_waiting(config, records), canonical=canonical)


def _new_model(kind: Architecture, sizes: Any, batches: Batches, seed: int) -> TrainableModel:
    """A model with random weights, about the mean anchors of the identities that are there."""
    torch.manual_seed(seed)
    anchors = [batches.anchors_of(row).astype("float64") for row, head in enumerate(batches.arrays) if head]
    return kind.build(sizes, box=batches.store.box, mean_anchors=sum(anchors) / len(anchors))


def _hold_head(model: TrainableModel, preset: str) -> None:
    """Let the deformer alone be trained.

    Raises:
        ConfigError: The head at rest depends on it.
    """
    require(model, Releasable, "Training the deformer alone")
    if not model.weights_by_use()[1]:
        raise ConfigError(f"of preset {preset!r} the head at rest depends on the deformer: it cannot be trained alone.")
    hold_all_but_deformer(model)


def _model_config(config: TrainConfig, kind: Architecture) -> Any:
    """The preset's sizes, with an expression code to be learned where one is asked for.

    Raises:
        ConfigError: An unknown preset, or what a learned code cannot do.
    """
    sizes, count = kind.preset(config.preset), config.learned_expression
    if count < 0:
        raise ConfigError(f"--learned-expression {count}: expected how many numbers the code has, such as 100.")
    if not count:
        return sizes
    if config.held_rows:
        raise ConfigError(
            "--held-rows measures expressions whose numbers the store knows; with --learned-expression nobody knows "
            "those of a face that was not trained on. Leave one of the two out."
        )
    return replace(sizes, expression=count, expression_names="learned")


def _expression_table(config: TrainConfig, batches: Batches, device: torch.device) -> CodeTable:
    """Codes of all scans, N(0, 0.01) as in NPHM's published code."""
    draws = torch.Generator().manual_seed(config.seed)
    values = 0.01 * torch.randn(batches.codes * batches.most_rows, config.learned_expression, generator=draws)
    return CodeTable("expressions", values.to(device), config.code_rate, prefix="expression_adam")


def _first_codes(config: TrainConfig, model: TrainableModel, batches: Batches) -> torch.Tensor:
    """Codes (C, D) that a run begins with; the model takes over the weights of the run that this one begins from."""
    if config.start is not None and (config.only == "deformer" or batches.missing):
        return begin_from(config.start, model, batches.ids, config.mirror)
    size = model.prior.means.shape[1]
    if config.code_start == "random" and config.start is None:
        return random_codes(batches.codes, size, config.seed)
    heads = [present(arrays, "a training identity that the store does not hold yet") for arrays in batches.arrays]
    table = starting_codes(heads, batches.store.box, size, config.mirror, config.seed)
    if config.start is None:
        return torch.as_tensor(table)
    return begin_from(config.start, model, batches.ids, config.mirror, table)


def _waiting(config: TrainConfig, records: list[Record]) -> list[str]:
    """Ids of the training identities that the store does not hold yet, but is going to.

    Raises:
        ConfigError: There are some, and nobody knows where their codes would start.
    """
    here = {record.id for record in records}
    waiting = [name for name, split in planned(config.store).items() if split == "train" and name not in here]
    if waiting and config.start is None and not (config.out / CHECKPOINT).exists():
        raise ConfigError(
            f"{config.store} holds {len(here)} of {len(here) + len(waiting)} training identities: run the same "
            "`headfield synth` again to complete it, or begin with --start CHECKPOINT from a run that knows them all."
        )
    return waiting


def _parameter_groups(
    model: TrainableModel, recipe: Recipe, alone: bool
) -> tuple[list[tuple[str, torch.nn.Parameter]], list[dict]]:
    """Named parameters in the optimiser's order, and its groups: what has a share or a weight decay of its own is last.

    Of the deformer `alone` these are the part networks' first weights: decay would move the columns that are held.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    shared = shared_weights(model) if alone else {}
    share = (lambda name: 0.0 if name in shared else 1.0) if alone else recipe.rate_share
    named.sort(key=lambda pair: -share(pair[0]))
    groups: dict[float, list] = {}
    for name, parameter in named:
        groups.setdefault(share(name), []).append(parameter)
    if alone:
        return named, [
            {"params": groups[1.0], "share": 1.0},
            {"params": groups[0.0], "share": 1.0, "weight_decay": 0.0},
        ]
    return named, [{"params": parameters, "share": part} for part, parameters in groups.items()]


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError("--device cuda was asked for, but torch sees no CUDA device: use --device cpu.")
        local = int(os.environ.get("LOCAL_RANK", 0))
        torch.cuda.set_device(local)
        return torch.device("cuda", local)
    return torch.device(name)


def _restore(trainer: Trainer, file: Path) -> None:
    tensors, meta = checkpoint.read(file)
    wanted = (trainer.config.model, asdict(trainer.model.config))
    if (meta.get("architecture", FIRST), meta["config"]) != wanted:
        raise ConfigError(
            f"{file} belongs to another model or other sizes than {wanted[0]}, preset {trainer.config.preset!r}: "
            "give another --out, or the preset it was started with."
        )
    if meta["identities"] != trainer.batches.ids:
        raise ConfigError(
            f"{file} was trained on {len(meta['identities'])} identities, the store now has "
            f"{len(trainer.batches.ids)} or others: use the same store, or another --out."
        )
    trainer.model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
    for table in trainer.tables:
        table.restore(tensors)
    if trainer.expressions is not None:  # whoever was there first set how many a head has
        trainer.batches.most_rows = len(trainer.expressions.values) // trainer.batches.codes
    checkpoint.restore_optimiser(trainer.optimiser, trainer.names, tensors, "adam/")
    if _is_whitened(trainer.config):  # runs from before there was any go on without
        trainer.whitening = whitening_of(trainer.model, tensors.get(WHITENING))
    trainer.step, trainer.seconds = checkpoint.reached(meta, trainer.config.steps, file)
