"""Draw new heads from the model.

Over all heads codes have mean 0 (the mean head) and unit variance in every direction. Hair makes them a mixture:
`model.prior` draws from it, or from one of the hair classes in `model.prior.names`.

    python examples/02_draw_heads.py
"""

from pathlib import Path

import numpy as np
import torch

import headfield
from headfield.surface.head import Head
from headfield.surface.sheet import contact_sheet, write_png
from headfield.surface.snapshot import render
from headfield.types import Codes

model = headfield.load("imhead-open-small")
print("hair classes:", ", ".join(model.prior.names))

frame = Head(model, model.mean_codes()).mesh(resolution=64).vertices  # one camera for all pictures
pictures = []
for identity in model.prior.draw(6, np.random.default_rng(7), sd=0.8):
    mesh = Head(model, Codes(torch.from_numpy(identity)[None])).mesh(resolution=128)
    pictures.append(render(mesh, view="three_quarter", size=256, frame_on=frame))

write_png(contact_sheet(pictures, columns=3), Path("out/examples/heads.png"))
