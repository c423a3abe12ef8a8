"""Edits as pure functions: heads in, a new head out.

Every edit keeps the head's identity code, and with it the blend weights' anchors and what the expression deformer sees;
it changes the codes and local origins of the parts of its region, and only theirs, and only inside a window about the
region's anchors (:mod:`headfield.nn.window`). So the field stays the same, bit for bit, wherever every edited part has
weight zero (DESIGN section 3) and wherever its window has ended: cheeks do not come along with a nose. Blending whole
heads (`interpolate` without regions) is no local edit: it moves the identity too. So is `refit_warp`, which lets the
expression follow the edited parts.

A part that comes from another head brings its local origin along as it is. A code and its origin were learned together,
in the place where FusionNet, which sees absolute positions, knows them: with the head's own origins, or the donor's
moved to the head's region, lips part and nostrils tear (tried and looked at). So do codes that are searched for until
the surface outside of the region holds still: noses sink and chins grow lumps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from headfield.edit.regions import parts_of
from headfield.errors import ConfigError
from headfield.frames import MIRROR_PART, N_ANCHORS, N_PAIRS
from headfield.models.protocol import Local, Paired, require
from headfield.surface.head import Head
from headfield.types import ARKIT_MIRROR, Codes

LEAST, MOST = -1.0, 2.0
"""Strengths that edits take: 0 is the head itself, 1 what was asked; outside of 0..1 it is extrapolated."""

WARP_SLACK = 0.1
"""How nearly :func:`refit_warp` meets the edited codes, in their standard deviations."""

MOST_SD = 4.0
"""Spread of region draws at most; beyond about 2.5 the parts were never seen in training."""

Regions = str | Sequence[str]


def swap(head: Head, other: Head, regions: Regions, strength: float = 1.0) -> Head:
    """The head with regions of another head.

    Args:
        head: The head to change.
        other: The donor, of the same model.
        regions: Names of regions, see :func:`headfield.edit.regions.parts_of`.
        strength: 0 leaves the head as it is, 1 takes the donor's region; -1..2 extrapolates.
    Raises:
        ConfigError: Different models, an unknown region, or a strength out of bounds.
    """
    check_strength(strength)
    _same_model(head, other)
    if head.reflected != other.reflected:
        raise ConfigError("one of the two heads is mirrored and the other is not: mirror both or none before a swap.")
    parts = _parts(head, regions)
    if strength == 0:
        return head
    return _tempered(head, in_use(other), parts, strength)


def sample_region(head: Head, regions: Regions, sd: float = 1.0, seed: int = 0, strength: float = 1.0) -> Head:
    """The head with regions of a person drawn from the prior, of the head's own hair class.

    Args:
        head: The head to change.
        regions: Names of regions.
        sd: Spread of the draw about the class's mean; 1 is the training heads' own.
        seed: Same seed, same draw.
        strength: 0 leaves the head as it is, 1 takes the drawn region; -1..2 extrapolates.
    Raises:
        ConfigError: An unknown region, a strength or a spread out of bounds.
    """
    if not (np.isfinite(sd) and 0 <= sd <= MOST_SD):
        raise ConfigError(f"sd {sd:g}: the spread of a region draw is between 0 and {MOST_SD:g} standard deviations.")
    prior = head.model.prior
    component = prior.likeliest(head.codes.identity[0].cpu().numpy())
    drawn = prior.draw(1, np.random.default_rng(seed), sd, component)
    donor = Head(head.model, Codes(torch.as_tensor(drawn).to(head.codes.identity)), head.reflected)
    return swap(head, donor, regions, strength)


def interpolate(a: Head, b: Head, t: float, regions: Regions | None = None) -> Head:
    """Between two heads: `a` at 0, `b` at 1, extrapolated within -1..2.

    Without regions the whole head moves: identity, edits on top of it, and expression. With regions only those do, as
    :func:`swap` with strength `t`.

    Raises:
        ConfigError: Different models, an unknown region, or `t` out of bounds.
    """
    if regions is not None:
        return swap(a, b, regions, t)
    check_strength(t)
    _same_model(a, b)
    if a.reflected != b.reflected:
        raise ConfigError("one of the two heads is mirrored and the other is not: mirror both or none.")
    model = a.model
    identity = torch.lerp(a.codes.identity, b.codes.identity, t)
    expression = warp = None
    if a.codes.expression is not None or b.codes.expression is not None:
        expression = torch.lerp(_expression(a), _expression(b), t)
        if _speaks_arkit(a):
            expression = expression.clamp(0.0, 1.0)
    if a.codes.warp_identity is not None or b.codes.warp_identity is not None:
        seen, other = (h.codes.identity if h.codes.warp_identity is None else h.codes.warp_identity for h in (a, b))
        warp = torch.lerp(seen, other, t)
    codes = Codes(identity, expression, warp_identity=warp)
    if a.codes.parts is not None or b.codes.parts is not None:
        between = Head(model, Codes(identity))
        own = in_use(between)
        deltas = [[now - plain for now, plain in zip(in_use(h), _plain(h))] for h in (a, b)]
        parts, origins = (plain + torch.lerp(x, y, t) for plain, x, y in zip(own, *deltas))
        codes = replace(codes, parts=parts, anchors=origins, around=acting(a) | acting(b))
    return replace(a, codes=codes)


def symmetrise(head: Head, regions: Regions | None = None, strength: float = 1.0) -> Head:
    """The head with left and right made alike, in the codes.

    A part and its mirror image share a network, so equal codes and mirrored origins mean mirrored fields. Where a
    region holds both sides (or None: all) each takes the mean of the two; where it holds one side, that side becomes
    the image of the other. Parts on the mid-line get their origin onto the mid-line; their own codes have no mirror
    image in code space, and the blend weights keep the head's anchors (so that the edit stays local): what is crooked
    in those two stays.

    Raises:
        ConfigError: An unknown region, a strength outside 0..1, or a model whose two sides have networks of their own.
    """
    require(head.model, Paired, "Making both sides alike")
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength {strength:g}: symmetrising goes from 0 (as it is) to 1 (both sides alike).")
    chosen = np.arange(N_ANCHORS) if regions is None else _parts(head, regions)
    own = in_use(head)
    codes, origins = own[0].clone(), own[1].clone()
    mirror = torch.tensor([-1.0, 1.0, 1.0]).to(own[1])
    for part in chosen:
        if part < 2 * N_PAIRS:
            image = int(MIRROR_PART[part])
            share = 0.5 if image in chosen else 1.0
            codes[:, part] = (1 - share) * own[0][:, part] + share * own[0][:, image]
            origins[:, part] = (1 - share) * own[1][:, part] + share * own[1][:, image] * mirror
        else:
            origins[:, part, 0] = 0.0
    return head if strength == 0 else _tempered(head, (codes, origins), chosen, strength)


def transfer_expression(head: Head, other: Head) -> Head:
    """The head with another head's expression; what was on its own face before is replaced.

    Raises:
        ConfigError: Different models, or one head is mirrored and the model does not speak ARKit.
    """
    _same_model(head, other)
    expression = other.codes.expression
    if expression is not None and head.reflected != other.reflected:
        if not _speaks_arkit(head):
            raise ConfigError("one of the two heads is mirrored, and only the 52 ARKit channels have a mirror image.")
        expression = expression[:, torch.as_tensor(ARKIT_MIRROR)]
    return replace(head, codes=replace(head.codes, expression=None if expression is None else expression.clone()))


def reset(head: Head, regions: Regions | None = None) -> Head:
    """The head with its own regions again; None undoes every edit of parts and the warp's re-fit (not the expression).

    Raises:
        ConfigError: An unknown region.
    """
    if regions is None:
        return replace(head, codes=replace(head.codes, parts=None, anchors=None, around=None, warp_identity=None))
    if head.codes.parts is None and head.codes.anchors is None:
        parts_of(regions)  # a wrong name is wrong, however little there is to do
        return head
    own, now = _plain(head), in_use(head)
    back = _parts(head, regions)
    codes, origins = now[0].clone(), now[1].clone()
    codes[:, back], origins[:, back] = own[0][:, back], own[1][:, back]
    return _with(head, codes, origins, acting(head))


def refit_warp(head: Head) -> Head:
    """The head whose expressions follow its edited parts instead of those it was born with.

    The deformer sees an identity, and an edit keeps the source's. Here it is given another one: of all identities whose
    own codes for the edited parts are the edited ones, to within a tenth of what is usual among heads of this class,
    that which departs least from the source, in standard deviations (DecNet is linear: a ridge regression with one
    solution). The neutral head and the blend weights stay the same, bit for bit; under an expression the *whole* head
    moves a little differently. Later edits keep what was fitted: fit again after them.

    Returns:
        The head itself when none of its parts is edited and none was.
    """
    parts = edited_parts(head)
    if not len(parts):
        known = head.codes.warp_identity
        return head if known is None else replace(head, codes=replace(head.codes, warp_identity=None))
    model = head.model
    prior = model.prior.component(model.prior.likeliest(head.codes.identity[0].cpu().numpy()))
    weight = require(model, Local, "Editing a region").part_spread().detach().double().cpu().numpy()[parts]
    asked, own = (codes[0][0, parts].double().cpu().numpy().ravel() for codes in (in_use(head), _plain(head)))
    rows = weight.reshape(len(asked), -1) @ prior.spread  # departures in standard deviations -> codes
    sigma = WARP_SLACK * np.linalg.norm(rows, axis=1)
    rows, wanted = rows / sigma[:, None], (asked - own) / sigma
    step = rows.T @ np.linalg.solve(rows @ rows.T + np.eye(len(rows)), wanted)
    identity = head.codes.identity + torch.as_tensor(prior.spread @ step).to(head.codes.identity)
    return replace(head, codes=replace(head.codes, warp_identity=identity))


def at_strength(head: Head, edited: Head, strength: float) -> Head:
    """A head with a share of an edit that was worked out whole: what the operations do with their strength.

    Args:
        head: Before the edit.
        edited: After it, at strength 1.
        strength: As everywhere.
    """
    if strength == 1:
        return edited
    return (
        head
        if strength == 0
        else _between(head, in_use(edited), acting(head) | acting(edited), np.arange(N_ANCHORS), strength)
    )


def check_mixable(mine, other, my_name: str, other_name: str) -> None:
    """Refuse two models under which codes have different meanings, whatever their names.

    Args:
        mine, other: The models of two heads. They may move faces differently, as long as expressions have the same
            channels.
        my_name, other_name: What the message calls them.
    Raises:
        ConfigError: Their weights differ in what a head at rest depends on, or their expressions in kind.
    """
    if mine is other:
        return
    facts = [
        (model.fingerprint.identity, model.expression_space.kind, f"{name} (weights {model.fingerprint})")
        for model, name in ((mine, my_name), (other, other_name))
    ]
    if facts[0][:2] != facts[1][:2]:
        raise ConfigError(
            f"heads of different models cannot be mixed: {facts[0][2]} and {facts[1][2]}. Fit both scans with the same "
            "--model."
        )


# ---- what edits are made of ------------------------------------------------------------------------------------------


def in_use(head: Head) -> tuple[torch.Tensor, torch.Tensor]:
    """Part codes (1, K, d) and local origins (1, K, 3) that a head is evaluated with."""
    own = _plain(head)
    parts = own[0] if head.codes.parts is None else head.codes.parts
    return parts, own[1] if head.codes.anchors is None else head.codes.anchors


def acting(head: Head) -> torch.Tensor:
    """Where the edited parts act, (1, K) int64 as :attr:`headfield.types.Codes.around`; all bits without a border."""
    if head.codes.parts is not None and head.codes.around is not None:
        return head.codes.around
    around = torch.zeros(1, N_ANCHORS, dtype=torch.int64)
    around[:, edited_parts(head)] = _bits(np.arange(N_ANCHORS))
    return around


def edited_parts(head: Head) -> np.ndarray:
    """Indices (P,) of the parts whose code or origin is not the identity's own."""
    different = [(a != b).flatten(2).any(dim=2)[0] for a, b in zip(in_use(head), _plain(head))]
    return np.flatnonzero((different[0] | different[1]).cpu().numpy())


