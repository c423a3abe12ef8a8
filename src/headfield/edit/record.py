"""Saved heads: a head, where it belongs, and every edit that made it, so that edits can be undone and replayed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headfield.edit import operations
from headfield.errors import ConfigError, ScanError
from headfield.fit.made_with import check_weights, made_with, weights_notes
from headfield.fit.saved_file import saved_file
from headfield.frames import METRES_PER_UNIT, MM_PER_UNIT, N_ANCHORS
from headfield.io import guard
from headfield.io.arrays import npz, save_npz
from headfield.models.fingerprint import Fingerprint
from headfield.models.protocol import Local, require
from headfield.models.release import lasting_name, load
from headfield.surface.head import Head
from headfield.surface.paint import Paint
from headfield.types import Codes, Mesh, Similarity

VERSION = 1
FORMAT = "headfield head"
_WANTED = (
    "give a head that `headfield edit` wrote, the fit.npz of `headfield fit`, or the codes.npz of `headfield sample`"
)

OPERATIONS = ("swap", "sample_region", "interpolate", "symmetrise", "transfer_expression", "refit_warp", "reset")
"""Names that an operation may have under ``"do"``; its other keys are the arguments of the function of that name in
:mod:`headfield.edit.operations`, and ``donor`` is its second head."""

_CODES = ("identity", "expression", "parts", "anchors", "around", "warp_identity")


@dataclass(frozen=True)
class SavedHead:
    """A head with its place in the user's world and its history.

    Attributes:
        head: The head as it is now, model frame.
        model_name: Name, folder or hub id of its model.
        placement: Scan frame and unit -> model frame; None for a head that was never scanned (metres then, y up).
        units: Unit of the user's frame: ``mm``, ``cm``, ``m``, ``inch`` or ``free``.
        history: The edits in order, each with all that is needed to do it again (a donor's codes among them).
        start: The head before the first edit; default `head`.
        name: Where it came from, for messages.
        paint: Colours of its scan, or None.
        notes: What is to be known about it as it was opened: whether other weights made its expression.
    """

    head: Head
    model_name: str
    placement: Similarity | None = None
    units: str = "m"
    history: tuple[dict[str, Any], ...] = ()
    start: Head | None = None
    name: str = field(default="head", compare=False)
    paint: Paint | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        edits = f"{len(self.history)} edit{'s' * (len(self.history) != 1)}"
        return f"SavedHead({self.name}, {self.units}, {edits}; {self.head!r})"

    # ---- editing -----------------------------------------------------------------------------------------------------

    def apply(self, operation: Mapping[str, Any]) -> SavedHead:
        """The head after one more edit, recorded.

        Args:
            operation: ``{"do": "swap", "regions": ["nose"], "strength": 0.8, "donor": other}``: under ``do`` one of
                :data:`OPERATIONS`, a `donor` where it takes two heads (a SavedHead), and the function's arguments.
        Raises:
            ConfigError: Unknown operation, region or argument, or a donor of other weights (both are named).
        """
        return _applied(self, recorded(operation, self))

    def undo(self, steps: int = 1) -> SavedHead:
        """The head before its last edit (or the last few), by doing the others again.

        Raises:
            ConfigError: There is nothing to undo.
        """
        if not 1 <= steps <= len(self.history):
            raise ConfigError(f"{self.name}: nothing to undo: it holds {len(self.history)} edits, {steps} were asked.")
        return self.replay(self.history[: len(self.history) - steps])

    def replay(self, history: tuple[dict[str, Any], ...] | None = None) -> SavedHead:
        """The start with a history done from the beginning (default its own: the same head again).

        Raises:
            ConfigError: As :meth:`apply`.
        """
        history = self.history if history is None else history
        result = replace(self, head=self.start or self.head, start=self.start or self.head, history=())
        for operation in history:
            result = _applied(result, operation)
        return result

    # ---- meshes ------------------------------------------------------------------------------------------------------

    @property
    def mm_per_unit(self) -> float:
        """True millimetres of one model unit on this head."""
        from headfield.fit.placement import millimetres_per_unit

        return MM_PER_UNIT if self.placement is None else millimetres_per_unit(self.placement.scale, self.units)

    @property
    def to_user(self) -> Similarity:
        """Model frame -> the user's frame and unit: the scan's, or metres with y up."""
        return Similarity(scale=METRES_PER_UNIT) if self.placement is None else self.placement.inverse()

    def mesh(self, resolution: int = 256, *, neutral: bool = False) -> Mesh:
        """A watertight mesh in the user's own frame and unit, with the head's expression or neutral."""
        head = self.head.neutral() if neutral else self.head
        return head.mesh(resolution).transformed(self.to_user)

    # ---- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the head as .npz (no pickle), whole or not at all; the suffix is added if missing.

        Raises:
            OutputError: The place cannot be written.
        """
        from headfield.io.mesh import write_bytes

        path = Path(path)
        path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
        arrays: dict[str, np.ndarray] = {}
        for key, head in (("head", self.head), ("start", self.start or self.head)):
            arrays |= {f"{key}_{name}": array for name, array in _arrays(head).items()}
        history = []
        for index, operation in enumerate(self.history):
            plain = {key: value for key, value in operation.items() if key != "donor"}
            if (donor := operation.get("donor")) is not None:
                plain["donor"] = {key: value for key, value in donor.items() if not isinstance(value, np.ndarray)}
                arrays |= {f"donor{index}_{key}": donor[key] for key in _CODES if key in donor}
            history.append(plain)
        header = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model_name,
            "weights": self.head.model.fingerprint.to_dict(),
            "units": self.units,
            "reflected": [self.head.reflected, (self.start or self.head).reflected],
            "history": history,
        }
        if self.placement is not None:
            arrays |= {f"placement_{key}": np.asarray(getattr(self.placement, key)) for key in _PLACEMENT}
        if self.paint is not None:
            arrays |= {"paint_points": self.paint.points, "paint_colours": self.paint.colours}
        arrays["header"] = np.array(json.dumps(header))
        buffer = io.BytesIO()
        save_npz(buffer, arrays, compressed=True)
        write_bytes(path, buffer.getvalue())
        return path

    @staticmethod
    def load(path: str | Path, model=None) -> SavedHead:
        """Read a saved head, the fit.npz of a fit, or one head of the codes.npz that `headfield sample` wrote.

        Nothing in the file is executed.

        Args:
            path: The file, or a folder with fit.npz in it; ``codes.npz#3`` is the third of several heads.
            model: The model object, if loaded already, or the name of one to take in place of the one that the file
                names; else that is loaded.
        Raises:
            ScanError: Not a head, damaged, or of a newer version.
            WeightsError: Its model is not here, or has weights that would make another head of the codes.
        """
        path, _, number = str(path).partition("#")
        path = saved_file(path, "a head", _WANTED)
        with guard.reading(path, "a head", ScanError, f"{_WANTED[0].upper()}{_WANTED[1:]}."), npz(path) as file:
            header = guard.json_of(path, raw=str(file["header"]).encode()) if "header" in file else {}
            if header.get("format") == FORMAT:
                return _read(path, file, header, model)
            if "header" not in file and "identity" in file and "model" in file:
                return _drawn(path, file, number, model)
        return _of_fit(path, model)


