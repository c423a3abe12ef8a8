"""A run between its steps: built from a video, or put back from its checkpoint, to continue bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from headfield.avatar.avatar import Avatar
from headfield.avatar.batch import Batches
from headfield.avatar.check import check_cameras
from headfield.avatar.config import PRESETS, AvatarConfig
from headfield.avatar.losses import LossWeights
from headfield.avatar.morph import Poses
from headfield.avatar.objective import Anchors, objective, texture_objective
from headfield.avatar.options import AvatarTrainConfig
from headfield.avatar.pretrain import PretrainOptions, pretrain
from headfield.avatar.search import SearchOptions
from headfield.avatar.template import Template
from headfield.avatar.video import HeadVideo, read_video
from headfield.errors import ConfigError, VideoError, WeightsError
from headfield.nn.machine import denormals_flushed
from headfield.parametric.rig import HeadRig
from headfield.train import checkpoint

CHECKPOINT = "avatar.safetensors"

TRAINING_SEARCH = SearchOptions(tolerance=1e-3, steps=3, secant_steps=0)
"""Roots to 0.25 mm, as the gradient's own Newton step (Eq. 10) takes them on to where they are shaded; the few rays
that Newton's method does not bring home in three updates say nothing in their step."""


@dataclass
class AvatarTrainer:
    """State of a run between steps."""

    config: AvatarTrainConfig
    avatar: Avatar
    template: Template
    batches: Batches
    weights: LossWeights
    optimiser: torch.optim.Optimizer
    names: list[str]
    anchors: Anchors | None
    tracked: dict
    step: int = 0
    seconds: float = 0.0

    @property
    def video(self) -> HeadVideo:
        """What it is trained on."""
        return self.batches.video


def template_rig(family: str, identity: np.ndarray) -> HeadRig:
    """The rig of a tracked template by its family.

    Raises:
        VideoError: No family of this name is on joints here.
        DataError: Its data are missing.
    """
    if family != "ict":
        raise VideoError(f"a template of family {family!r}; families on joints are: ict.")
    from headfield.parametric.ict import load_ict
    from headfield.parametric.ict_rig import ict_rig

    head = load_ict()
    if len(identity) > head.n_identity:
        raise VideoError(f"a template of {len(identity)} identity numbers; ict has {head.n_identity}.")
    return ict_rig(head, np.concatenate([identity, np.zeros(head.n_identity - len(identity))]))


