"""One synthetic person: skin, hair and beard in the model frame, ready for any expression."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from headfield.errors import ConfigError, present
from headfield.frames import MM_PER_UNIT
from headfield.parametric import ParametricHead
from headfield.parametric.normalise import log_size, normalising_similarity
from headfield.parametric.topology import components
from headfield.synth.beard import Beard, draw_beard_class, make_beard
from headfield.synth.contact import Attenuated, ContactTest
from headfield.synth.crossing import OTHER, SHARE, TAKEN, crossing_field
from headfield.synth.expressions import draw_expressions
from headfield.synth.gaze import Eye, eyes_of, with_gaze
from headfield.synth.hair import draw_hair, draw_hair_class, overlaid_class, reference_warp
from headfield.synth.hair_parts import Hair
from headfield.synth.identities import IdentityKey, frozen
from headfield.synth.lips import Pair, lids_of, lips_of
from headfield.synth.openings import Openings
from headfield.synth.sheet import Sheet, lip_gap, make_sheet
from headfield.synth.solid import OPEN_LIPS, Solid
from headfield.synth.variation import Variation, draw_variation, drawn_age
from headfield.synth.variation_fields import ear_share
from headfield.synth.variation_zones import density_near_parts
from headfield.synth.whole_faces import draw_whole_faces
from headfield.types import ARKIT, Similarity

MARGIN = 15.0 / MM_PER_UNIT
"""The box must enclose every head with this much to spare (15 mm), model units."""


def family(name: str, path: Path | None = None):
    """A head family (of the user's own file) and its sheet, loaded once.

    Raises:
        HeadfieldError: As :func:`headfield.parametric.load_family`.
    """
    return _loaded(name, path)  # a cache takes a default and the same value given for two calls


@cache
def _loaded(name: str, path: Path | None):
    from headfield.parametric import load_family

    head = load_family(name, path)
    return head, make_sheet(head)


@dataclass
class Person:
    """One person of the population.

    Attributes:
        key: Name and seed.
        head: The parametric family.
        identity: (I,) its vector.
        sheet: The skin's topology.
        placement: Metres of the family's own frame -> model frame; from the neutral head, for all expressions.
        anchors: (39, 3) neutral skin anchors, model frame.
        hair_class, beard_class: Labels.
        hair: Static hair, or None.
        beard: Thickness field of the beard, or None.
        variation: What the face has beside the family's shape, in the family's frame (metres), or None.
        openings: Ends nostrils and neck as artists would, or None.
        uncut: (39, 3) anchors of the skin before its openings were ended.
        lips: Which triangles are the lips, to be joined, or None.
        attenuated: Factors of the rows of the last drawn whole faces, without the first two rows, see
            :class:`headfield.synth.contact.Attenuated`; None where none were tested.
    """

    key: IdentityKey
    head: ParametricHead
    identity: np.ndarray
    sheet: Sheet
    placement: Similarity
    anchors: np.ndarray
    hair_class: str = "bald"
    beard_class: str = "none"
    hair: Hair | None = None
    beard: Beard | None = None
    variation: Variation | None = None
    openings: Openings | None = None
    uncut: np.ndarray | None = None
    lips: Pair | None = None
    attenuated: np.ndarray | None = None
    _posed: dict[bytes, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def log_size(self) -> float:
        """Log of the size relative to the reference adult."""
        return log_size(self.placement)

    def skin(self, expression: np.ndarray | None = None) -> np.ndarray:
        """Skin vertices (V, 3) in the model frame, with the beard, without the hair.

        Args:
            expression: (52,) ARKit weights, None = neutral.
        """
        vertices = self.bare(expression)
        return vertices if self.beard is None else self.beard.apply(vertices)

    def bare(self, expression: np.ndarray | None = None) -> np.ndarray:
        """Skin vertices (V, 3) in the model frame without hair and beard; `expression` (52,), None = neutral."""
        raw = self.head.raw_vertices(self.identity, expression)
        skin = self.placement.apply(raw if self.variation is None else self.variation.apply(raw))
        if self.openings is None:
            return skin
        return self.openings.apply(skin, present(self.uncut, "the anchors before the openings were ended"))

    def solid(self, expression: np.ndarray | None = None, turning: bool = False) -> Solid:
        """The whole head with an expression (52,), None = neutral, whose mouth counts as closed.

        Args:
            expression: (52,) ARKit weights.
            turning: The eyeballs turn about their centres and the lids give way, whatever the family's shapes do.
        """
        skin, eyes = (self.gazing(expression), self.eyes) if self.sealed else (self.skin(expression), ())
        if turning and not self.sealed and expression is not None:
            skin = with_gaze(self.resting, skin, self.sheet.triangles, expression, cornea=False)
        lips_open = expression is not None and lip_gap(self.head, skin) - self.rest_gap > OPEN_LIPS
        return Solid(self.sheet, skin, self.hair, lips_open, eyes, self.lips)

    def gazing(self, expression: np.ndarray | None) -> np.ndarray:
        """Skin vertices (V, 3) as of `skin`, with corneas, eyeballs turned and lids lifted over them."""
        weights = np.zeros(len(ARKIT), np.float32) if expression is None else np.asarray(expression)
        if weights.dtype == np.float32 and (key := weights.tobytes()) in self._posed:
            return self._posed.pop(key)
        skin = self.resting if expression is None else self.skin(expression)
        return with_gaze(self.resting, skin, self.sheet.triangles, weights)

    @property
    def sealed(self) -> bool:
        """Whether eyeballs have corneas and turn, and lids are joined to them, and lips to each other, whoever
        asks: truth v2."""
        return self.openings is not None

    @cached_property
    def resting(self) -> np.ndarray:
        """Skin vertices (V, 3) at rest."""
        return self.skin()

    @cached_property
    def eyes(self) -> tuple[Eye, ...]:
        """The eyeballs."""
        return eyes_of(self.resting, self.sheet.triangles)

    @cached_property
    def rest_gap(self) -> float:
        """Gap between the inner lips at rest, model units."""
        return lip_gap(self.head, self.resting)

    @cached_property
    def neutral(self) -> Solid:
        """The whole head at rest."""
        return self.solid()

    def expressions(self, count: int, drawing: str = "sums") -> np.ndarray:
        """The person's expression rows (1 + count, 52) float32; row 0 is neutral.

        In truth v2 row 1 is a mouth that is wide open and nothing else, so that a model may take that for its rest,
        and of whole faces what lips and lids cannot do is taken back, see :mod:`headfield.synth.contact`.

        Args:
            count: Beside neutral.
            drawing: See :class:`headfield.synth.config.SynthConfig`.
        """
        rng, mask = self.key.rng("expressions"), np.asarray(self.head.expression_mask)
        drawn = (draw_expressions if drawing == "sums" else draw_whole_faces)(rng, count, mask)
        if drawing == "mixed":
            drawn[::2] = draw_expressions(rng, len(drawn[::2]), mask)
        if self.sealed and count:
            drawn[0] = np.arange(len(ARKIT)) == ARKIT.index("jawOpen")
        if self.sealed and drawing != "sums":
            tested = self.without_contact(drawn[1:])
            drawn[1:], self.attenuated = tested.rows, tested.factors
            self._posed = {row.tobytes(): skin for row, skin in zip(tested.rows, tested.skins)}
        return np.concatenate([np.zeros((1, len(ARKIT)), np.float32), drawn])

    def without_contact(self, expressions: np.ndarray) -> Attenuated:
        """Expressions (N, 52) with the channels taken back that make lips or lids pass through each other."""
        triangles = self.sheet.triangles
        skin = triangles[components(triangles) == 0]
        test = ContactTest(self.gazing(None), skin, self.lips, lids_of(self.head, self.sheet))
        return test.attenuate(expressions, self.gazing)


def box() -> np.ndarray:
    """The frozen box (2, 3) of the store, model units."""
    return np.array(frozen()["box"], dtype=float)


def has_room(vertices: np.ndarray) -> bool:
    """Whether vertices (V, 3) stay 15 mm inside the box."""
    low, high = box()
    return bool((vertices.min(0) >= low + MARGIN).all() and (vertices.max(0) <= high - MARGIN).all())


def make_person(
    key: IdentityKey, head, sheet: Sheet | None = None, hair_share: float | None = None, truth: str = "v1"
) -> Person:
    """Draw one person.

    Args:
        key: Who.
        head: The parametric family, of the key's name.
        sheet: From `make_sheet(head)`, to share it among people.
        hair_share: Share of people with hair or beard, None = frozen.
        truth: ``v1`` for the family's head as it is; ``v2`` with a variation, ended nostrils and neck, eyeballs that
            turn and lids that are joined to them.
    Raises:
        ConfigError: There is no such truth.
    """
    if truth not in ("v1", "v2"):
        raise ConfigError(f"Unknown truth {truth!r}: choose v1 or v2.")
    identity = key.draw(head)
    raw = head.raw_vertices(identity)
    placement = normalising_similarity(head.anchors(raw))
    sheet = make_sheet(head) if sheet is None else sheet
    variation = None
    if truth == "v2":
        variation = _variation(key, head, sheet, identity, raw, placement)
        raw = variation.apply(raw)
        placement = normalising_similarity(head.anchors(raw))
    anchors = head.anchors(placement.apply(raw))
    rng = key.rng("hair")
    share = frozen()["hair"]["share"] if hair_share is None else hair_share
    hair_class, worn = draw_hair_class(rng, share)
    describe = head.describe(identity)
    beard_class = draw_beard_class(rng, describe, hair_class) if worn else "none"
    if describe.get("age_years", 30) < 3 and hair_class != "bald":
        hair_class = "short"
    person = Person(key, head, identity, sheet, placement, anchors, variation=variation)
    if truth == "v1":
        return dress(person, hair_class, beard_class, rng)
    combing = key.rng("combing")  # a stream of its own: beards are those of the first truth
    hair_class = overlaid_class(combing, hair_class) if worn else hair_class
    return dress(_ended(person), hair_class, beard_class, rng, combing)


def _ended(person: Person) -> Person:
    """The person with nostrils and neck as truth v2 ends them, dense lids and lips, and anchors on the skin."""
    openings = Openings.of(person.head, person.sheet)
    ended = replace(person, openings=openings, uncut=person.anchors)
    skin = ended.skin()
    sheet = replace(person.sheet, density=density_near_parts(person.head, person.sheet, skin))
    lips = lips_of(person.head, person.sheet)
    return replace(ended, sheet=sheet, anchors=person.head.anchors(skin), lips=lips)


def _variation(key: IdentityKey, head, sheet: Sheet, identity, raw: np.ndarray, placement: Similarity) -> Variation:
    """A variation, in the frame of `raw` (V, 3), whose head has room in the box; drawn again while it has none."""
    rng = key.rng("variation")
    age = drawn_age(head.describe(identity), rng)
    skin = placement.apply(raw)
    crossing = _crossing(key, sheet, skin, head.anchors(skin))
    for _ in range(8):
        variation = draw_variation(rng, head, sheet, skin, head.anchors(skin), age, crossing)
        variation = variation.in_frame(placement.inverse())
        if has_room(_normalised(head, variation.apply(raw))):
            break
    return variation


def _crossing(key: IdentityKey, sheet: Sheet, skin: np.ndarray, anchors: np.ndarray) -> np.ndarray | None:
    """What leads the skin (V, 3) of a third of the people a part of the way to someone of the other family."""
    rng = key.rng("crossing")
    crossed, taken = rng.random() < SHARE, rng.uniform(*TAKEN)
    if not crossed or key.family not in OTHER:
        return None
    head, other_sheet = family(OTHER[key.family])
    other = _normalised(head, head.raw_vertices(head.draw_identity(rng)))
    ear = ear_share(reference_warp(anchors)(skin)) > 0
    return taken * crossing_field(skin, sheet, anchors, other, other_sheet, head.anchors(other), ear)


def _normalised(head, raw: np.ndarray) -> np.ndarray:
    """Neutral vertices (V, 3) of any frame in the model frame, by their own anchors."""
    return normalising_similarity(head.anchors(raw)).apply(raw)


def dress(
    person: Person, hair_class: str, beard_class: str, rng: np.random.Generator,
    hair_rng: np.random.Generator | None = None,
) -> Person:  # fmt: skip
    """The bare person with a random beard and hair of these classes; hair is combed in truth v2.

    Args:
        person: Without hair and beard.
        hair_class, beard_class: See `hairstyle.HAIR_CLASSES` (truth v2: `hairstyle.CLASSES_V2`),
            `beard.BEARD_CLASSES`.
        rng: Source of randomness.
        hair_rng: Source of randomness of the hair, None = `rng`.
    """
    hair_rng = rng if hair_rng is None else hair_rng
    beard = make_beard(beard_class, person.sheet, person.skin(), person.anchors, rng)
    bare, person = person, replace(person, hair_class=hair_class, beard_class=beard_class, beard=beard)
    if hair_class == "bald":
        return person
    truth = "v2" if person.sealed else "v1"
    for _ in range(8):
        parts = draw_hair(hair_class, person.sheet, bare.skin(), person.anchors, hair_rng, truth)
        if all(has_room(part.vertices) for part in parts):
            return replace(person, hair=Hair(parts, person.sheet, person.skin()))
    return replace(person, hair_class="bald")  # a very large head: nothing of this class fits the box
