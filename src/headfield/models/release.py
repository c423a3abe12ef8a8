"""Released weights: a folder of model.safetensors, config.json and a model card, loaded by name, folder or hub id."""

from __future__ import annotations

import functools
import json
import os
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from headfield.errors import OutputError, WeightsError
from headfield.io import guard
from headfield.io.write_tensors import write_tensors
from headfield.models import DEFAULT
from headfield.models.architectures import ARCHITECTURES
from headfield.models.fingerprint import Fingerprint
from headfield.models.prior import Prior
from headfield.models.protocol import V1_TILT, Releasable, TrainableModel, require

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FORMAT = 1
PACKAGED = Path(__file__).parent / "weights"
"""Released weights that come with the package, one folder each."""

_LONGEST_NAME = 1000

_FEW = 1000
"""Numbers of a buffer up to which it keeps its precision in a file of halves."""

_NARROW = 128
"""Sizes of a model up to this need not be found among those of its tensors (they may be counts of layers, or sums)."""

V1 = Fingerprint("43f544e86d8a", "75933dcbbac2")
"""The first weights of `imhead-open-small`, with which fits and heads from before there were fingerprints were made."""

UNMARKED = {DEFAULT: V1}
"""By a model's name, the weights that made files which name it and carry no fingerprint. Of other models nothing is
known."""

V2_TRIAL = "9f0d387255b3"
"""Identity fingerprint of `imhead-open-v2`, which came beside the first weights for a day and was trained further."""

_PLACE = "src/headfield/models/weights/{} in headfield's repository at commit {}"

WHERE = {
    V1.identity: "v1: " + _PLACE.format("imhead-open-small", "e92867b"),
    V2_TRIAL: "imhead-open-v2: " + _PLACE.format("imhead-open-v2", "e3a6dea"),
}
"""By identity fingerprint, where released weights can be had, for messages."""


def searched_places(name: str) -> list[Path]:
    """Folders where weights called `name` are looked for, in order."""
    places = [Path(name), PACKAGED / name]
    if home := os.environ.get("HEADFIELD_HOME"):
        places.append(Path(home) / name)
    return places


def lasting_name(name: str | Path) -> str:
    """A name by which the same weights are found again, from any working directory and at any time.

    Of a folder it is the absolute path, of a hub id ``owner/repository@commit``: what is opened again later is what
    was used, whatever the repository holds by then. A hub id without a commit is fetched to learn it.

    Raises:
        WeightsError: As :func:`find`.
    """
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if not _is_hub_id(str(name)) or any(place.exists() for place in searched_places(str(name))):
        return str(name)
    return f"{str(name).partition('@')[0]}@{find(str(name)).name}"  # the hub's cache names a folder by its commit


def load(name: str | Path = DEFAULT) -> TrainableModel:
    """A trained model in evaluation mode, on the CPU.

    Args:
        name: A released name (``imhead-open-small``), a folder, or a hub id: ``owner/repository@commit``, fetched with
            the user's own connection and cached. Without a commit the newest is taken;
            :func:`lasting_name` tells which.
    Raises:
        WeightsError: Not found (the message lists where it was looked for), corrupt, of another architecture, or a
            pickle, which is never opened.
    """
    folder = find(str(name))
    stamp = (folder / WEIGHTS).stat().st_mtime_ns if (folder / WEIGHTS).exists() else 0
    return _load_folder(folder.resolve(), stamp)


