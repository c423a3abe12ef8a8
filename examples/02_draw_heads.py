"""Draw new heads from the model.

Codes follow a standard normal distribution: 0 is the mean head, and one standard deviation means the same in every
direction. `mean_codes(k)` is the mean of hair class k (0 is everyone); `model.prior.names` tells the classes.

    python examples/02_draw_heads.py
"""

from pathlib import Path

import torch

import headfield
from headfield.models.head import Head
from headfield.types import Codes
from headfield.view.sheet import contact_sheet, write_png
from headfield.view.snapshot import render

model = headfield.load("imhead-open-small")
print("hair classes:", ", ".join(model.prior.names))

generator = torch.Generator().manual_seed(7)
mean = model.mean_codes().identity
frame = Head(model, Codes(mean)).mesh(resolution=64).vertices  # one camera for all pictures
pictures = []
for _ in range(6):
    identity = mean + 0.8 * torch.randn(mean.shape, generator=generator)
    mesh = Head(model, Codes(identity)).mesh(resolution=128)
    pictures.append(render(mesh, view="three_quarter", size=256, frame_on=frame))

write_png(contact_sheet(pictures, columns=3), Path("out/examples/heads.png"))
