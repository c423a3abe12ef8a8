"""How well points keep their place (imHead Fig. 8): carried from head to head by a model, against where they truly are.

Heads of a family share one topology, so that a vertex is the same place of everybody. Seen vertices of the face are
taken from a posed scan through the fit's canonical space to the same person at rest, as imHead's figure does in
colours, and from one person at rest to another by the anchors of both. Each ends on a fitted head, and the miss is its
distance to the vertex's true place there, so that it counts what the fits are wrong by as well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from headfield.evaluate.baselines import fit_pca, points_near, training_pca
from headfield.evaluate.correspondence import carry, carry_on_template
from headfield.evaluate.measured import by_column, scan_of, told_of
from headfield.evaluate.observe import Observed
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome, fit_facts
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.truth import frozen_person, lip_mask, millimetres
from headfield.fit.run import fit
from headfield.models.protocol import HeadModel, Warped, require
from headfield.models.release import load
from headfield.synth.identities import IdentityKey, frozen
from headfield.synth.person import Person
from headfield.synth.solid import Solid

MOVED_MM = 2.0
"""Vertices that an expression moves by at least this much are looked at on their own: most of a face stays."""

VERTICES = 3000
"""Vertices that are carried at most, evenly by their number."""


@dataclass(frozen=True)
class Sitting:
    """A person at one instant with a scan.

    Attributes:
        person: Who.
        solid: The true surface, model frame.
        observed: The scan.
        pose: What the fit is told of the expression.
    """

    person: Person
    solid: Solid
    observed: Observed
    pose: str

    def places(self, which: np.ndarray) -> np.ndarray:
        """Vertices (M, 3) by number in the frame and unit of the scan."""
        return self.observed.truth.inverse().apply(np.asarray(self.solid.vertices, dtype=float)[which])

    @property
    def seen(self) -> np.ndarray:
        """Vertices (V,) bool of the face that can be seen."""
        return np.asarray(self.person.head.face_mask, dtype=bool) & (np.asarray(self.solid.shown) > 0.5)

    @property
    def millimetres(self) -> float:
        """True millimetres of a unit of the scan."""
        return millimetres(self.person) * self.observed.truth.scale


def make_sitting(protocol: Protocol, family: str, index: int, settings: Settings, posed: bool) -> Sitting:
    """A bald person with the strongest of twenty expressions of theirs or at rest, the same whenever it is made."""
    person = frozen_person(family, settings.split, index, protocol.hair, settings.truth)
    key = IdentityKey(family, settings.split, index, frozen()["seed"])
    expression = strongest(person) if posed else None
    part = "posed" if posed else "rest"
    observed = scan_of(protocol, key, person, expression, protocol.scan[0], part)
    solid = person.neutral if expression is None else person.solid(expression)
    return Sitting(person, solid, observed, "auto" if posed else "neutral")


def strongest(person: Person) -> np.ndarray:
    """Of twenty expressions (52,) of a person the one that moves the face most: where nothing moves nothing is lost."""
    face, rest = np.asarray(person.head.face_mask, dtype=bool), person.bare()
    drawn = person.expressions(20)[1:]
    moved = [np.linalg.norm(person.bare(one) - rest, axis=1)[face].mean() for one in drawn]
    return drawn[int(np.argmax(moved))]


def misses(source: Sitting, target: Sitting, through, mask: np.ndarray | None = None) -> np.ndarray:
    """How far (M,) mm seen vertices of a sitting, carried by ``through(points)``, lie from the same ones of another.

    Args:
        source: Whose vertices are carried.
        target: Whose they should become; of the same family.
        through: Points (M, 3) of the source's scan -> points (M, 3) of the target's.
        mask: Vertices (V,) bool to look at, beside those of the face that both show; None for all.
    """
    seen = source.seen & target.seen
    which = np.flatnonzero(seen if mask is None else seen & mask)
    which = which[:: max(1, -(-len(which) // VERTICES))]
    gap = through(source.places(which)) - target.places(which)
    return np.linalg.norm(gap, axis=1) * target.millimetres


def apart(source: Sitting, target: Sitting) -> np.ndarray:
    """Ways (V,) mm of the vertices from one sitting to the other, both in the model frame: the miss of whoever does not
    move them at all."""
    gap = np.asarray(source.solid.vertices, dtype=float) - target.solid.vertices
    return np.linalg.norm(gap, axis=1) * millimetres(target.person)


def median(values: np.ndarray) -> float:
    """The median, NaN of nothing."""
    return float(np.median(values)) if len(values) else float("nan")


def run_carried(protocol: Protocol, family: str, index: int, settings: Settings) -> Outcome:
    """Run and measure one person: posed to rest, and at rest to the next person of the split.

    Raises:
        ConfigError: The model has no canonical space.
        HeadfieldError: A scan could not be fitted.
    """
    model = load(settings.model)
    require(model, Warped, "Carrying points through the canonical space")
    posed, rest = (make_sitting(protocol, family, index, settings, moved) for moved in (True, False))
    other = make_sitting(protocol, family, _next(protocol, family, index, settings), settings, False)
    begin = time.perf_counter()
    fits = [fit(one.observed.scan, model, expression=one.pose, refuse=False) for one in (posed, rest, other)]
    seconds = time.perf_counter() - begin
    by_model = {
        "expression": lambda points: carry(points, fits[0], fits[1], settings.resolution),
        "person": lambda points: carry(points, fits[1], fits[2], settings.resolution),
    }
    found = {"ours": _numbers(posed, rest, other, by_model)}
    moved, between = apart(posed, rest), apart(rest, other)
    found["ours"]["still"] = median(moved[posed.seen & rest.seen & (moved >= MOVED_MM)])
    found["ours"]["person_still"] = median(between[rest.seen & other.seen])
    if settings.baselines:
        found["pca"] = _numbers(posed, rest, other, _by_pca(model, posed, rest, other, settings))
    facts = {"fit_seconds": seconds} | fit_facts(fits[0]) | {"person": told_of(posed.person)}
    return Outcome(by_column(protocol, found), fits[0], facts)


def _next(protocol: Protocol, family: str, index: int, settings: Settings) -> int:
    """The number of the family's next person in the split, after the last the first."""
    own = [number for name, number in protocol.cases(settings.split) if name == family]
    return own[(own.index(index) + 1) % len(own)]


