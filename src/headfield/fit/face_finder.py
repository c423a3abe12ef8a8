"""Faces found in a cloud of points by a small network: placements to try, in any frame, unit and rotation.

STUB ON THIS BRANCH ONLY, until the weights exist: `propose` returns an empty list. The signature is final.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.types import Similarity


@dataclass(frozen=True)
class Proposal:
    """Where a face may be.

    Attributes:
        similarity: Scan frame and unit -> model frame. Its scale is the face's own size in the scan: model units per
            scan unit, whatever the unit is (:func:`headfield.fit.placement.unit_of` names the likely one).
        confidence: 0 to 1, how surely a face is there; comparable between scans.
    """

    similarity: Similarity
    confidence: float


def propose(points: np.ndarray, count: int = 5, seed: int = 0) -> list[Proposal]:
    """The likeliest placements of a face in a cloud, best first; any two differ by > 15 degrees or > 20 mm.

    Args:
        points: (N, 3) finite, in any frame and unit; of a mesh, samples of its surface (`fit.run.surface_points`).
        count: At most so many.
        seed: Of the thinning of large clouds.
    Returns:
        Proposals, most confident first; none where there are too few points or nothing looks like a face.
    """
    return []
