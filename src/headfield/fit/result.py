"""What a fit returns: codes, placement, errors, seconds; meshes in the user's own frame and unit."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headfield.errors import ScanError, present
from headfield.fit.eyes_seen import EyesSeen
from headfield.fit.made_with import check_weights, made_with, weights_notes
from headfield.fit.saved_file import saved_file
from headfield.fit.scan_fit import HEAD_REACH_MM, ScanFit
from headfield.fit.verdict import Verdict
from headfield.io import guard
from headfield.io.arrays import Arrays, npz, save_npz
from headfield.io.names import named_neutral
from headfield.models.fingerprint import Fingerprint
from headfield.models.release import lasting_name
from headfield.types import Codes, Mesh, Similarity

if TYPE_CHECKING:
    from headfield.models.protocol import HeadModel

_VERSION = 1


@dataclass
class Fit:
    """A fitted head: one identity, and per scan a placement and an expression.

    Attributes:
        model_name: Name, folder or hub id of the model.
        identity: (D,) identity code; z ~ N(0, I) over heads, 0 is the mean head.
        scans: How each scan was explained; the first is the one that meshes are made for by default.
        seconds: Seconds by stage: read, align, solve, mesh, total.
        evidence: Why this was taken for a head: residual, inlier share, coverage, what the search scored.
        notes: What happened on the way, one sentence each.
        hair: Hair class that explained the scans best, a name of the model's prior (``bald``, ``short``, ``long``,
            ``beard``; ``all`` of a model that knows none). Where no scan shows the scalp (``covered_scalp`` of the
            evidence) it is assumed.
        verdict: How far this can be believed, why not further, and what to try.
        weights: Fingerprint of the weights that it was made with; None when that is not known.
    """

    model_name: str
    identity: np.ndarray
    scans: tuple[ScanFit, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    hair: str = "all"
    _model: HeadModel | None = None
    verdict: Verdict = Verdict("unknown")
    weights: Fingerprint | None = None
    _file: str = "this fit"  # for messages

    def __repr__(self) -> str:
        scans = ", ".join(f"{scan.name} in {scan.units}" for scan in self.scans)
        median = " / ".join(f"{scan.errors()['scan_to_head_mm']['median']:.2f}" for scan in self.scans)
        return f"Fit({self.model_name}; {scans}; median {median} mm; {self.verdict.level})"

    # ---- the first scan, the usual case ------------------------------------------------------------------------

    @property
    def placement(self) -> Similarity:
        """Scan frame and unit -> model frame, of the first scan."""
        return self.scans[0].placement

    @property
    def units(self) -> str:
        """Unit of the first scan: mm, cm, m, inch or free."""
        return self.scans[0].units

    @property
    def expression(self) -> np.ndarray:
        """Expression weights (E,) of the first scan."""
        return self.scans[0].expression

    @property
    def errors(self) -> dict[str, Any]:
        """Errors of the first scan, see :meth:`ScanFit.errors`."""
        return self.scans[0].errors()

    @property
    def gaze_seen(self) -> bool | None:
        """Whether the first scan shows where the eyes look; None when it was not asked."""
        return None if self.scans[0].eyes is None else self.scans[0].eyes.gaze

    # ---- the head -----------------------------------------------------------------------------------------------

    @property
    def model(self) -> HeadModel:
        """The head model, loaded by name when needed.

        Raises:
            WeightsError: It is not here, or its weights would make another head of the codes.
        """
        if self._model is None:
            from headfield.models.release import load

            return self._open_with(load(self.model_name))
        return self._model

    def _open_with(self, model: HeadModel) -> HeadModel:
        check_weights(self._file, self.weights, model, self.model_name, points=True)
        self._model = model
        return model

    @property
    def weights_notes(self) -> tuple[str, ...]:
        """A sentence when the expressions are of other weights than the model has here; the neutral head is the same.

        Raises:
            WeightsError: As :attr:`model`.
        """
        expressed = any(scan.expression.any() for scan in self.scans)
        return weights_notes(self._file, self.weights, self.model, expressed=expressed, points=True)

    def codes(self, *, neutral: bool = False, scan: int = 0) -> Codes:
        """Codes of the head, batch of one.

        Args:
            neutral: Without the expression.
            scan: Which scan's expression.
        """
        from headfield.fit.normal_equations import codes_of

        expression = None if neutral else self.scans[scan].expression
        if expression is not None and not expression.any():
            expression = None
        return codes_of(self.model, self.identity, expression)

    @property
    def head(self):
        """The codes bound to the model: ``head.mesh()``, ``head.mirrored()``, ... in the model frame."""
        from headfield.surface.head import Head

        return Head(self.model, self.codes())

    def mesh(
        self,
        resolution: int = 256,
        *,
        neutral: bool = False,
        detail: bool = False,
        scan: int = 0,
        model_frame: bool = False,
    ) -> Mesh:
        """The complete head as a watertight mesh in the scan's frame and unit.

        The vertex attribute ``seen`` tells what the scan observed from what the model invented; a coloured scan's
        colours are put on the vertices.

        Args:
            resolution: Samples along the longest side of the model's box.
            neutral: Without the expression, mouth closed.
            detail: Correct the model's surface to the scan's where that was seen (only with the expression kept).
            scan: Which scan's expression and frame.
            model_frame: Stay in the model frame.
        """
        from headfield.fit.detail import SLACK, detailed_model
        from headfield.surface.mesh_head import mesh_of
        from headfield.surface.paint import Paint
        from headfield.surface.seen import seen_mask

        begin = time.perf_counter()
        which = self.scans[scan]
        codes = self.codes(neutral=neutral, scan=scan)
        placed = which.placement.apply(which.all_points)
        reach = HEAD_REACH_MM / which.mm_per_unit
        if neutral and which.expression.any():
            posed = self.codes(scan=scan)
            placed = _canonical(self.model, placed, posed)
        if detail and not (neutral and which.expression.any()):
            mesh = mesh_of(detailed_model(self.model, codes, placed), codes, resolution, slack=SLACK)
        else:
            mesh = mesh_of(self.model, codes, resolution)
        normals = present(mesh.normals, "normals")
        seen = seen_mask(mesh.vertices, normals, placed, reach=min(reach, 0.03))
        mesh = replace(mesh, attributes={**mesh.attributes, "seen": seen})
        if which.colours is not None:
            mesh = replace(mesh, colours=Paint(placed, which.colours).on(mesh.vertices, normals, seen))
        self.seconds["mesh"] = time.perf_counter() - begin
        self._sum_seconds()
        return mesh if model_frame else mesh.transformed(which.placement.inverse())

    def paint(self, scan: int = 0):
        """The scan's colours as a :class:`headfield.surface.paint.Paint` of the neutral head, or None."""
        from headfield.surface.paint import Paint

        which = self.scans[scan]
        if which.colours is None:
            return None
        placed = which.placement.apply(which.all_points)
        if which.expression.any():
            placed = _canonical(self.model, placed, self.codes(scan=scan))
        return Paint(placed, which.colours)

    def _sum_seconds(self) -> None:
        self.seconds["total"] = sum(value for key, value in self.seconds.items() if key != "total")

    # ---- files --------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What ``fit.json`` holds: plain numbers, strings and lists; what is of one scan stands in ``scans`` only."""
        return {
            "model": self.model_name,
            "weights": None if self.weights is None else self.weights.to_dict(),
            "verdict": self.verdict.to_dict(),
            "identity": [float(value) for value in self.identity],
            "hair": self.hair,
            "scans": [scan.to_dict() for scan in self.scans],
            "seconds": {key: float(value) for key, value in self.seconds.items()},
            "evidence": {key: float(value) if np.isfinite(value) else None for key, value in self.evidence.items()},
            "notes": list(self.notes),
        }

    def save(self, path: str | Path) -> Path:
        """Write ``fit.npz`` (no pickle); the file appears whole or not at all. The suffix .npz is added if missing."""
        from headfield.io.mesh import write_bytes

        path = Path(path)
        path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
        header = {
            "version": _VERSION,
            "model": self.model_name,
            "component": self.hair,  # the name that files have had from the first
            "seconds": self.seconds,
            "evidence": self.evidence,
            "notes": list(self.notes),
            "verdict": self.verdict.to_dict(),
            "weights": None if self.weights is None else self.weights.to_dict(),
            "scans": [
                {"name": s.name, "units": s.units, "size_log": s.size_log, "said_neutral": s.said_neutral}
                | ({} if s.eyes is None else {"lids_seen": s.eyes.lids, "gaze_seen": s.eyes.gaze})
                for s in self.scans
            ],
        }
        arrays: dict[str, np.ndarray] = {"header": np.array(json.dumps(header)), "identity": self.identity}
        for index, scan in enumerate(self.scans):
            arrays |= {
                f"scan{index}_rotation": scan.placement.rotation,
                f"scan{index}_translation": scan.placement.translation,
                f"scan{index}_scale": np.array(scan.placement.scale),
                f"scan{index}_expression": scan.expression,
                f"scan{index}_points": scan.points,
                f"scan{index}_residual_mm": scan.residual_mm,
                f"scan{index}_on_head": scan.on_head,
                f"scan{index}_all_points": scan.all_points,
            }
            if scan.colours is not None:
                arrays[f"scan{index}_colours"] = scan.colours
        buffer = io.BytesIO()
        save_npz(buffer, arrays, compressed=True)
        write_bytes(path, buffer.getvalue())
        return path

    @staticmethod
    def load(path: str | Path, model=None) -> Fit:
        """Read a saved fit; nothing in the file is executed.

        Args:
            path: ``fit.npz``, or the folder in which `headfield fit` wrote it.
            model: The model object, if loaded already, or the name of one to take in place of the one that the file
                names; else that is loaded when needed.
        Raises:
            ScanError: Not a fit, damaged, or of a newer version.
            WeightsError: The model object has weights that would make another head of the codes.
        """
        wanted = "give the fit.npz that `headfield fit` wrote"
        path = saved_file(path, "a fit", wanted)
        with guard.reading(path, "a fit", ScanError, f"{wanted[0].upper()}{wanted[1:]}."), npz(path) as file:
            header = _header(path, file, wanted)
            several = len(header["scans"]) > 1
            scans = [_scan_fit(file, index, facts, several) for index, facts in enumerate(header["scans"])]
            named = isinstance(model, (str, Path))
            fit = Fit(
                lasting_name(model) if named else header["model"],
                file["identity"],
                tuple(scans),
                dict(header["seconds"]),
                dict(header["evidence"]),
                tuple(header["notes"]),
                header["component"],
                None,
                Verdict.of(header.get("verdict")),
                made_with(header.get("weights"), header["model"]),
                str(path),
            )
        if model is not None and not named:
            fit._open_with(model)
        return fit


