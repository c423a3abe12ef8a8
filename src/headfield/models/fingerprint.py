"""What tells weights from others: short fingerprints of all that gives codes their meaning.

There are two, because new weights may leave all heads at rest as they are, bit for bit, and move faces differently: one
of what a head without an expression depends on, and one of what matters only with an expression. A model says itself
which of its tensors are which (:meth:`headfield.models.imhead.model.ImHead.weights_by_use`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

DIGITS = 12
"""Hexadecimal digits that are kept of a SHA-256: enough to tell all weights that will ever be made apart."""


@dataclass(frozen=True)
class Fingerprint:
    """The two fingerprints of a model's weights, 12 hexadecimal digits each.

    Attributes:
        identity: Of all that a head at rest depends on: with another one, a code is another head.
        expression: Of all that matters only with an expression: with another one, the same face moves differently.
    """

    identity: str
    expression: str

    def __str__(self) -> str:
        return f"{self.identity}, expressions {self.expression}"

    def to_dict(self) -> dict[str, str]:
        """As files hold it."""
        return {"identity": self.identity, "expression": self.expression}


def fingerprint_of(model, at_rest: Any, expressive: Any) -> Fingerprint:
    """The fingerprint of a model, kept with it and worked out again only after a weight was changed in place.

    Args:
        model: A module that says by `weights_by_use` which of its tensors matter to what.
        at_rest: Settings that are no tensors and that a head at rest depends on, plain values in a fixed order.
        expressive: Those that matter only with an expression.
    """
    stamp = tuple((tensor.data_ptr(), tensor._version) for tensor in model.state_dict().values())
    known = model.__dict__.get("_known_fingerprint")
    if known is None or known[0] != stamp:
        settings = (json.dumps(values) for values in (at_rest, expressive))
        known = stamp, Fingerprint(*map(digest, model.weights_by_use(), settings))
        model.__dict__["_known_fingerprint"] = known
    return known[1]


def digest(tensors: Mapping[str, torch.Tensor], settings: str) -> str:
    """Fingerprint of tensors and of settings that are no tensors.

    It depends on names, shapes and values as 32-bit floats (least byte first) and on nothing else: not on the order of
    the tensors, the machine, the device, or whether a file held them in half precision.

    Args:
        tensors: By name.
        settings: Any text.
    """
    found = hashlib.sha256(settings.encode())
    for name in sorted(tensors):
        values = tensors[name].detach().to("cpu", torch.float32).numpy()
        found.update(f"\n{name} {tuple(values.shape)}\n".encode())
        found.update(values.astype("<f4", order="C", copy=False).tobytes())
    return found.hexdigest()[:DIGITS]