_PLACEMENT = ("rotation", "translation", "scale")


def is_saved_head(path: str | Path) -> bool:
    """Whether a file is a head written by :meth:`SavedHead.save` (and not a fit, or something else)."""
    try:
        with guard.reading(path, "a head"), npz(path) as file:
            return "header" in file and json.loads(str(file["header"])).get("format") == FORMAT
    except ScanError:
        return False


def recorded(operation: Mapping[str, Any], head: SavedHead) -> dict[str, Any]:
    """An operation in the form in which it is kept: plain values, a donor as its codes.

    Raises:
        ConfigError: The operation is unknown, or the donor is of other weights.
    """
    record = {key: value.item() if isinstance(value, np.generic) else value for key, value in operation.items()}
    if record.get("do") not in OPERATIONS:
        raise ConfigError(f"unknown operation {guard.quoted(record.get('do'))}: choose one of {', '.join(OPERATIONS)}.")
    if isinstance(record.get("regions"), (list, tuple)):
        record["regions"] = list(record["regions"])
    donor = record.get("donor")
    if isinstance(donor, SavedHead):
        names = (f"{one.name} of the model {one.model_name!r}" for one in (head, donor))
        operations.check_mixable(head.head.model, donor.head.model, *names)
        record["donor"] = {**_arrays(donor.head), "name": donor.name, "reflected": donor.head.reflected}
    return record


def _applied(saved: SavedHead, record: dict[str, Any]) -> SavedHead:
    arguments = {key: value for key, value in record.items() if key not in ("do", "donor")}
    heads = [saved.head]
    if "donor" in record:
        donor = record["donor"]
        heads.append(Head(saved.head.model, _codes(donor), bool(donor.get("reflected", False))))
    try:
        head = getattr(operations, record["do"])(*heads, **arguments)
    except TypeError as error:
        raise ConfigError(f"operation {record['do']}: {error}.") from error
    return replace(saved, head=head, start=saved.start or saved.head, history=(*saved.history, record))


def _arrays(head: Head) -> dict[str, np.ndarray]:
    """Codes of a head (B = 1) as arrays without the batch."""
    known = {name: getattr(head.codes, name) for name in _CODES}
    return {name: tensor[0].detach().cpu().numpy() for name, tensor in known.items() if tensor is not None}


