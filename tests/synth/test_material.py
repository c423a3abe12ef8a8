"""What a store of truth v2 keeps beside points: where they lie on the skin, where free space goes, 65 named places."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.errors import StoreError
from headfield.frames import ANCHOR65_NAMES, MM_PER_UNIT, mirror_points
from headfield.io.quantise import dequantise, dequantise_normals
from headfield.io.store import Store
from headfield.io.store_plan import planned
from headfield.io.store_writer import StoreWriter
from headfield.synth.config import SynthConfig
from headfield.synth.generate import generate
from headfield.synth.identities import identity_keys
from headfield.synth.person import family, make_person
from headfield.types import ARKIT

pytest.importorskip("anny", reason="truth v2 crosses ICT-FaceKit with anny, which needs the extra synth")

CONFIG = SynthConfig(
    identities=2, expressions=2, drawing="faces", truth="v2", hair=0.0, points=1500, samples=600, family="mix"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory, ict):
    return Store(generate(CONFIG, tmp_path_factory.mktemp("v2") / "store", progress=False))


@pytest.fixture(scope="module", params=[0, 1])
def person(request, store):
    """One of the two people, drawn again, and their arrays."""
    record = store.records[request.param]
    key = next(key for key in identity_keys("mix", "train", 2) if key.id == record.id)
    return make_person(key, *family(key.family), 0.0, "v2"), store.open(record)


def test_the_store_says_what_it_keeps_and_who_will_come(store):
    assert store.material and planned(store.path) == {record.id: "train" for record in store.records}
    with pytest.raises(StoreError, match="material"):
        StoreWriter(store.path, store.settings["settings"], points=1500, samples=600, families=["anny", "ict"])


def test_the_first_row_after_rest_is_a_mouth_wide_open(person):
    _, arrays = person
    assert np.flatnonzero(arrays["expressions"][1]).tolist() == [ARKIT.index("jawOpen")]
    assert arrays["expressions"][1].max() == 1.0


def test_material_coordinates_lead_back_to_the_points(person, store):
    who, arrays = person
    for row, expression in enumerate(arrays["expressions"]):
        solid = who.neutral if row == 0 else who.solid(expression, turning=True)
        first = arrays["weights"][row] / 65535.0
        weights = np.concatenate([first, 1.0 - first.sum(1, keepdims=True)], axis=1)
        assert (arrays["triangle"][row] >= 0).all()  # bald
        flat = (solid.vertices[solid.sheet.triangles[arrays["triangle"][row]]] * weights[:, :, None]).sum(1)
        normals = dequantise_normals(arrays["normals"][row])
        back = flat + arrays["lift"][row].astype(float)[:, None] * normals
        miss = MM_PER_UNIT * np.linalg.norm(back - dequantise(arrays["points"][row], store.box), axis=1)
        on_skin = np.abs(arrays["lift"][row].astype(float)) < 1e-4
        print(f"{who.key.id} row {row}: miss {miss[on_skin].max():.3f} mm, under joins {np.median(miss[~on_skin]):.2f}")
        assert miss[on_skin].max() < 0.1 and on_skin.mean() > 0.8
        assert np.median(miss[~on_skin]) < 0.3


def test_samples_stand_as_high_at_rest_as_they_do_now(person, store):
    who, arrays = person
    assert arrays["samples_valid"][0].all() and np.array_equal(arrays["samples"][0], arrays["samples_canonical"][0])
    for row in (1, 2):
        known = np.array(arrays["samples_valid"][row])
        assert 0.1 < known.mean() < 0.5
        low = np.abs(arrays["sdf"][row].astype(float)) < 0.01  # 2.5 mm: the surface below is still the nearest
        chosen = np.flatnonzero(known & low)
        resting = dequantise(arrays["samples_canonical"][row][chosen], store.box).astype(float)
        there, _ = who.neutral.signed_distance(resting)
        change = MM_PER_UNIT * np.abs(there - arrays["sdf"][row][chosen])
        typical, high = np.median(change), np.quantile(change, 0.9)
        print(f"{who.key.id} row {row}: change of height median {typical:.3f}, p90 {high:.2f}")
        assert typical < 0.1 and high < 1.0


def test_65_places_in_mirrored_pairs(person):
    _, arrays = person
    places = dict(zip(ANCHOR65_NAMES, np.array(arrays["anchors65"])))
    assert len(places) == 65 and np.array_equal(arrays["anchors65"][:39], arrays["anchors"])
    for name, place in places.items():
        if name.endswith("_left"):
            image = mirror_points(places[name.removesuffix("left") + "right"][None])[0]
            assert place[0] > 0 and MM_PER_UNIT * np.linalg.norm(place - image) < 15, name
