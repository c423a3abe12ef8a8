"""Where the separate bodies of a scan are, the one taken for the head and the others, in boxes for ``--crop``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from headfield.fit.clean import clean
from headfield.io.crop import box_text
from headfield.types import Similarity

_NAMED = 4
"""So many bodies are named, the largest first."""


@dataclass(frozen=True)
class Bodies:
    """The separate bodies of a scan that are of some size, largest first; see :func:`headfield.fit.clean.clean`.

    Attributes:
        shares: (M,) share of the (evenly thinned) points of all of them.
        boxes: (M, 2, 3) lower and upper corner of each, in the scan's frame and unit; all of its points lie within.
        places: (P, 3) evenly thinned points of all of them.
        body: (P,) which body each belongs to.
    """

    shares: np.ndarray
    boxes: np.ndarray
    places: np.ndarray
    body: np.ndarray

    def note(self, similarity: Similarity, box: np.ndarray) -> str | None:
        """A sentence on which body was taken for the head and where all of them are; None where there is one only.

        Args:
            similarity: Scan frame and unit -> model frame.
            box: (2, 3) the model's.
        """
        if len(self.shares) < 2:
            return None
        placed = similarity.apply(self.places)
        inside = ((placed > box[0]) & (placed < box[1])).all(axis=1)
        taken = int(np.argmax(np.bincount(self.body[inside], minlength=len(self.shares))))
        others = [self._crop(number) for number in range(len(self.shares)) if number != taken]
        more = f"; {len(others) - _NAMED} more are smaller" if len(others) > _NAMED else ""
        return (
            f"{len(self.shares)} separate bodies in the file; the head was looked for in all, and the best match was "
            f"taken, within {self._crop(taken)}. To have another one give {' or '.join(others[:_NAMED])}{more}."
        )

    def told(self) -> str:
        """Share and box of each, for a table."""
        each = [f"{share:.0%} within {self._crop(number)}" for number, share in enumerate(self.shares[:_NAMED])]
        return ", ".join(each) + (", ..." if len(self.shares) > _NAMED else "")

    def _crop(self, number: int) -> str:
        return f'--crop "{box_text(self.boxes[number])}"'


def bodies_of(surface: np.ndarray, seed: int = 0) -> Bodies:
    """The bodies among the points (N, 3) of a scan's surface, strays and crumbs left out.

    Args:
        surface: Finite points, scan frame and unit.
        seed: Seed of the thinning.
    """
    found = clean(surface, 3000, seed)
    places = surface[found.index]
    if found.bodies == 1:  # the usual case, in no time
        return Bodies(np.ones(1), np.array([[surface.min(0), surface.max(0)]]), places, found.body)
    away, nearest = cKDTree(places).query(surface)
    owner = np.where(away <= 3.0 * found.spacing, found.body[nearest], -1)
    owner[found.index] = found.body
    margin = 0.5 * found.spacing  # a mesh's corners may stand out beyond the samples of its surface
    boxes = [(surface[owner == n].min(0) - margin, surface[owner == n].max(0) + margin) for n in range(found.bodies)]
    return Bodies(np.bincount(found.body) / len(found.body), np.array(boxes), places, found.body)