@functools.lru_cache(maxsize=2)
def _load_folder(folder: Path, stamp: int) -> TrainableModel:  # stamp: a rewritten file is read again
    config_file, weights_file = folder / CONFIG, folder / WEIGHTS
    with guard.reading(config_file, "config.json", WeightsError):
        stored = guard.json_of(config_file, WeightsError)
    facts = stored if isinstance(stored, dict) else {}
    kind = facts.get("architecture", type(stored).__name__)
    if not isinstance(kind, str) or kind not in ARCHITECTURES or facts.get("format") != FORMAT:
        raise WeightsError(
            f"{config_file} describes architecture {guard.shown(repr(kind), 40)}, format "
            f"{guard.shown(repr(facts.get('format')), 40)}; this headfield reads {', '.join(ARCHITECTURES)}, format "
            f"{FORMAT}."
        )
    tensors = _read_tensors(weights_file)
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    try:
        model = _empty_model(stored, tensors)
        tilt = float(facts.get("neck_tilt", V1_TILT))
        if not 0.0 <= tilt <= 1.0:
            raise ValueError(f"neck_tilt is {tilt:g}, a share is from 0 to 1")
    except Exception as error:  # sizes of anything
        raise WeightsError(
            f"{config_file} is not the config.json of a released {kind} ({type(error).__name__}: {error}): "
            "download it again; if a newer headfield made it, update."
        ) from error
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"{weights_file} does not fit {CONFIG}: {_mismatch(model.state_dict(), tensors)}."
        ) from error
    model.name, model.neck_tilt = folder.name, tilt
    model.eval().requires_grad_(False)
    _ = model.fingerprint  # worked out here, and known from then on
    return model


def _mismatch(expected: dict[str, torch.Tensor], seen: dict[str, torch.Tensor]) -> str:
    """In one line, what keeps tensors from being a model's own: the first of several differences."""
    counts = f"{len(expected)} tensors expected, {len(seen)} found"
    for name, tensor in expected.items():
        if name not in seen:
            return f"{counts}, the first that is missing is {name}"
        if seen[name].shape != tensor.shape:
            return f"{name} has the sizes {tuple(seen[name].shape)}, expected {tuple(tensor.shape)}"
    unknown = next((name for name in seen if name not in expected), "?")
    return f"{counts}, the first that is unknown is {unknown}"


def _empty_model(stored: dict, tensors: dict[str, torch.Tensor]) -> TrainableModel:
    """The model that config.json describes, with its prior (taken out of the tensors) but not yet its weights."""
    kind = ARCHITECTURES[stored["architecture"]]
    known = {field.name for field in fields(kind.config)}
    if unknown := sorted(set(stored["config"]) - known):
        raise ValueError(f"unknown settings {', '.join(unknown)}")
    # before anything of that size is made: what is wide is wide in the weights, too
    sizes = {size for tensor in tensors.values() for size in tensor.shape}
    for name, value in stored["config"].items():
        if isinstance(value, int) and value > _NARROW and value not in sizes:
            raise ValueError(f"{name} is {guard.shown(value, 20)}, a size that no tensor of {WEIGHTS} has")
    facts = stored["prior"]
    means = tensors.pop("prior.means", torch.zeros(1))
    prior = Prior(
        tuple(facts["names"]),
        means,
        tuple(facts["weights"]),
        facts["size_mean"],
        facts["size_sd"],
        _every_spread(tensors.pop("prior.spreads", None), facts.get("spread_of"), len(means)),
    )
    box = np.array(stored["box"], dtype=float).reshape(2, 3)
    return kind.build(kind.config(**stored["config"]), box=box, prior=prior)


