"""The stages from a raw scan to a registered, closed head, each a function of what the stages before left behind.

Landmarks and alignment are of one scan; the two fits are of all scans of a person, who has one identity; completion
and registration are of one scan again. Arrays pass from stage to stage by name, as they are kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from headfield.curate.records import Made
from headfield.types import Similarity

Arrays = dict[str, np.ndarray]

NAMES = ("landmarks", "align", "parametric", "model", "complete", "register", "sample")
"""The stages in order."""


@dataclass(frozen=True)
class Stages:
    """The work of the pipeline, one function per stage, with the version that its record names.

    Attributes:
        landmarks: (scan, raw scan, options) -> ``points`` (68, 3), ``confidence`` (68,), or nothing when the user or
            the options say so, and ``residual`` in the scan's unit.
        align: (scan, raw scan, landmarks, options) -> a placement; fact ``units``.
        parametric: (scans, names of their expressions, landmarks, placements, options) -> ``neutral`` (V, 3), ``posed``
            (S, V, 3), ``triangles`` (F, 3), ``skin`` (F,) bool, ``expressions`` (S, 52), ``anchor_vertices`` (39,),
            ``landmark_corners`` (68, K) vertices with ``landmark_weights`` (68, K), and S placements; fact ``units``,
            one per scan. Without ``expressions`` (a family that has no ARKit channels) the model's are taken.
        model: (scans, fitted, options) -> codes of the implicit model, ``expressions`` (S, 52), and S placements.
        complete: (scan, fitted, model's, which, units, options) -> ``vertices``, ``triangles``, closed, model frame.
        register: (scan, landmarks, fitted, which, units, completed, rest, options) -> ``vertices`` (V, 3); facts: the
            quality record. `rest` is the registered neutral head (V, 3), or None.
        versions: By stage, a number that grows when the stage's answer changes; 1 when it is not named.
    """

    landmarks: Callable[..., Made]
    align: Callable[..., Made]
    parametric: Callable[..., Made]
    model: Callable[..., Made]
    complete: Callable[..., Made]
    register: Callable[..., Made]
    versions: dict[str, int] = field(default_factory=dict)

    def version(self, stage: str) -> int:
        """The version of a stage's answer."""
        return self.versions.get(stage, 1)


def placement_arrays(*similarities: Similarity) -> Arrays:
    """Similarities by their parts: ``rotations`` (S, 3, 3), ``translations`` (S, 3), ``scales`` (S,)."""
    return {
        "rotations": np.stack([np.asarray(s.rotation, dtype=float) for s in similarities]),
        "translations": np.stack([np.asarray(s.translation, dtype=float) for s in similarities]),
        "scales": np.array([s.scale for s in similarities], dtype=float),
    }


def placement_of(arrays: Arrays, which: int = 0) -> Similarity:
    """One of the similarities back from their parts."""
    return Similarity(arrays["rotations"][which], arrays["translations"][which], float(arrays["scales"][which]))
