"""What cases share: how a person of a protocol is scanned, and a head's numbers against the truth by column."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from headfield.evaluate.metrics import Metrics, PairMetrics, Truth, evaluate_pair
from headfield.evaluate.observe import Observed, ScanKind, observe
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Values
from headfield.evaluate.protocol import Protocol
from headfield.synth.identities import IdentityKey
from headfield.synth.person import Person
from headfield.synth.solid import Solid
from headfield.types import Mesh


@dataclass(frozen=True)
class Case:
    """A head of a protocol with its scan.

    Attributes:
        name: Such as ``ict-dev-00003``.
        person: Who.
        solid: What was scanned, model frame.
        observed: The scan and where it truly was.
        expression: (52,) true weights, zeros when neutral.
    """

    name: str
    person: Person
    solid: Solid
    observed: Observed
    expression: np.ndarray


def scan_of(
    protocol: Protocol, key: IdentityKey, person: Person, expression, kind: ScanKind, part: str = ""
) -> Observed:
    """A scan of a person of a protocol; `part` tells several of one person apart."""
    words = [*key.rng("scan").integers(0, 2**31, 2), zlib.crc32(f"{protocol.name}{part}".encode())]
    return observe(person, expression, kind, np.random.default_rng(words), key.id)


def compare(mesh: Mesh, truth: Truth, mm_per_unit: float, settings: Settings, visible=None) -> PairMetrics:
    """Metrics of a head against a truth in the same frame."""
    return evaluate_pair(mesh, truth, visible=visible, samples=settings.samples, mm_per_unit=mm_per_unit)


def numbers(pair: PairMetrics) -> dict[str, float]:
    """The numbers of a comparison by column name."""
    found = _of_region(pair.whole, "whole", "")
    if pair.face is not None:
        found |= _of_region(pair.face, "face", "face_")
    return found | {name: region.chamfer_l1_mm for name, region in pair.regions.items()}


def _of_region(region: Metrics, name: str, prefix: str) -> dict[str, float]:
    """Chamfer under the region's name, the others with a prefix."""
    others = {"normals": region.normal_consistency, "f1": region.f1, "f1_5": region.f1_5, "f5": region.f5}
    return {name: region.chamfer_l1_mm} | {f"{prefix}{key}": value for key, value in others.items()}


def by_column(protocol: Protocol, pairs: dict[str, dict[str, float]]) -> Values:
    """Numbers by method and name as a protocol's columns have them, NaN where there is none."""
    return {
        column.name: {method: float(found.get(column.name, float("nan"))) for method, found in pairs.items()}
        for column in protocol.columns
    }


def told_of(person: Person) -> dict:
    """What is known about a person: age, sex and so on, hair and beard."""
    return person.head.describe(person.identity) | {"hair": person.hair_class, "beard": person.beard_class}
