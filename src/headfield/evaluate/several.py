"""A person scanned several times, every time with another expression: one identity, every posed head is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from headfield.evaluate.baselines import fit_mean, mean_mesh, points_near
from headfield.evaluate.measured import Case, by_column, compare, numbers, scan_of, told_of
from headfield.evaluate.observe import Observed
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome, fit_facts
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.truth import frozen_person, millimetres, truth_of
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.models.release import load
from headfield.surface.mesh_head import mesh_of
from headfield.surface.visibility import visible_triangles
from headfield.synth.identities import IdentityKey, frozen
from headfield.synth.person import Person


@dataclass(frozen=True)
class Several:
    """A person with several scans.

    Attributes:
        person: Who.
        expressions: (S, 52) true weights of each.
        observed: The scans, and where the head truly was in each.
    """

    person: Person
    expressions: np.ndarray
    observed: list[Observed]

    @property
    def first(self) -> Case:
        """The first scan as a case of its own."""
        person, expression = self.person, self.expressions[0]
        return Case(person.key.id, person, person.solid(expression), self.observed[0], expression)


def make_several(protocol: Protocol, split: str, family: str, index: int, truth: str = "v1") -> Several:
    """A person and the scans, the same whenever they are made."""
    person = frozen_person(family, split, index, protocol.hair, truth)
    key = IdentityKey(family, split, index, frozen()["seed"])
    expressions = person.expressions(protocol.scans)[1:]
    observed = [
        scan_of(protocol, key, person, expression, protocol.scan[number % len(protocol.scan)], f"scan {number}")
        for number, expression in enumerate(expressions)
    ]
    return Several(person, expressions, observed)


def run_several(protocol: Protocol, family: str, index: int, settings: Settings) -> Outcome:
    """Run and measure one person.

    Raises:
        HeadfieldError: The scans could not be fitted.
    """
    case, model = make_several(protocol, settings.split, family, index, settings.truth), load(settings.model)
    begin = time.perf_counter()
    found = fit([one.scan for one in case.observed], model, expression=protocol.expression, refuse=False)
    seconds = time.perf_counter() - begin
    rows: dict[str, list[dict[str, float]]] = {}
    for number, (one, expression) in enumerate(zip(case.observed, case.expressions)):
        for method, row in _measured(case.person, expression, one, found, number, model, settings):
            rows.setdefault(method, []).append(row)
    pairs = {method: _means(each) for method, each in rows.items()}
    pairs["ours"]["seconds"] = seconds
    facts = {"fit_seconds": seconds} | fit_facts(found) | {"person": told_of(case.person)}
    return Outcome(by_column(protocol, pairs), found, facts)


def _measured(
    person: Person, expression: np.ndarray, observed: Observed, found: Fit, number: int, model, settings: Settings
):
    """(method, numbers) of one scan; the mean head is neutral."""
    solid, mm = person.solid(expression), millimetres(person)
    truth = truth_of(person, solid)
    mesh = mesh_of(model, found.codes(scan=number), settings.resolution)
    to_true = observed.truth.after(found.scans[number].placement.inverse())
    yield "ours", numbers(compare(mesh.transformed(to_true), truth, mm, settings, visible_triangles(mesh)))
    if settings.baselines:
        place = fit_mean(model, points_near(observed.scan, observed.truth, model.box), observed.truth)
        mesh, visible = mean_mesh(settings.model, settings.resolution)
        back = observed.truth.after(place.inverse())
        yield "mean", numbers(compare(mesh.transformed(back), truth, mm, settings, visible))


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means over scans of each number that any of them has."""
    names = {name for row in rows for name in row}
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
