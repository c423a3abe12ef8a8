"""A tracked depth video as a track, which plays on any head, and is written, resampled and animated like any other."""

from __future__ import annotations

import numpy as np

from headfield.edit.tracks import Track
from headfield.errors import TrackError
from headfield.fit.placement import millimetres_per_unit
from headfield.fit.track.take import Take
from headfield.frames import reference_anchors, turning_pivot


def track_of(take: Take, pivot: np.ndarray | None = None) -> Track:
    """The track of a take: its expression numbers, how the head is turned, seen from the camera, and where it goes.

    Frames in which no face was seen are bridged, as the take has them.

    Args:
        take: A tracked video.
        pivot: (3,) point that the head turns about, model units; None takes an average head's.
    Raises:
        TrackError: The take's expression numbers are a code that only its own model understands.
    """
    if take.channels not in ("arkit52", "flame"):
        raise TrackError(
            f"{take.name}: its expression numbers are {take.channels!r}, which only {take.model_name} understands; "
            "tracks hold the 52 ARKit weights, or FLAME's parameters."
        )
    pivot = turning_pivot(reference_anchors()) if pivot is None else np.asarray(pivot, dtype=float)
    metres = 1e-3 * millimetres_per_unit(take.placements[0].scale, take.units) * take.placements[0].scale
    place = metres * np.array([placement.inverse().apply(pivot) for placement in take.placements])
    bridged = int((~take.seen).sum())
    return Track(
        take.times,
        take.expression,
        take.rotation,
        name=take.name,
        notes=(f"{bridged} of {len(take)} frames without a face are bridged.",) if bridged else (),
        channels=take.channels,
        shift=place - place[0],
    )
