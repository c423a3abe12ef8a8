"""One case of a protocol: the head, its scan, the fit, and the numbers against the hidden truth."""

from __future__ import annotations

import time

import numpy as np

from headfield.errors import present
from headfield.evaluate.baselines import fit_mean, fit_pca, mean_mesh, points_near, training_local_pca, training_pca
from headfield.evaluate.measured import Case, by_column, compare, numbers, scan_of, told_of
from headfield.evaluate.metrics import Truth
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome, Values, fit_facts
from headfield.evaluate.outsiders import run_outsider
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.protocols import FALSE_HAIR_MM, RIGHT_MM
from headfield.evaluate.truth import frozen_person, millimetres, scalp_mask, truth_of
from headfield.fit.gate import FACE_PARTS
from headfield.fit.normal_equations import codes_of, model_anchors
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.models.release import load
from headfield.surface.mesh_head import mesh_of
from headfield.surface.visibility import visible_triangles
from headfield.synth.identities import IdentityKey, frozen
from headfield.types import ARKIT, Mesh, Similarity

SMILE = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5}


def make_case(protocol: Protocol, split: str, family: str, index: int, truth: str = "v1") -> Case:
    """A case, the same whenever it is made: every draw has its own frozen stream."""
    person = frozen_person(family, split, index, protocol.hair, truth)
    key = IdentityKey(family, split, index, frozen()["seed"])
    expression = np.zeros(len(ARKIT), dtype=np.float32)
    if protocol.pose == "drawn":
        expression = person.expressions(20)[1 + index % 20]
    elif protocol.pose == "smile":
        expression = np.array([SMILE.get(name, 0.0) for name in ARKIT], dtype=np.float32)
    solid = person.solid(expression) if expression.any() else person.neutral
    observed = scan_of(
        protocol, key, person, expression if expression.any() else None, protocol.scan[index % len(protocol.scan)]
    )
    return Case(key.id, person, solid, observed, expression)


def run_case(protocol: Protocol, family: str, index: int, settings: Settings) -> Outcome:
    """Run and measure one case.

    Raises:
        HeadfieldError: The scan could not be fitted.
    """
    if protocol.kind == "outsiders":
        return run_outsider(protocol, family, index, settings)
    if protocol.kind == "real":
        from headfield.evaluate.real import run_real

        return run_real(protocol, family, index, settings)
    if protocol.kind == "capture":
        from headfield.evaluate.captures import run_capture

        return run_capture(protocol, family, index, settings)
    if protocol.kind == "drawn":
        from headfield.evaluate.drawn import run_drawn

        return run_drawn(protocol, index, settings)
    if protocol.kind == "specificity":
        from headfield.evaluate.specificity import run_specificity

        return run_specificity(protocol, index, settings)
    if protocol.kind == "compactness":
        from headfield.evaluate.compactness import run_compactness

        return run_compactness(protocol, family, index, settings)
    if protocol.kind == "carried":
        from headfield.evaluate.carried import run_carried

        return run_carried(protocol, family, index, settings)
    if protocol.kind == "timed":
        from headfield.evaluate.fit_time import run_timed

        return run_timed(protocol, family, index, settings)
    if protocol.kind == "several":
        from headfield.evaluate.several import run_several

        return run_several(protocol, family, index, settings)
    case = make_case(protocol, settings.split, family, index, settings.truth)
    model = load(settings.model)
    begin = time.perf_counter()
    found = fit(case.observed.scan, model, expression=protocol.expression, refuse=False)
    facts = {"fit_seconds": time.perf_counter() - begin} | fit_facts(found)
    person = case.person
    facts["person"] = told_of(person)
    if protocol.kind == "placement":
        return Outcome(_anchor_values(case, found, model, settings), found, facts)
    if protocol.kind == "disentangled":
        return Outcome(_disentangled(protocol, case, found, model, settings), found, facts)
    pairs = {}
    truth = truth_of(case.person, case.solid)
    for method, mesh, visible in heads(case, found, model, settings, protocol.pose == "drawn"):
        pair = compare(mesh, truth, millimetres(case.person), settings, visible)
        pairs[method] = numbers(pair) | _scalp(case, mesh)
    pairs["ours"]["seconds"] = facts["fit_seconds"]
    return Outcome(by_column(protocol, pairs), found, facts)