def check_strength(strength: float) -> None:
    """Refuse a strength that makes no head.

    Raises:
        ConfigError: It is outside -1..2, or no number.
    """
    if not LEAST <= strength <= MOST:
        raise ConfigError(
            f"strength {strength:g}: 0 keeps the head, 1 is the whole edit, and extrapolation ends at {LEAST:g} and "
            f"{MOST:g}, beyond which codes mean nothing."
        )


def _plain(head: Head) -> tuple[torch.Tensor, torch.Tensor]:
    model = require(head.model, Local, "Editing a region")
    with torch.no_grad():
        parts = model.part_codes(head.codes.identity)
        return parts, model.anchors_of_parts(parts)


def _with(head: Head, codes: torch.Tensor, origins: torch.Tensor, around: torch.Tensor) -> Head:
    """A head with these codes and origins; one without edits when they are its own."""
    own = _plain(head)
    if torch.equal(codes, own[0]) and torch.equal(origins, own[1]):
        return replace(head, codes=replace(head.codes, parts=None, anchors=None, around=None))
    same = (codes == own[0]).all(dim=2) & (origins == own[1]).all(dim=2)
    around = torch.where(same.cpu(), 0, around)
    # origins of all parts are given: LandmarkNet of edited parts would move the unedited ones too
    return replace(head, codes=replace(head.codes, parts=codes, anchors=origins, around=around))


