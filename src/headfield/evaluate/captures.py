"""One case of the captures test: who, captured how, the fit, and what it got right of place, shape and action."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome, fit_facts
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.protocols import FALSE_HAIR_MM, RIGHT_MM
from headfield.evaluate.reading import (
    ACTED,
    COLUMNS,
    FOUND_COLUMNS,
    SCALELESS,
    WELL_MM,
    Action,
    actions_of,
    asked,
    gaze_error,
    nonzero,
    read_motion,
    read_weights,
)
from headfield.evaluate.sitters import outsider_sitter
from headfield.evaluate.truth import frozen_person, scalp_mask
from headfield.fit.gate import FACE_PARTS
from headfield.fit.normal_equations import model_anchors
from headfield.fit.options import FitOptions
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.frames import anchor_indices
from headfield.models.release import load
from headfield.surface.inverse_warp import from_canonical
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target
from headfield.synth.captures import Capture, capture, draw_expression, draw_pose, frozen_captures, people
from headfield.synth.identities import frozen
from headfield.synth.poses import Pose, poses
from headfield.synth.sitter import Sitter, posed, sitter_of
from headfield.types import Mesh

FACE_POINTS = 20_000
"""Most points of the captured face that distances are taken at."""

SPLITS = {name: frozen()["released_counts"][name] for name in ("ict", "anny")}
"""Families of the frozen population, and how many people each split of them holds."""

HAIRED = ("phone-depth",)
"""Kinds whose people wear the population's hair; the others' makers put hair on, or a cap, or none."""

OUTSIDER_STREAMS = {"dev": 25, "test": 26}
"""Random streams of Vitruvian's identities in captures; those of the protocol *outsiders* are other people."""


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


def make_capture(kind: str, split: str, family: str, index: int, play: str = "drawn") -> CaptureCase:
    """A case, the same whenever it is made.

    Args:
        kind: Of captures, see `headfield.synth.captures`.
        split, family, index: Who.
        play: What the face does: ``drawn`` (by the kind's shares), ``acted`` (drawn until it is an emotion or a
            viseme), ``neutral`` (still; closed eyes stay closed), or ``rest``: still in a second capture of the person.
    """
    rng = stream(kind if play != "rest" else f"{kind}-rest", split, family, index)
    pose = draw_pose(kind, rng)
    while play == "acted" and pose.kind not in ACTED:
        pose = draw_pose(kind, rng)
    pose = poses()["neutral"] if play in ("neutral", "rest") else pose
    return capture_of(kind, split, family, index, pose, rng)


def capture_of(kind: str, split: str, family: str, index: int, pose: Pose, rng: np.random.Generator) -> CaptureCase:
    """A person of the test in a pose of the table; `rng` draws how strong it is, and how it is captured."""
    expression = draw_expression(kind, pose, rng)
    number = list(frozen_captures()["poses"]).index(kind) * people(kind, split).get(family, 0) + index
    if family in SPLITS:
        person = frozen_person(family, split, number % SPLITS[family][split], "drawn" if kind in HAIRED else "bald")
        sitter, played = sitter_of(person, expression), partial(posed, person)
    else:
        who = np.random.default_rng([frozen()["seed"], OUTSIDER_STREAMS[split], number])
        sitter, played = outsider_sitter(family, split, index, expression, who)
        pose = pose if sitter.poseable else poses()["neutral"]
    actions = actions_of(sitter.expression, played, sitter.triangles, sitter.face, sitter.mm_per_unit)
    return CaptureCase(capture(kind, sitter, pose, rng), actions)