def _numbers(posed: Sitting, rest: Sitting, other: Sitting, ways: dict) -> dict[str, float]:
    calm = misses(posed, rest, ways["expression"])
    moving = misses(posed, rest, ways["expression"], apart(posed, rest) >= MOVED_MM)
    lips = misses(posed, rest, ways["expression"], lip_mask(posed.person))
    across = misses(rest, other, ways["person"])
    return {
        "expression": median(calm),
        "expression_p90": float(np.percentile(calm, 90)),
        "moving": median(moving),
        "lips": median(lips),
        "person": median(across),
        "person_p90": float(np.percentile(across, 90)),
    }


def _by_pca(model: HeadModel, posed: Sitting, rest: Sitting, other: Sitting, settings: Settings) -> dict:
    """The same ways by a PCA of the training heads, whose vertices correspond by their number.

    Its fits begin at the true placements, and posed heads are among those that it is made of.
    """
    linear = training_pca(posed.person.key.family, settings.pca_heads, True, settings.truth)
    fits = [
        fit_pca(linear, points_near(one.observed.scan, one.observed.truth, model.box), one.observed.truth)
        for one in (posed, rest, other)
    ]

    def way(source: int, target: int):
        ours, theirs = fits[source], fits[target]
        back = theirs.placement.inverse()
        return lambda points: back.apply(carry_on_template(ours.placement.apply(points), ours.mesh, theirs.mesh))

    return {"expression": way(0, 1), "person": way(1, 2)}