def _tempered(head: Head, asked, parts: np.ndarray, strength: float) -> Head:
    """Between a head's own codes and the asked ones; untouched parts keep their bits."""
    around = acting(head).clone()
    before = around[:, parts] if strength != 1 else 0  # a mixture acts where either of the two does
    around[:, parts] = before | _bits(parts)
    return _between(head, asked, around, parts, strength)


def _between(head: Head, asked, around: torch.Tensor, parts: np.ndarray, strength: float) -> Head:
    own = in_use(head)
    codes, origins = own[0].clone(), own[1].clone()
    for result, mine, wanted in zip((codes, origins), own, asked):
        result[:, parts] = wanted[:, parts] if strength == 1 else torch.lerp(mine, wanted, strength)[:, parts]
    return _with(head, codes, origins, around)


def _bits(anchors: np.ndarray) -> int:
    return sum(1 << int(anchor) for anchor in anchors)


def _parts(head: Head, regions: Regions) -> np.ndarray:
    parts = parts_of(regions)  # of a mirrored head the left eye is made by the right parts
    return np.sort(MIRROR_PART[parts]) if head.reflected else parts


def _expression(head: Head) -> torch.Tensor:
    known = head.codes.expression
    return head.codes.identity.new_zeros(1, len(head.model.expression_space)) if known is None else known


def _speaks_arkit(head: Head) -> bool:
    return head.model.expression_space.speaks_arkit


def _same_model(a: Head, b: Head) -> None:
    check_mixable(a.model, b.model, repr(a.model.name), repr(b.model.name))
