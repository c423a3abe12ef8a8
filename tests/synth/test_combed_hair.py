"""Truth v2's hair on heads: closed, off the face, thin where a fringe ends; caps are smooth; v1 keeps its own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from headfield.frames import MM_PER_UNIT
from headfield.synth.hair import draw_hair, overlaid_class, reference_warp
from headfield.synth.hair_shape import azimuth_of
from headfield.synth.hair_sphere import mesh_averaging
from headfield.synth.hairstyle import CLASSES_V2, HAIR_CLASSES, OVERLAID, draw_style
from headfield.synth.identities import IdentityKey, frozen
from headfield.synth.occlusion import Occluder
from headfield.synth.person import dress, has_room, make_person
from headfield.synth.sheet import make_sheet
from headfield.types import ARKIT

WORN = [name for name in CLASSES_V2 if name != "bald"]


@pytest.fixture(scope="module")
def bare(ict):
    return make_person(IdentityKey("ict", "train", 3, 3), ict, make_sheet(ict), 0.0, "v2")


@pytest.fixture(scope="module")
def dressed(bare):
    return {name: dress(bare, name, "none", np.random.default_rng(5)) for name in WORN}


def thickness(bare, part):
    """Thickness (V,) of a part over the outer skin, mm, along its own rays, and its places on the reference head."""
    skin = bare.skin()
    away = part.vertices - part.centre
    radius = np.linalg.norm(away, axis=1)
    outer = Occluder(skin, bare.sheet.triangles[~bare.sheet.interior])
    hit = outer.first_hit(np.broadcast_to(part.centre, away.shape), away / radius[:, None])[1]
    seen = np.isfinite(hit)
    cover = np.full(away.shape, np.nan)
    cover[seen] = reference_warp(bare.anchors)(part.centre + (hit / radius)[seen, None] * away[seen])
    return MM_PER_UNIT * (radius - hit), cover


def test_first_truth_draws_its_own_hair(ict):
    """Whoever names no truth gets the first one, whose hair knows neither combing nor the classes of the second."""
    sheet = make_sheet(ict)
    key = IdentityKey("ict", "train", 2, 1)
    told, untold = (make_person(key, ict, sheet, 1.0, *more) for more in (("v1",), ()))
    assert told.hair_class == untold.hair_class and np.array_equal(told.hair.vertices, untold.hair.vertices)
    assert set(frozen()["hair"]["classes"]) == set(HAIR_CLASSES) and not set(OVERLAID) & set(HAIR_CLASSES)
    for name in HAIR_CLASSES[1:]:
        assert draw_style(name, np.random.default_rng(0)).combing is None
    for name in (*OVERLAID, "mohawk"):
        with pytest.raises(ValueError, match="unknown hair class"):
            draw_style(name, np.random.default_rng(0))


def test_shares_of_the_overlaid_classes():
    rng = np.random.default_rng(0)
    counts = Counter(overlaid_class(rng, "neck") for _ in range(4000))
    print({name: count / 4000 for name, count in counts.items()})
    assert set(counts) == {*OVERLAID, "neck"}
    for name, share in OVERLAID.items():
        assert abs(counts[name] / 4000 - share) < 0.03


@pytest.mark.parametrize("name", WORN)
def test_parts_are_closed_stars_with_room_in_the_box(dressed, name):
    person = dressed[name]
    assert person.hair_class == name
    for part in person.hair.parts:
        assert has_room(part.vertices)
        edges = np.concatenate([part.triangles[:, [0, 1]], part.triangles[:, [1, 2]], part.triangles[:, [2, 0]]])
        directed = Counter(map(tuple, edges.tolist()))
        assert max(directed.values()) == 1 and all(edge[::-1] in directed for edge in directed)
        a, b, c = (part.vertices[part.triangles[:, k]] - part.centre for k in range(3))
        assert (np.einsum("nc,nc->n", a, np.cross(b, c)) > 0).all()  # every triangle faces away from the centre


@pytest.mark.parametrize("name", WORN)
def test_hair_fills_no_mouth_and_covers_no_face(dressed, name):
    person = dressed[name]
    jaw = (np.arange(len(ARKIT)) == ARKIT.index("jawOpen")).astype(float)
    wall = np.unique(person.sheet.triangles[person.sheet.bag])
    assert not person.hair.contains(person.skin(jaw)[wall]).any()
    landmarks = person.head.landmarks68(person.skin())[17:]
    assert not person.hair.contains(landmarks[10:] if name == "fringe" else landmarks).any()


def test_fringes_are_thin_at_their_edge(bare):
    """Thickness 3 to 5 mm above a fringe's lower edge, against that of the first truth."""
    medians = []
    for truth in ("v1", "v2"):
        found = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            part = draw_hair("fringe", bare.sheet, bare.skin(), bare.anchors, rng, truth)[0]
            thick, cover = thickness(bare, part)
            azimuth = azimuth_of(cover) * np.sign(cover[:, 0])
            for left in range(-24, 24, 4):
                column = (azimuth >= left) & (azimuth < left + 4) & (cover[:, 1] > 0.1)
                height = MM_PER_UNIT * (cover[:, 1] - cover[column & (thick > 0.3), 1].min())
                found.append(thick[column & (height > 3) & (height < 5)])
        medians.append(float(np.median(np.concatenate(found))))
    print(f"fringe 4 mm above its edge: {medians[0]:.1f} mm thick in truth v1, {medians[1]:.1f} in v2")
    assert 0.5 < medians[1] < 0.5 * medians[0]


def test_caps_are_smooth_and_tight_and_crops_are_short(bare, dressed):
    """Roughness over the crown (distance from the neighbours' mean) and thickness there."""
    rough, thick = {}, {}
    for name in ("cap", "buzz", "short"):
        part = dressed[name].hair.parts[0]
        away, cover = thickness(bare, part)
        crown = np.isfinite(away) & (cover[:, 1] > 0.42)
        bend = part.vertices - mesh_averaging(part.triangles, len(part.vertices)) @ part.vertices
        along = np.abs((bend * part.normals).sum(1))[crown] * MM_PER_UNIT
        rough[name], thick[name] = float(np.sqrt(np.mean(along**2))), float(np.median(away[crown]))
    print(f"roughness mm {rough}, thickness mm {thick}")
    assert rough["cap"] < 0.5 * rough["short"]
    assert 0.5 < thick["cap"] < 3.5 and 1.0 < thick["buzz"] < 4.5 < thick["short"]


def test_no_ear_sticks_out_of_a_cap_over_the_ears(bare):
    """Of the ears' skin above the cap's lower edge nothing lies outside of it."""
    from headfield.synth.variation_fields import ear_share

    skin = bare.skin()
    place = reference_warp(bare.anchors)(skin)
    upper = np.flatnonzero((ear_share(place) > 0.9) & (place[:, 1] > 0.03))
    shares = []
    for seed in range(8):
        parts = draw_hair("cap", bare.sheet, skin, bare.anchors, np.random.default_rng(seed), "v2")
        shares.append(float(parts[0].contains(skin[upper]).mean()))
    print(f"share of {len(upper)} ear vertices inside of eight caps: {np.round(shares, 3)}")
    over = np.array(shares) > 0.9
    assert over.any() and not over.all()  # ears covered, or free
    assert (np.array(shares)[over] == 1).all()
