"""Ask a head's signed-distance field.

A head is a function: the distance of any point to its skin, negative inside, in model units (`MM_PER_UNIT` of them make
an average adult's millimetres). Anchors are 39 named places on the skin.

    python examples/04_ask_the_field.py
"""

import numpy as np

import headfield
from headfield.frames import ANCHOR_NAMES, MM_PER_UNIT
from headfield.surface.head import Head

model = headfield.load("imhead-open-small")
head = Head(model, model.mean_codes())

forehead = head.anchors()[ANCHOR_NAMES.index("forehead")]
print("forehead at", np.round(forehead, 3), "model units")

# a walk from 30 mm before the forehead to 30 mm behind it, along z
steps_mm = np.arange(30, -31, -10)
points = forehead + np.outer(steps_mm / MM_PER_UNIT, [0.0, 0.0, 1.0])
for step, distance in zip(steps_mm, head.signed_distance(points.astype(np.float32)) * MM_PER_UNIT):
    print(f"{step:+4d} mm from the anchor: {distance:+6.1f} mm to the skin")

# the mirror image is the same field asked at mirrored points, exactly
mirrored = points * [-1, 1, 1]
same = np.array_equal(head.mirrored().signed_distance(mirrored), head.signed_distance(points))
print("mirroring is exact:", same)
