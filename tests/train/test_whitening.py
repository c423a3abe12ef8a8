"""White coordinates: they make the store's expressions white; a step in them is that of a model which speaks them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from seeded import seeded

from headfield.nn.deformer import DeformerSize, ExpressionDeformer
from headfield.train.whitening import FLOOR, Whitening, inverse_root
from headfield.types import ARKIT_MIRROR

SIZE = DeformerSize(
    identity=4, expression=52, ambient=1, hidden=8, layers=3, frequencies=1, identity_inner=2, expression_inner=6
)


def faces(count: int) -> np.ndarray:
    """Expressions (count, 52) in which the two sides go together but for a little."""
    rng = np.random.default_rng(seeded(1))
    rows = rng.uniform(0, 1, (count, 52)) * (rng.uniform(0, 1, (count, 52)) < 0.3)
    return (0.95 * 0.5 * (rows + rows[:, ARKIT_MIRROR]) + 0.05 * rows).astype(np.float32)


def batches(rows: np.ndarray, mirror: bool = True, held: int = 2) -> SimpleNamespace:
    """What a run trains on: a neutral row first, held ones last, and an identity that has not come yet."""
    held_out = np.full((held, 52), 9.0, np.float32)
    head = {"expressions": np.concatenate([np.zeros((1, 52), np.float32), rows, held_out])}
    return SimpleNamespace(arrays=[head, None], drawing=SimpleNamespace(held_rows=held, mirror=mirror))


def test_expressions_are_white_in_them():
    rows = faces(400)
    root = inverse_root(batches(rows))
    both = np.concatenate([rows, rows[:, ARKIT_MIRROR]]).astype(float)
    moment = both.T @ both / len(both)
    white = np.linalg.eigvalsh(root.numpy() @ moment @ root.numpy())
    values = np.linalg.eigvalsh(moment)
    print(f"second moments {values.min():.1e} to {values.max():.2f} become {white.min():.3f} to {white.max():.3f}")
    assert (values < FLOOR).any() and (values > FLOOR).any()
    assert np.allclose(np.sort(white), np.sort(np.minimum(values / FLOOR, 1.0)), atol=1e-6)
    assert torch.allclose(root, root.T)
    assert torch.equal(root, inverse_root(batches(rows, held=5))), "what is held out has no say"


def loss_of(deformer: ExpressionDeformer, points, identity, expression) -> torch.Tensor:
    shift, ambient, _ = deformer(points, deformer.fold(identity, expression))
    return ((shift - 0.1 * torch.sin(9.0 * points)) ** 2).sum() + (ambient**2).sum()


def test_a_step_is_that_of_a_model_that_speaks_white_numbers():
    """Oracle: the same network recoded to white numbers, fed with them, and trained without any of this."""
    root = inverse_root(batches(faces(300)))
    torch.manual_seed(seeded(2))
    own = ExpressionDeformer(SIZE).double()
    oracle = ExpressionDeformer(SIZE).double()
    oracle.load_state_dict(own.state_dict())
    oracle.recode_expression(torch.linalg.inv(root))
    whitening = Whitening(own, root)
    assert len(whitening.met) == 2, "the gate and the embedding"
    optimisers = [torch.optim.AdamW(d.parameters(), lr=1e-2, weight_decay=0.1) for d in (own, oracle)]
    expressions = torch.as_tensor(faces(40)).double()
    start = own.gate.weight.detach().clone()
    for step in range(6):
        points = torch.rand(4, 30, 3, dtype=torch.float64)
        identity, expression = torch.randn(4, 4, dtype=torch.float64), expressions[4 * step : 4 * step + 4]
        for deformer, optimiser in zip((own, oracle), optimisers):
            optimiser.zero_grad()
            loss_of(deformer, points, identity, expression if deformer is own else expression @ root).backward()
        with whitening.coordinates(optimisers[0]):
            optimisers[0].step()
        optimisers[1].step()
    oracle.recode_expression(root)
    for (name, value), other in zip(own.named_parameters(), oracle.parameters()):
        assert torch.allclose(value, other, rtol=1e-7, atol=1e-9), name
    assert (own.gate.weight - start).abs().max() > 1e-2
