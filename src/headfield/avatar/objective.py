"""The loss of one batch (IMAvatar Eq. 14), from search to sum."""

from __future__ import annotations

import numpy as np
import torch

from headfield.avatar import losses
from headfield.avatar.avatar import Avatar, Bound
from headfield.avatar.batch import Batch
from headfield.avatar.found import Found
from headfield.avatar.gradient import sampled_points, surface_points
from headfield.avatar.losses import LossWeights
from headfield.avatar.morph import Poses, deformed_normals
from headfield.avatar.networks import Rows
from headfield.avatar.search import SearchOptions, search
from headfield.avatar.template import Template, TemplateStarts

BESIDE = 0.0115
"""Standard deviation along each axis of places beside surface points, about 5 mm away in all, model units."""


def objective(
    avatar: Avatar,
    template: Template,
    batch: Batch,
    poses: Poses,
    starts: TemplateStarts,
    weights: LossWeights,
    options: SearchOptions | None = None,
    anchors: Anchors | None = None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of a batch, and its terms and what the search did by name.

    Args:
        avatar: What is trained.
        template: The tracked head.
        batch: Rays and what is seen along them.
        poses: Of the batch's frames.
        starts: Of the same frames.
        weights: Of the terms.
        options: Of the search.
        anchors: Places where the fields are held to the template, if they are.
    """
    bound = avatar.bound(poses, batch.frames)
    count = batch.total
    found = search(bound, batch.rays, starts, options, wanted=batch.foreground, checked=batch.checked)
    met = batch.foreground & found.surface
    seen = batch.rays.pick(met)
    terms: dict[str, torch.Tensor] = {}
    points = surface_points(bound, seen, found.canonical[met], found.inverse[met])
    shaded = bound.shade(points, seen.rows)
    terms["colour"] = losses.colour(shaded.colour, batch.colour[met], count)
    terms["mask"] = weights.mask * _mask_term(bound, batch, found)
    slopes = [shaded.slope]
    rng = np.random.default_rng(batch.frames.tolist())
    if weights.smooth:
        beside = points.detach() + BESIDE * torch.from_numpy(rng.standard_normal(points.shape)).to(points)
        slopes.append(avatar.geometry(beside, seen.rows, bound.codes, slope=True)[2])
        terms["smooth"] = weights.smooth * losses.smooth(*slopes)
    if weights.eikonal:
        terms["eikonal"] = weights.eikonal * losses.eikonal(torch.cat(slopes))
    if weights.template and bool(met.any()):
        free = batch.mouth[met]  # blendshapes behind the lips are free (supp. §1.4)
        terms["template"] = weights.template * _template_term(avatar, template, shaded, points, ~free, weights)
    if anchors is not None and weights.anchor:
        terms["anchor"] = weights.anchor * anchors.term(avatar, bound, rng)
    return torch.stack(list(terms.values())).sum(), _report(terms, found, batch)


def texture_objective(avatar: Avatar, batch: Batch, poses: Poses) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of a batch by texture alone, while geometry is the template: its hits are where rays meet the surface.

    Nothing is searched, which makes these steps several times as cheap.
    """
    bound = avatar.bound(poses, batch.frames)
    met = batch.foreground & batch.rays.start.isfinite().all(1)
    points, rows = batch.rays.start[met], batch.rays.pick(met).rows
    with torch.no_grad():
        _, features, slope = avatar.geometry(points, rows, bound.codes, slope=True)
        normals = deformed_normals(slope, bound.morph(points, rows, slope=True).slopes)
    colour = avatar.texture(points, normals, poses.condition, features, rows)
    term = losses.colour(colour, batch.colour[met], batch.total)
    return term, {"colour": float(term.detach())}


def _mask_term(bound: Bound, batch: Batch, found: Found) -> torch.Tensor:
    places = losses.mask_places(found, batch.foreground, bound.avatar.config.sharpness)
    rays = batch.rays.pick(places.ray)
    points = sampled_points(bound, rays, places.canonical, places.depth)
    return losses.mask(bound.g(points, rays.rows), places.solid, bound.avatar.config.sharpness, batch.total)


def _template_term(avatar, template: Template, shaded, points, held: torch.Tensor, weights: LossWeights):
    """Eq. 13 at the surface points where `held` (N,) bool."""
    _, vertex = template.nearest(points.detach()[held].double().numpy())
    said = shaded.morphed.deformed
    truth = torch.from_numpy(template.basis[vertex])
    skin = torch.as_tensor(template.rig.weights[vertex], dtype=points.dtype)
    return losses.template(avatar.deformation.basis(said.hidden[held]), said.weights[held], truth, skin, weights)


def _report(terms: dict[str, torch.Tensor], found: Found, batch: Batch) -> dict[str, float]:
    """Terms, shares of the rounds among foreground rays, and of the checked ones how many had another answer."""
    said = {name: float(term.detach()) for name, term in terms.items()}
    solid = batch.foreground
    said |= {f"round_{name}": share for name, share in found.shares(solid).items()}
    looked = solid & batch.checked
    said["disagreed"] = float(found.disagreed[looked].float().mean()) if bool(looked.any()) else 0.0
    said["begins_inside"] = float(found.inside[solid].float().mean()) if bool(solid.any()) else 0.0
    return said


class Anchors:
    """Places of the template where a mild video shows little: the mouth's inside and the lids.

    Args:
        template: The tracked head.
        places: (A,) vertices.
        count: How many are drawn for a step.
    """

    def __init__(self, template: Template, places: np.ndarray, count: int = 192):
        self.template, self.places, self.count = template, places, count

    def term(self, avatar: Avatar, bound: Bound, rng: np.random.Generator) -> torch.Tensor:
        """|g| + squared distances of blendshapes and weights from the template's, at vertices that are drawn."""
        vertex = rng.choice(self.places, min(self.count, len(self.places)), replace=False)
        points = torch.as_tensor(self.template.rig.vertices[vertex], dtype=torch.float32)
        rows = Rows.of(torch.zeros(len(points), dtype=torch.long), len(bound.poses))
        said = avatar.deformation(points, rows, bound.heads)
        truth = torch.from_numpy(self.template.basis[vertex])
        skin = torch.as_tensor(self.template.rig.weights[vertex], dtype=torch.float32)
        held = losses.template(avatar.deformation.basis(said.hidden), said.weights, truth, skin, LossWeights())
        return bound.g(points, rows).abs().mean() + held
