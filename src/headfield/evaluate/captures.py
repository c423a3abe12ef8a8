"""One case of the captures test: who, captured how, the fit, and what it got right of place, shape and action."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass

import numpy as np

from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome, fit_facts
from headfield.evaluate.protocols import FALSE_HAIR_MM, RIGHT_MM, Protocol
from headfield.evaluate.reading import COLUMNS, Action, actions_of, gaze_error, read_weights
from headfield.evaluate.truth import frozen_person, scalp_mask
from headfield.fit.evidence import FACE_PARTS
from headfield.fit.normal_equations import model_anchors
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.models.release import load
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target
from headfield.synth.captures import KINDS, Capture, capture, draw_expression, draw_pose, frozen_captures
from headfield.synth.identities import frozen
from headfield.synth.sitter import Sitter, posed, sitter_of
from headfield.types import Mesh

FACE_POINTS = 20_000
"""Most points of the captured face that distances are taken at."""

WELL_MM = 0.6
"""A fit this near to the captured face must not be called poor."""


@dataclass(frozen=True)
class CaptureCase:
    """A capture with its truth.

    Attributes:
        capture: What the fit sees, and its secret.
        actions: What the face truly does, by group.
    """

    capture: Capture
    actions: dict[str, Action]


def stream(kind: str, split: str, family: str, index: int) -> np.random.Generator:
    """The frozen random stream of a case."""
    words = [zlib.crc32(word.encode()) for word in (f"captures-{kind}", split, family)]
    return np.random.default_rng([frozen()["seed"], *words, index])


def make_capture(kind: str, split: str, family: str, index: int) -> CaptureCase:
    """A case, the same whenever it is made."""
    rng = stream(kind, split, family, index)
    pose = draw_pose(kind, rng)
    expression = draw_expression(kind, pose, rng)
    number = list(frozen_captures()["poses"]).index(kind) * frozen_captures()["people"][split][family] + index
    person = frozen_person(family, split, number % frozen()["released_counts"][family][split], "bald")
    sitter = sitter_of(person, expression)
    actions = actions_of(
        sitter.expression, lambda weights: posed(person, weights), sitter.triangles, sitter.face, sitter.mm_per_unit
    )
    return CaptureCase(capture(kind, sitter, pose, rng), actions)


def run_capture(protocol: Protocol, family: str, index: int, settings: Settings) -> Outcome:
    """Fit one capture, told nothing, and measure.

    Raises:
        HeadfieldError: It could not be fitted at all.
    """
    case = make_capture(protocol.capture, settings.split, family, index)
    model = load(settings.model)
    begin = time.perf_counter()
    found = fit(case.capture.scan, model, expression=protocol.expression, refuse=False)
    facts = {"fit_seconds": time.perf_counter() - begin} | fit_facts(found)
    facts |= {"person": case.capture.sitter.facts, "capture": case.capture.facts}
    values, more = measured(case, found, model, settings)
    return Outcome({name: {"ours": value} for name, value in values.items()}, found, facts | more)


def measured(case: CaptureCase, found: Fit, model, settings: Settings) -> tuple[dict[str, float], dict]:
    """All numbers of a fit by column, and facts for whoever looks into a case."""
    taken, sitter = case.capture, case.capture.sitter
    anchors = anchor_error(taken, found, model)
    facts = fit_facts(found)
    head = mesh_of(model, found.codes(), settings.resolution)
    head = head.transformed(taken.model_from_scan.after(found.placement.inverse()))
    values = {"anchors": anchors, "placed": float(anchors <= RIGHT_MM and not facts["refused"])}
    values |= distances(taken, head)
    values |= dict.fromkeys(COLUMNS, np.nan)
    read = np.asarray(found.expression, dtype=float)
    if sitter.expression is not None:
        values |= read_weights(taken.pose, sitter.expression, case.actions, read, taken.shown.lids_visible)
        if taken.shown.gaze_visible:
            values["gaze"] = gaze_error(sitter.expression, read)
    seen = getattr(found, "gaze_seen", None)
    if seen is not None and taken.shown.gaze_visible:
        values["gaze_unseen"] = float(not seen)
    if taken.shown.scalp_bare or taken.shown.scalp_uncaptured:
        values |= hair_claimed(sitter, head)
    verdict = getattr(getattr(found, "verdict", None), "level", None)
    if verdict is not None and values["placed"] and values["captured"] <= WELL_MM:
        values["poor"] = float(verdict == "poor")
    asked = {name: [a.weight, a.moves_mm, a.group.weight(read)] for name, a in case.actions.items() if a.active}
    truth = None if sitter.expression is None else nonzero(sitter.expression)
    return values, {"verdict": verdict, "asked": asked, "true": truth, "read": nonzero(read)}


def anchor_error(taken: Capture, found: Fit, model) -> float:
    """Mean distance of the fitted head's neutral face anchors to the true ones, mm."""
    there = taken.model_from_scan.apply(found.placement.inverse().apply(model_anchors(model, found.identity)))
    gap = np.linalg.norm(there - taken.sitter.anchors, axis=1)[FACE_PARTS]
    return float(gap.mean()) * taken.sitter.mm_per_unit


def distances(taken: Capture, head: Mesh) -> dict[str, float]:
    """The face's seen part: from the captured surface and from the true one under it to the head, medians in mm.

    Args:
        taken: The capture.
        head: The fitted head in the sitter's model frame.
    """
    shown, mm = taken.shown.surface, taken.sitter.mm_per_unit
    rows = np.flatnonzero(shown.face & ~shown.mouth & ~shown.hair)
    rows = rows[:: max(1, len(rows) // FACE_POINTS)]
    if not len(rows):
        return {"captured": np.nan, "truth": np.nan, "smoothing": np.nan, "over": np.nan}
    target = Target(head)
    captured = float(np.median(target.closest(shown.vertices[rows] / mm)[0])) * mm
    truth = float(np.median(target.closest(shown.foot[rows] / mm)[0])) * mm
    smoothing = float(np.median(np.linalg.norm(shown.vertices[rows] - shown.foot[rows], axis=1)))
    return {"captured": captured, "truth": truth, "smoothing": smoothing, "over": truth - smoothing}


def hair_claimed(sitter: Sitter, head: Mesh) -> dict[str, float]:
    """Median outward offset of the scalp from the bald truth, mm, and whether no hair was claimed."""
    mm = sitter.mm_per_unit
    over = head.vertices[scalp_mask(head.vertices, sitter.anchors)]
    if not len(over):
        return {}
    over = over[:: max(1, len(over) // 4000)]
    skin = Target(Mesh(sitter.vertices, sitter.triangles), sitter.seen)
    distance, foot = skin.closest(over)
    offset = float(np.median(np.sign(((over - foot.points) * foot.normals).sum(1)) * distance)) * mm
    return {"scalp": offset, "true_scalp": float(offset <= FALSE_HAIR_MM)}


def nonzero(weights: np.ndarray) -> dict[str, float]:
    """Channels above 0.02 by name, rounded."""
    from headfield.types import ARKIT

    return {name: round(float(weight), 3) for name, weight in zip(ARKIT, weights) if weight > 0.02}


def capture_kinds() -> tuple[str, ...]:
    """The kinds that can be made."""
    return tuple(KINDS)