def run_capture(protocol: Protocol, family: str, index: int, settings: Settings) -> Outcome:
    """Fit one capture, told no more than the protocol says, and measure; numbers are of the first scan.

    Raises:
        HeadfieldError: It could not be fitted at all.
    """
    case = make_capture(protocol.capture, settings.split, family, index, protocol.pose)
    model = load(settings.model)
    scans, options = [case.capture.scan], FitOptions(expression=protocol.expression, refuse=False)
    if protocol.rest:
        scans.append(make_capture(protocol.capture, settings.split, family, index, "rest").capture.scan)
        options = replace(options, neutral=(1,))
    elif protocol.pose == "neutral":
        options = replace(options, neutral=(0,))
    begin = time.perf_counter()
    found = fit(scans, model, options)
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
    lids = taken.shown.lids_visible and sitter.poseable
    weights = read_weights(taken.pose, sitter.expression, case.actions, read, lids)
    if sitter.comparable:
        values |= weights
    else:
        if sitter.poseable:
            values |= read_motion(taken.pose, case.actions, anchor_motion(taken, case.actions, found, model))
        values |= {name: weights[name] for name in SCALELESS}
    if taken.shown.gaze_visible and sitter.comparable:
        values["gaze"] = gaze_error(sitter.expression, read)
    seen = getattr(found, "gaze_seen", None)
    if seen is not None and taken.shown.gaze_visible:
        values["gaze_unseen"] = float(not seen)
    if not values["placed"]:
        values |= {name: worthless(name, value) for name, value in values.items() if name in COLUMNS or name == "gaze"}
    if values["placed"] and sitter.bald and (taken.shown.scalp_bare or taken.shown.scalp_uncaptured):
        values |= hair_claimed(sitter, head)
    verdict = getattr(getattr(found, "verdict", None), "level", None)
    if verdict is not None and values["placed"] and values["captured"] <= WELL_MM:
        values["poor"] = float(verdict == "poor")
    were = {n: [a.weight, a.moves_mm, a.group.weight(read)] for n, a in case.actions.items() if asked(a, lids)}
    return values, {"verdict": verdict, "asked": were, "true": nonzero(sitter.expression), "read": nonzero(read)}


def worthless(name: str, value: float) -> float:
    """What a reading counts whose face is not where it was put: an action is not found, the rest cannot be asked."""
    return 0.0 if name in FOUND_COLUMNS and not np.isnan(value) else np.nan


def anchor_error(taken: Capture, found: Fit, model) -> float:
    """Mean distance of the fitted head's neutral face anchors to the true ones, mm."""
    there = taken.model_from_scan.apply(found.placement.inverse().apply(model_anchors(model, found.identity)))
    gap = np.linalg.norm(there - taken.sitter.anchors, axis=1)[FACE_PARTS]
    return float(gap.mean()) * taken.sitter.mm_per_unit


def anchor_motion(taken: Capture, actions: dict[str, Action], found: Fit, model) -> dict:
    """Group -> true and read motions (A, 3) of its anchors, mm, axes of the sitter's model frame."""
    sitter = taken.sitter
    true = sitter.mm_per_unit * (sitter.moved_anchors - sitter.anchors)
    at = model_anchors(model, found.identity)
    read = np.zeros_like(at)
    if np.any(found.expression):
        read = from_canonical(model, at, found.codes()).points - at
    back = taken.model_from_scan.after(found.placement.inverse())
    read = sitter.mm_per_unit * back.scale * back.rotate(read)
    rows = {name: anchor_indices(action.group.anchors) for name, action in actions.items()}
    return {name: (true[index], read[index]) for name, index in rows.items()}


def distances(taken: Capture, head: Mesh) -> dict[str, float]:
    """The face's seen part: from the captured surface and from the true one under it to the head, medians in mm.

    Args:
        taken: The capture.
        head: The fitted head in the sitter's model frame.
    """
    shown, mm = taken.shown.surface, taken.sitter.mm_per_unit
    rows = np.flatnonzero(shown.face & ~shown.mouth & ~shown.hair & ~shown.alien)
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
    offset = float(np.median(skin.outside(over))) * mm
    return {"scalp": offset, "true_scalp": float(offset <= FALSE_HAIR_MM)}