def heads(case: Case, found: Fit, model, settings: Settings, posed: bool):
    """The fit's head and the baselines' as (method, mesh in the true head's frame, visible triangles).

    Baselines start from the true placement, which the fit never sees: their numbers do not hang on the fit's.
    """
    start = case.observed.truth
    points = points_near(case.observed.scan, start, model.box)
    to_true = case.observed.truth.after(found.placement.inverse())
    mesh = mesh_of(model, found.codes(), settings.resolution)
    yield "ours", mesh.transformed(to_true), visible_triangles(mesh)
    if not settings.baselines:
        return
    place = fit_mean(model, points, start)
    mesh, visible = mean_mesh(settings.model, settings.resolution)
    yield "mean", mesh.transformed(case.observed.truth.after(place.inverse())), visible
    for method, trained in (("pca", training_pca), ("local_pca", training_local_pca)):
        pca = fit_pca(trained(case.person.key.family, settings.pca_heads, posed, settings.truth), points, start)
        mesh = pca.mesh.transformed(case.observed.truth.after(pca.placement.inverse()))
        yield method, mesh, visible_triangles(mesh)


def _scalp(case: Case, mesh: Mesh) -> dict[str, float]:
    """Median outward offset of a bald head's scalp, mm, and whether it is no false hair."""
    if case.solid.hair is not None:
        return {}
    over = mesh.vertices[scalp_mask(mesh.vertices, case.person.anchors)]
    if not len(over):
        return {}
    offset, _ = case.solid.signed_distance(over[:: max(1, len(over) // 4000)])
    offset = float(np.median(offset)) * millimetres(case.person)
    return {"scalp": offset, "true_scalp": float(offset <= FALSE_HAIR_MM)}


def _anchor_values(case: Case, found: Fit, model, settings: Settings) -> Values:
    """Where the face is; here the baselines start where the fit ended, since finding the head is the question."""
    points = found.scans[0].points
    place = fit_mean(model, points, found.placement)
    mean = model.prior.component(0).mean
    pca = training_pca(case.person.key.family, settings.pca_heads, truth=settings.truth)
    linear = fit_pca(pca, points, found.placement)
    answers: dict[str, tuple[Similarity, np.ndarray]] = {
        "ours": (found.placement, model_anchors(model, found.identity)),
        "mean": (place, model_anchors(model, mean)),
        "pca": (linear.placement, pca.anchors(linear.mesh.vertices)),
    }
    values: Values = {"right": {}, "anchors": {}}
    for method, (placement, anchors) in answers.items():
        there = case.observed.truth.apply(placement.inverse().apply(anchors))
        gap = np.linalg.norm(there - case.person.anchors, axis=1)[FACE_PARTS].mean() * millimetres(case.person)
        values["anchors"][method], values["right"][method] = float(gap), float(gap <= RIGHT_MM)
    return values


def _disentangled(protocol: Protocol, case: Case, smiling: Fit, model, settings: Settings) -> Values:
    """Both directions: the neutral head out of a smiling scan, and the smiling head from a neutral scan."""
    person, mm = case.person, millimetres(case.person)
    neutral_truth, posed_truth = truth_of(person, person.neutral), truth_of(person, case.solid)
    linear = training_pca(person.key.family, settings.pca_heads, truth=settings.truth)
    values: Values = {"neutral": {}, "posed": {}}

    def face(column: str, method: str, mesh: Mesh, back: Similarity, truth: Truth, visible=None) -> None:
        pair = compare(mesh.transformed(back), truth, mm, settings, visible)
        values[column][method] = present(pair.face, "the face of a comparison").chamfer_l1_mm

    to_true = case.observed.truth
    points = points_near(case.observed.scan, to_true, model.box)
    mesh = mesh_of(model, smiling.codes(neutral=True), settings.resolution)
    face("neutral", "ours", mesh, to_true.after(smiling.placement.inverse()), neutral_truth)
    mesh, visible = mean_mesh(settings.model, settings.resolution)
    place = fit_mean(model, points, to_true)
    face("neutral", "mean", mesh, to_true.after(place.inverse()), neutral_truth, visible)
    answer = fit_pca(linear, points, to_true)
    face("neutral", "pca", answer.mesh, to_true.after(answer.placement.inverse()), neutral_truth)

    rest = scan_of(protocol, person.key, person, None, protocol.scan[0], "rest")
    calm = fit(rest.scan, model, expression="neutral", refuse=False)
    to_true = rest.truth
    points = points_near(rest.scan, to_true, model.box)
    mesh = mesh_of(model, codes_of(model, calm.identity, case.expression), settings.resolution)
    face("posed", "ours", mesh, to_true.after(calm.placement.inverse()), posed_truth)
    mesh, visible = mean_mesh(settings.model, settings.resolution, tuple(map(float, case.expression)))
    place = fit_mean(model, points, to_true)
    face("posed", "mean", mesh, to_true.after(place.inverse()), posed_truth, visible)
    answer = fit_pca(linear, points, to_true)
    # the person's own blendshapes on the PCA's neutral: the strongest linear answer there is
    offsets = person.bare(case.expression) - person.bare()
    mesh = Mesh(answer.mesh.vertices + offsets, answer.mesh.triangles)
    face("posed", "pca", mesh, to_true.after(answer.placement.inverse()), posed_truth)
    return values
