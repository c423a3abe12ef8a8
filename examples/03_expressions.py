"""One head, several expressions.

Expressions are the 52 ARKit weights in [0, 1], by name or as an array in the order of `headfield.types.ARKIT`. The
neutral head has all of them at zero.

    python examples/03_expressions.py
"""

from pathlib import Path

import headfield
from headfield.surface.head import Head
from headfield.surface.sheet import contact_sheet, write_png
from headfield.surface.snapshot import render

EXPRESSIONS = {
    "neutral": {},
    "jaw open": {"jawOpen": 0.7},
    "smile": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9},
    "wink": {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.5},
}

model = headfield.load("imhead-open-small")
head = Head(model, model.mean_codes())
frame = head.mesh(resolution=64).vertices
pictures = []
for weights in EXPRESSIONS.values():
    mesh = head.with_expression(weights).mesh(resolution=128)
    pictures.append(render(mesh, size=320, frame_on=frame))

write_png(contact_sheet(pictures, columns=4, labels=list(EXPRESSIONS)), Path("out/examples/expressions.png"))
