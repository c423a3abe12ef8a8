"""anny's phenotypes (age, gender, weight, groups) in numpy: weights of the shapes, plausible draws, words."""

from __future__ import annotations

import numpy as np

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions", "african", "asian", "caucasian")
"""The phenotypes of a head; the library's others (cupsize, firmness) stay at their middle."""

_VARIATIONS = {
    "race": 3,
    "gender": 2,
    "age": 5,
    "muscle": 3,
    "weight": 3,
    "height": 2,
    "proportions": 2,
    "cupsize": 3,
    "firmness": 3,
}

_AGE_ANCHORS = np.linspace(-1.0 / 3.0, 1.0, 5)
"""newborn, baby, child, young, old on anny's age axis."""

_AGE_YEARS = np.array([0.0, 1.0, 10.0, 25.0, 90.0])


def phenotype_weights(phenotype: dict[str, float], mask: np.ndarray) -> np.ndarray:
    """Weights (P,) of anny's phenotype shapes: products of piecewise-linear weights of the variations they name.

    The same as ``anny.models.phenotype.phenotype_blendshape_weights`` (tested against it).

    Args:
        phenotype: Values by name; genders run 0 = male to 1 = female, missing ones are 0.5.
        mask: (P, 26) which variations each shape is a product of.
    """
    groups = np.array([phenotype.get(name, 0.5) for name in ("african", "asian", "caucasian")], dtype=float)
    total = groups.sum()
    weights = [groups / total if total > 0 else np.full(3, 1.0 / 3.0)]
    for name, count in list(_VARIATIONS.items())[1:]:
        anchors = _AGE_ANCHORS if name == "age" else np.linspace(0.0, 1.0, count)
        weights.append(_hat(phenotype.get(name, 0.5), anchors))
    values = np.concatenate(weights)
    return np.prod(np.where(mask > 0.5, values, 1.0), axis=1)


def _hat(value: float, anchors: np.ndarray) -> np.ndarray:
    """Piecewise-linear interpolation weights of a value between anchors, clamped to their range."""
    value = float(np.clip(value, anchors[0], anchors[-1]))
    after = int(np.clip(np.searchsorted(anchors, value), 1, len(anchors) - 1))
    share = (value - anchors[after - 1]) / (anchors[after] - anchors[after - 1])
    weights = np.zeros(len(anchors))
    weights[after - 1], weights[after] = 1.0 - share, share
    return weights


def age_in_years(age: float) -> float:
    """Years that anny's age axis stands for."""
    return float(np.interp(age, _AGE_ANCHORS, _AGE_YEARS))


def age_of_years(years: float) -> float:
    """Place on anny's age axis of an age in years."""
    return float(np.interp(years, _AGE_YEARS, _AGE_ANCHORS))


def draw_phenotype(rng: np.random.Generator) -> dict[str, float]:
    """A plausible person from 6 to 85 years: one in six a child, both genders alike, groups pure or mixed."""
    years = rng.uniform(6.0, 17.0) if rng.random() < 1.0 / 6.0 else 18.0 + 67.0 * rng.beta(1.1, 1.7)
    groups = rng.dirichlet([0.45, 0.45, 0.45])
    return {
        "gender": float(rng.beta(0.35, 0.35)),
        "age": age_of_years(years),
        "muscle": float(rng.beta(4.0, 4.0)),
        "weight": float(rng.beta(2.5, 2.5)),
        "height": float(rng.beta(4.0, 4.0)),
        "proportions": float(rng.beta(3.0, 3.0)),
        "african": float(groups[0]),
        "asian": float(groups[1]),
        "caucasian": float(groups[2]),
    }


def describe_phenotype(phenotype: dict[str, float]) -> dict:
    """Age in years, age class, gender, group (``mixed`` when none has 60 %), build."""
    years = age_in_years(phenotype["age"])
    share = {name: phenotype[name] for name in ("african", "asian", "caucasian")}
    total = sum(share.values()) or 1.0
    main = max(share, key=lambda group: share[group])
    gender = phenotype["gender"]
    return {
        "age_years": round(years, 1),
        "age": "child" if years < 13 else "youth" if years < 18 else "adult" if years < 60 else "old",
        "gender": "male" if gender < 0.4 else "female" if gender > 0.6 else "between",
        "group": main if share[main] / total >= 0.6 else "mixed",
        "weight": "light" if phenotype["weight"] < 0.35 else "heavy" if phenotype["weight"] > 0.65 else "average",
    }