def start(
    config: AvatarTrainConfig,
    rig: HeadRig | None = None,
    on_pretrain: Callable[[int, int], None] | None = None,
    pretraining: PretrainOptions | None = None,
) -> AvatarTrainer:
    """Build or resume a run.

    Args:
        config: See AvatarTrainConfig.
        rig: The tracked template; None makes it by what the video says of it.
        on_pretrain: Told step and steps while the fields become the template.
        pretraining: How they do; None as the config says.
    Raises:
        VideoError: The video cannot be used.
        ConfigError: An existing run of other sizes or another video.
        DataError: The template's family is missing.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.rays < config.frames:
        raise ConfigError(f"--rays {config.rays} for {config.frames} frames: give every frame one at least.")
    video = read_video(config.video)
    template = Template(template_rig(video.family, video.identity) if rig is None else rig)
    batches = Batches(video, template, config.seed, config.frames, config.rays, config.searched)
    check_cameras(batches, config.out / "cameras.png")
    torch.manual_seed(config.seed)
    avatar = Avatar(PRESETS[config.preset](), len(template.rig.channels), len(template.rig.joints), len(video))
    named, groups = _groups(config, avatar)
    trainer = AvatarTrainer(
        config=config,
        avatar=avatar,
        template=template,
        batches=batches,
        weights=LossWeights(
            mask=config.mask_weight,
            template=1.0 if config.supervised else 0.0,
            eikonal=config.eikonal,
            smooth=config.smooth,
            anchor=config.anchor,
        ),
        optimiser=torch.optim.Adam(groups),
        names=[name for name, _ in named],
        anchors=Anchors(template, hidden_vertices(template.rig)) if config.anchor else None,
        tracked={"family": video.family, "identity": video.identity.tolist()},
    )
    file = config.out / CHECKPOINT
    if file.exists():
        _restore(trainer, file)
        checkpoint.forget_after(config.out / "metrics.jsonl", trainer.step)
    else:
        options = PretrainOptions(steps=config.pretrain_steps) if pretraining is None else pretraining
        errors = pretrain(avatar, template, options, config.seed, on_pretrain)
        config.out.mkdir(parents=True, exist_ok=True)
        with open(config.out / "metrics.jsonl", "a") as log:
            log.write(json.dumps({"step": 0, **{name: round(value, 4) for name, value in errors.items()}}) + "\n")
        save(trainer)  # a run that is stopped soon does not begin anew
    return trainer


def hidden_vertices(rig: HeadRig) -> np.ndarray:
    """Vertices of the mouth's inside and the lids, by what the rig says of itself.

    Lids are what a blink moves by over a millimetre; the mouth's inside is what lies behind the lips on the border of
    the jaw: it rides on the jaw in part, well inside the head's outline.
    """
    lids = [at for at, name in enumerate(rig.channels) if "blink" in name.lower()]
    moved = np.linalg.norm(rig.shapes[:, lids], axis=2).max(1) > 0.004 if lids else np.zeros(len(rig.vertices), bool)
    inside = np.zeros(len(rig.vertices), dtype=bool)
    if "jaw" in rig.joints:
        share = rig.weights[:, rig.joints.index("jaw")]
        rim = rig.vertices[(share > 0.3) & (share < 0.7)]
        front = rim[:, 2].max() if len(rim) else 0.0
        inside = (share > 0.02) & (np.abs(rig.vertices[:, 0]) < 0.1) & (rig.vertices[:, 2] < front - 0.06)
        inside &= rig.vertices[:, 2] > front - 0.3
    return np.flatnonzero(moved | inside)


def one_step(trainer: AvatarTrainer) -> dict[str, float]:
    """One step of Adam; returns the terms of the loss and what the search did."""
    config = trainer.config
    warming = trainer.step < config.warm_up
    scale = _scale(config, trainer.step)
    for group in trainer.optimiser.param_groups:
        group["lr"] = scale * group["peak"]
        for parameter in group["params"]:
            # what is held has no gradient, not one of zero: Adam would count its steps, and once it is let go take
            # steps several times too long until its mean square has caught up
            held = warming and group["part"] != "texture"
            parameter.grad = None if held else torch.zeros_like(parameter)
    batch = trainer.batches.draw(trainer.step)
    frames = batch.frames.numpy()
    expressions, turns = trainer.batches.expressions[frames], trainer.batches.poses[frames]
    poses = Poses.of(trainer.template.rig, expressions, turns)
    with denormals_flushed():
        if warming:
            loss, terms = texture_objective(trainer.avatar, batch, poses)
        else:
            starts, weights = trainer.batches.starts(frames), trainer.weights
            loss, terms = objective(
                trainer.avatar, trainer.template, batch, poses, starts, weights, TRAINING_SEARCH, trainer.anchors
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainer.avatar.parameters(), 1.0)
        trainer.optimiser.step()
    trainer.step += 1
    return {"loss": float(loss.detach()), **terms}


def save(trainer: AvatarTrainer) -> None:
    """Write the checkpoint, whole or not at all.

    Raises:
        OSError: The disk is full or the folder gone.
    """
    tensors = {f"avatar/{name}": value for name, value in trainer.avatar.state_dict().items()}
    for name, value in checkpoint.optimiser_tensors(trainer.optimiser, trainer.names).items():
        tensors[f"adam/{name}"] = value
    meta = {
        "step": trainer.step,
        "seconds": trainer.seconds,
        "threads": torch.get_num_threads(),
        "architecture": "imavatar",
        "config": asdict(trainer.avatar.config),
        "channels": list(trainer.template.rig.channels),
        "joints": list(trainer.template.rig.joints),
        "frames": len(trainer.video),
        "template": trainer.tracked,
        "train": {k: str(v) if isinstance(v, Path) else v for k, v in asdict(trainer.config).items()},
    }
    checkpoint.save(trainer.config.out / CHECKPOINT, tensors, meta)


def load(path: Path) -> tuple[Avatar, Template]:
    """A trained avatar and its template.

    Args:
        path: A run's folder, or its checkpoint.
    Raises:
        WeightsError: No avatar of this package.
        VideoError, DataError: Its template's family is not at hand.
    """
    file = path / CHECKPOINT if path.is_dir() else path
    if not file.is_file() or file.suffix != ".safetensors":
        raise WeightsError(
            f"{path} is no run of an avatar: a folder with {CHECKPOINT} was expected, as `headfield avatar train` "
            "writes it, or that file."
        )
    tensors, meta = checkpoint.read(file)
    if meta.get("architecture") != "imavatar":
        raise WeightsError(f"{file} holds a {meta.get('architecture', 'head model')}, expected an avatar.")
    rig = template_rig(meta["template"]["family"], np.array(meta["template"]["identity"], dtype=float))
    avatar = Avatar(AvatarConfig(**meta["config"]), len(meta["channels"]), len(meta["joints"]), meta["frames"])
    avatar.load_state_dict({n.removeprefix("avatar/"): t for n, t in tensors.items() if n.startswith("avatar/")})
    return avatar, Template(rig)


def trained_on(path: Path) -> Path:
    """The folder of the video that a run was trained on, as it was called then."""
    _, meta = checkpoint.read(path / CHECKPOINT if path.is_dir() else path)
    return Path(meta["train"]["video"])


def _groups(config: AvatarTrainConfig, avatar: Avatar):
    """Named parameters in the optimiser's order, and its groups."""
    rates = {
        "geometry": config.geometry_rate,
        "deformation": config.deformation_rate,
        "texture": config.texture_rate,
        "codes": config.texture_rate,
    }
    named, groups = [], []
    for part, rate in rates.items():
        own = [(name, p) for name, p in avatar.named_parameters() if name.split(".")[0] == part]
        if own:
            named += own
            groups.append({"params": [p for _, p in own], "lr": rate, "peak": rate, "part": part})
    return named, groups


def _scale(config: AvatarTrainConfig, step: int) -> float:
    """Share of the peak rates: constant, then a half cosine to 2 percent."""
    begin = config.decay_from * config.steps
    share = min(max(step - begin, 0.0) / max(config.steps - begin, 1.0), 1.0)
    return 0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * share))


def _restore(trainer: AvatarTrainer, file: Path) -> None:
    tensors, meta = checkpoint.read(file)
    if meta.get("config") != asdict(trainer.avatar.config) or meta.get("frames") != len(trainer.video):
        raise ConfigError(
            f"{file} belongs to an avatar of other sizes or to another video than preset {trainer.config.preset!r} and "
            f"{trainer.config.video}: give another --out, or what it was started with."
        )
    own = {n.removeprefix("avatar/"): t for n, t in tensors.items() if n.startswith("avatar/")}
    trainer.avatar.load_state_dict(own)
    checkpoint.restore_optimiser(trainer.optimiser, trainer.names, tensors, "adam/")
    trainer.step, trainer.seconds = checkpoint.reached(meta, trainer.config.steps, file)
