"""How well a store's row 1 says where the skin of other rows is on the open face, against the people themselves.

    python benchmarks/opening.py --people 2

Of people of truth v2 it prints, over all of the skin and within 30 mm of the mouth's middle: how far the opening mouth
moves it, the share of points of which `headfield.train.opening` is sure, how far those miss, and beside that what the
nearest point of row 1 alone would say, whichever lip it is on.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.spatial import cKDTree

from headfield.frames import MM_PER_UNIT, anchor_indices
from headfield.io.quantise import dequantise
from headfield.synth.generate import box, person_arrays
from headfield.synth.identities import IdentityKey
from headfield.synth.person import family, make_person
from headfield.train.opening import ROW, Opening
from headfield.types import ARKIT

OPEN = np.array([float(name == "jawOpen") for name in ARKIT])
MOUTH = ("lower_lip", "upper_lip", "mouth_corner_left", "mouth_corner_right")


def measured(kind: str, number: int) -> dict[str, np.ndarray]:
    """Of all points of the skin of one person's rows but the open one: mm, and what is sure and near the mouth."""
    head, sheet = family(kind)
    person = make_person(IdentityKey(kind, "train", number, 0), head, sheet, 0.0, "v2")
    arrays, _ = person_arrays(person, 3, 12288, 512, box(), "faces")
    opening = Opening(arrays, box(), OPEN, person.key.id)
    solid, near, found = person.solid(arrays["expressions"][ROW], turning=True), cKDTree(opening.rest), []
    middle = person.anchors[anchor_indices(MOUTH)].mean(0)
    for row in [row for row in range(len(arrays["expressions"])) if row != ROW]:
        use = arrays["canonical_valid"][row] & (arrays["triangle"][row] >= 0)
        triangle = arrays["triangle"][row][use]
        weights = arrays["weights"][row][use].astype(float) / 65535.0
        weights = np.concatenate([weights, 1.0 - weights.sum(1, keepdims=True)], axis=1)
        rest = dequantise(arrays["canonical"][row], box())[use]
        truth = (solid.vertices[sheet.triangles[triangle]] * weights[:, :, None]).sum(1)
        places, sure = opening.places(rest, triangle)
        plain = rest + opening.way[near.query(rest)[1]]
        columns = [truth - rest, places - truth, plain - truth, rest - middle]
        found.append(np.stack([*(MM_PER_UNIT * np.linalg.norm(c, axis=1) for c in columns), sure]))
    return dict(zip(("way", "miss", "nearest", "from_mouth", "sure"), np.concatenate(found, axis=1)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2, help="of each family")
    people = parser.parse_args().people
    print(
        "family, where | n | way mm | sure | miss of the sure: mean / p99 / over 2 mm | nearest point alone, the same"
    )
    for kind in ("ict", "anny"):
        every = [measured(kind, 3 + number) for number in range(people)]
        all_of = {name: np.concatenate([one[name] for one in every]) for name in every[0]}
        for where, use in (("skin", all_of["way"] >= 0), ("mouth", all_of["from_mouth"] < 30.0)):
            sure = use & (all_of["sure"] > 0)
            texts = [
                f"{values.mean():.3f} / {np.quantile(values, 0.99):.2f} / {(values > 2).mean():.2%}"
                for values in (all_of["miss"][sure], all_of["nearest"][use])
            ]
            share = sure.sum() / use.sum()
            print(
                f"{kind}, {where} | {use.sum()} | {all_of['way'][use].mean():.1f} | {share:.1%} | {' | '.join(texts)}"
            )


if __name__ == "__main__":
    main()
