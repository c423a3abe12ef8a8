"""A learned expression code: a row of its own for every scan, exact resume, N(0, 1) in a release, and it works."""

import numpy as np
import pytest
import torch
from test_loop import ROWS, config, toy_store, weights_of  # noqa: F401  (toy_store is a fixture)

import headfield
from headfield.errors import ConfigError
from headfield.io.store import Store
from headfield.train.batches import Batches, Drawing
from headfield.train.loop import one_step, run, save
from headfield.train.release import load_run, release_run
from headfield.train.trainer import start
from headfield.train.whiten import whiten_expressions
from headfield.types import Codes


def test_every_scan_has_a_row_of_its_own(toy_store):  # noqa: F811
    store = Store(toy_store)
    batches = Batches(store, store.select(), Drawing(heads=6, points=8, samples=8, mirror=True, warp_points=8))
    seen = {}
    for step in range(30):
        for batch in batches.draw(step, 1.0, 6):
            for row, code, expression in zip(batch.rows, batch.expression_rows, batch.expression):
                assert code // ROWS == row
                told = (int(row) % 6, tuple(expression.tolist()))
                assert seen.setdefault(int(code), told) == told  # one row, one scan
    assert len(seen) == 2 * 6 * (ROWS - 1)  # every person and mirror image, every expression


@pytest.mark.parametrize("name", ["nphm", "imhead"])
def test_codes_are_learned_resumed_and_released(toy_store, tmp_path, name):  # noqa: F811
    settings = dict(model=name, learned_expression=3, heads=6, steps=160, rate=3e-3, code_rate=1e-2)
    unbroken = start(config(toy_store, tmp_path / "a", **settings))
    for _ in range(60):
        one_step(unbroken)
    broken = start(config(toy_store, tmp_path / "b", **settings))
    for _ in range(55):
        one_step(broken)
    (tmp_path / "b").mkdir()
    save(broken)
    broken = start(config(toy_store, tmp_path / "b", **settings))
    for _ in range(5):
        one_step(broken)
    assert torch.equal(unbroken.expressions.values, broken.expressions.values)
    assert all(torch.equal(one, weights_of(broken)[key]) for key, one in weights_of(unbroken).items())
    run(broken)
    released = release_run(tmp_path / "b", toy_store, tmp_path / "released")
    model = headfield.load(tmp_path / "released")
    assert model.expression_space.kind == "learned" and len(model.expression_space) == 3
    assert released.fingerprint == model.fingerprint
    raw, tables, _ = load_run(tmp_path / "b")
    trained = torch.tensor([head * ROWS + row for head in range(12) for row in range(1, ROWS)])
    codes = whiten_expressions(raw, tables["expressions"][trained])
    print(f"{name}: mean square of the whitened numbers", (codes**2).mean(0).numpy())
    assert abs(float((codes[:, 0] ** 2).mean()) - 1.0) < 1e-3
    _opens_the_mouth(raw, tables["codes"], codes)


def _opens_the_mouth(model, identities, codes):
    """Toy heads drop their chins by 0.025 and 0.05 in their two scans: the learned codes must do it."""
    drops = []
    for head in range(6):
        for row in range(ROWS - 1):
            all_codes = Codes(identities[head][None], codes[(ROWS - 1) * head + row][None])
            grid = torch.linspace(-0.55, -0.2, 400)
            points = torch.stack([torch.zeros(400), grid, torch.zeros(400)], 1)[None]
            with torch.no_grad():
                rest = model.signed_distance(points, Codes(identities[head][None]))[0]
                posed = model.signed_distance(points, all_codes)[0]
            drops.append(float(grid[(rest < 0).nonzero()[0]] - grid[(posed < 0).nonzero()[0]]))
    wide, half = np.array(drops[1::2]), np.array(drops[::2])
    print("chins drop by", half.mean(), wide.mean(), "truth 0.025 and 0.05")
    assert 0.5 * 0.025 < half.mean() < 1.5 * 0.025 and 0.7 * 0.05 < wide.mean() < 1.3 * 0.05


def test_zero_stays_rest_and_numbers_mean_the_same(toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "a", model="nphm", learned_expression=4))
    model, codes = trainer.model, torch.randn(40, 4) * torch.tensor([1.0, 0.1, 3.0, 0.5])
    torch.nn.init.normal_(model.deformer.mlp.last)
    points = torch.rand(1, 30, 3) - 0.5
    before = [model.from_canonical(points, Codes(trainer.codes[:1], code[None])) for code in codes[:5]]
    new = whiten_expressions(model, codes)
    after = [model.from_canonical(points, Codes(trainer.codes[:1], code[None])) for code in new[:5]]
    for one, other in zip(before, after):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(new.T @ new / 40, torch.eye(4), atol=1e-4, rtol=1e-4)
    rest = model.from_canonical(points, Codes(trainer.codes[:1], torch.zeros(1, 4)))
    assert torch.equal(rest, points)


def test_what_a_learned_code_cannot_do(toy_store, tmp_path):  # noqa: F811
    with pytest.raises(ConfigError, match="nobody knows"):
        start(config(toy_store, tmp_path / "x", learned_expression=8, held_rows=1))
    with pytest.raises(ConfigError, match="how many numbers"):
        start(config(toy_store, tmp_path / "x", learned_expression=-8))