_ARRAYS = ("rotation", "translation", "scale", "expression", "points", "residual_mm", "on_head", "all_points")


def _header(path: Path, file: Arrays, wanted: str) -> dict:
    """What a file says of its fit in words and single numbers."""
    if "header" not in file:
        held = ", ".join(file.files[:4]) + (", ..." if len(file.files) > 4 else "")
        raise ScanError(f"{path}: not a fit: an NPZ archive of other things ({held or 'empty'}); {wanted}.")
    header = guard.json_of(path, raw=str(file["header"]).encode())
    if "scans" not in header and "history" in header:
        raise ScanError(f"{path}: not a fit but a head that was edited; headfield.edit.record.SavedHead.load opens it.")
    if header["version"] > _VERSION:
        raise ScanError(f"{path}: written by a newer headfield (version {header['version']}); update first.")
    return header


def _scan_fit(file: Arrays, index: int, facts: dict, several: bool) -> ScanFit:
    """One of the fit's scans."""
    get = {key: file[f"scan{index}_{key}"] for key in _ARRAYS}
    return ScanFit(
        facts["name"],
        Similarity(get["rotation"], get["translation"], float(get["scale"])),
        facts["units"],
        float(facts["size_log"]),
        get["expression"],
        get["points"],
        get["residual_mm"].astype(float),  # older files hold float32
        get["on_head"],
        get["all_points"],
        file[f"scan{index}_colours"] if f"scan{index}_colours" in file else None,
        EyesSeen(facts["lids_seen"], facts["gaze_seen"]) if "gaze_seen" in facts else None,
        # files that do not say it are of a time when only names did
        bool(facts.get("said_neutral", several and named_neutral(facts["name"]))),
    )


def _canonical(model, points: np.ndarray, codes: Codes) -> np.ndarray:
    """Posed points (N, 3) taken back to the neutral head by the model's own warp."""
    import torch

    from headfield.models.protocol import Warped, require

    require(model, Warped, "Taking points back to the neutral head")
    with torch.no_grad():
        source = torch.as_tensor(points.astype(np.float32), device=codes.identity.device)
        chunks = [model.to_canonical(chunk[None], codes)[0][0] for chunk in source.split(65_536)]
        return torch.cat(chunks).double().cpu().numpy()