def _codes(arrays: Mapping[str, np.ndarray]) -> Codes:
    kinds = {name: np.int64 if name == "around" else np.float32 for name in _CODES}
    known = {name: np.asarray(arrays[name], dtype=kind) for name, kind in kinds.items() if name in arrays}
    return Codes(**{name: torch.from_numpy(array)[None] for name, array in known.items()})


def _model(name: str, model):
    """The model of a head and its name: the one that the file names, unless another is given."""
    if model is None or isinstance(model, (str, Path)):
        name = name if model is None else lasting_name(model)
        return load(name), name
    return model, name


def _checked(model, codes: Codes) -> Codes:
    """Codes of the sizes and the kind that a model takes, else a ScanError through ValueError."""
    identity, parts = (1, model.prior.means.shape[1]), N_ANCHORS
    sizes = {"identity": identity, "warp_identity": identity, "expression": (1, len(model.expression_space))}
    if any(getattr(codes, name) is not None for name in ("parts", "anchors", "around")):
        require(model, Local, "A head with edited regions")
        sizes |= {"parts": (1, parts, model.part_spread().shape[1]), "anchors": (1, parts, 3), "around": (1, parts)}
    for name, size in sizes.items():
        tensor = getattr(codes, name)
        if tensor is not None and tuple(tensor.shape) != size:
            raise ValueError(f"{name} has the sizes {tuple(tensor.shape[1:])}, its model takes {size[1:]}")
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds numbers that are not finite")
    return codes


def _read(path: Path, file, header: dict, model) -> SavedHead:
    if header["version"] > VERSION:
        raise ScanError(
            f"{path}: a head written by a newer headfield (version {header['version']}, this one reads {VERSION}); "
            "update headfield first."
        )
    made = made_with(header.get("weights"), header["model"])
    model, model_name = _model(header["model"], model)
    check_weights(str(path), made, model, model_name, points=False)

    def codes(prefix: str) -> dict[str, np.ndarray]:
        return {name: file[f"{prefix}_{name}"] for name in _CODES if f"{prefix}_{name}" in file}

    heads = [
        Head(model, _checked(model, _codes(codes(key))), bool(reflected))
        for key, reflected in zip(("head", "start"), header["reflected"], strict=True)
    ]
    history = []
    for index, operation in enumerate(header["history"]):
        if operation["do"] not in OPERATIONS:
            raise ValueError(f"unknown operation {operation['do']!r}")
        if "donor" in operation:
            donor = codes(f"donor{index}")
            _checked(model, _codes(donor))
            operation = {**operation, "donor": {**operation["donor"], **donor}}
        history.append(operation)
    placement = None
    if "placement_scale" in file:
        rotation, translation, scale = (file[f"placement_{key}"] for key in _PLACEMENT)
        placement = Similarity(rotation, translation, float(scale))
    paint = Paint(file["paint_points"], file["paint_colours"]) if "paint_points" in file else None
    notes = _notes(path, made, heads[0])
    return SavedHead(
        heads[0], model_name, placement, header["units"], tuple(history), heads[1], path.name, paint, notes
    )


def _notes(path: Path, made: Fingerprint | None, head: Head) -> tuple[str, ...]:
    expressed = head.codes.expression is not None and bool(head.codes.expression.any())
    return weights_notes(str(path), made, head.model, expressed=expressed, points=False)


def _of_fit(path: Path, model) -> SavedHead:
    from headfield.fit.result import Fit

    fit = Fit.load(path, model)
    return head_of_fit(fit, path.name)


def head_of_fit(fit, name: str) -> SavedHead:
    """The head of a :class:`headfield.fit.result.Fit` in the frame and unit of its first scan."""
    facts = {"name": name, "paint": fit.paint(), "notes": fit.weights_notes}
    return SavedHead(fit.head, fit.model_name, fit.placement, fit.units, **facts)


def _drawn(path: Path, file, number: str, model) -> SavedHead:
    identity, name = np.atleast_2d(file["identity"]), str(file["model"])
    index = int(number) if number.isdigit() else 1 if len(identity) == 1 and not number else 0
    if not 1 <= index <= len(identity):
        raise ScanError(f"{path}: it holds {len(identity)} heads: choose one, such as {path}#1.")
    made = made_with(json.loads(str(file["weights"])) if "weights" in file else None, name)
    model, name = _model(name, model)
    check_weights(str(path), made, model, name, points=False)
    arrays = {"identity": identity[index - 1]}
    if "expression" in file and np.any(file["expression"]):
        arrays["expression"] = file["expression"]
    head = Head(model, _checked(model, _codes(arrays)))
    return SavedHead(head, name, name=f"{path.name}#{index}", notes=_notes(path, made, head))