def _few_spreads(spreads: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """The different ones (U, D, D) of a prior's spreads (C, D, D), and which of them each component has; -1 is the
    identity, which is not kept. Of a code with many numbers most classes of hair share one."""
    kept: list[torch.Tensor] = []
    index = []
    for spread in spreads:
        if torch.equal(spread, torch.eye(len(spread)).to(spread)):
            index.append(-1)
            continue
        same = next((number for number, other in enumerate(kept) if torch.equal(spread, other)), len(kept))
        kept += [spread] if same == len(kept) else []
        index.append(same)
    return torch.stack(kept) if kept else spreads[:0], index


def _every_spread(few: torch.Tensor | None, index: list[int] | None, count: int) -> torch.Tensor | None:
    """What :func:`_few_spreads` took apart, of so many components; files without an index hold them all."""
    if few is None or index is None:
        return few
    if len(index) != count:
        raise ValueError(f"spread_of names {len(index)} components, there are {count}")
    eye = torch.eye(few.shape[-1])
    return torch.stack([eye if number < 0 else few[number] for number in index])


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    if not file.exists():
        others = sorted(p.name for p in file.parent.glob("*.p*") if p.suffix in (".pt", ".pth", ".pkl", ".pickle"))
        hint = f" It holds {others[0]}, a pickle, which is never opened: convert it to safetensors." if others else ""
        raise WeightsError(f"{file.parent} holds no {WEIGHTS}.{hint}")
    try:
        with guard.opened(file, WeightsError):
            pass
        with safe_open(file, framework="pt") as archive:
            return {key: archive.get_tensor(key) for key in archive.keys()}
    except Exception as error:  # whatever the reader in Rust makes of a damaged head
        raise WeightsError(
            f"{file} is not a readable safetensors file ({error}): download it again. Pickles are never opened."
        ) from error


def find(name: str) -> Path:
    """The folder of a model's weights: a released name, a folder, or a hub id, which is fetched.

    Raises:
        WeightsError: Not found, or a file that is no folder of weights.
    """
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise WeightsError(f"{guard.shown(repr(name), 80)} is no name of a model; give a released name or a folder.")
    if name.endswith((".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")):
        raise WeightsError(f"{name} looks like a pickle, which is never opened: give a folder with {WEIGHTS}.")
    places = searched_places(name)
    for place in places:
        if place.is_dir():
            return place
        if place.is_file() and place.name in (WEIGHTS, CONFIG):
            return place.parent
        if place.is_file():
            raise WeightsError(f"{place} is a file; give the folder that holds {WEIGHTS} and {CONFIG}.")
    if _is_hub_id(name):
        return _fetched(name)
    looked = ", ".join(str(place) for place in places)
    released = sorted(p.name for p in PACKAGED.iterdir() if p.is_dir()) if PACKAGED.exists() else []
    raise WeightsError(f"No weights called {name!r}. Looked in: {looked}. Released with the package: {released}.")


@functools.lru_cache(maxsize=8)  # within one process a hub id without a commit means one commit
def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=[WEIGHTS, CONFIG, CARD]))
    except (HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, OSError, ValueError) as error:
        raise WeightsError(f"{name} is no folder here and could not be fetched from the hub ({error}).") from error


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/"))


def write(folder: Path, model: TrainableModel, card: str, extra: dict | None = None, half: bool = False) -> None:
    """Write a release folder.

    Args:
        folder: Created; must not exist.
        model: The model, prior included; its codes are expected to be whitened.
        card: Text of the model card.
        extra: More JSON-able facts for config.json (training command, results).
        half: Store weights in float16.
    Raises:
        OutputError: The folder exists.
        ConfigError: The model has no weights that can be released.
    """
    require(model, Releasable, "Writing a release")
    if folder.exists():
        raise OutputError(f"{folder} exists; choose another folder or delete it.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        _write_files(temporary, model, card, extra or {}, half)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_files(folder: Path, model: TrainableModel, card: str, extra: dict, half: bool) -> None:
    kind = torch.float16 if half else torch.float32
    exact = {name for name, buffer in model.named_buffers() if buffer.numel() <= _FEW}  # places in space
    tensors = {
        name: value.to(torch.float32 if name in exact else kind).contiguous()
        for name, value in model.state_dict().items()
    }
    tensors["prior.means"] = model.prior.means.float().contiguous()
    spread_of = {}
    if model.prior.spreads is not None:
        few, index = _few_spreads(model.prior.spreads)
        tensors["prior.spreads"], spread_of = few.to(kind).contiguous(), {"spread_of": index}
    write_tensors(folder / WEIGHTS, tensors)
    prior = model.prior
    facts = {
        "architecture": model.architecture,
        "format": FORMAT,
        "config": asdict(model.config),
        "box": model.box.tolist(),
        "neck_tilt": model.neck_tilt,
        "prior": {
            "names": list(prior.names),
            "weights": list(prior.weights),
            "size_mean": prior.size_mean,
            "size_sd": prior.size_sd,
        }
        | spread_of,
    } | extra
    (folder / CONFIG).write_text(json.dumps(facts, indent=1) + "\n")
    (folder / CARD).write_text(card)
