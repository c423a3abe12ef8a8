"""What the mouths of the heads on screen hold: placed once for each shape, posed with every expression."""

from __future__ import annotations

from headfield.surface.head import Head
from headfield.surface.mouth_parts import MouthPart, mouth_parts_of
from headfield.surface.parts import posed_mesh
from headfield.types import Mesh


class Mouths:
    """Remembers the mouth parts of the last shape that they were placed in."""

    def __init__(self) -> None:
        """Nothing is placed yet."""
        self._shape: tuple | None = None
        self._parts: tuple[MouthPart, ...] = ()

    def of(self, head: Head, place: bool) -> list[tuple[MouthPart, Mesh]]:
        """The parts of a head, each with its mesh at the head's expression.

        Args:
            head: In any expression.
            place: Place them anew if the head has another shape than the last one; placing takes half a second.
        """
        shape = _shape_of(head)
        if place and shape != self._shape:
            self._shape, self._parts = shape, mouth_parts_of(head.neutral())
        expression = head.codes.expression
        weights = None if expression is None else expression[0].detach().cpu().numpy().astype(float)
        if weights is not None and head.reflected:
            weights = weights[head.model.expression_space.mirror]
        return [(part, posed_mesh(part, weights)) for part in self._parts]


def _shape_of(head: Head) -> tuple:
    """What tells two heads' shapes apart: the model, its codes without the expression, and the reflection."""
    codes = head.codes
    given = (codes.identity, codes.parts, codes.anchors)
    return (id(head.model), head.reflected, *(None if x is None else x.detach().cpu().numpy().tobytes() for x in given))
