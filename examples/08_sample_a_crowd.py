"""Sample a crowd: many people, each with a size, a hairdo and a mood of their own.

The prior knows how codes are spread within each hair class and how large heads are, so that everybody differs in the
way that people do. The result is one mesh in metres; `headfield sample` writes each head into a file of its own.

    python examples/08_sample_a_crowd.py
"""

from pathlib import Path

import numpy as np
import torch

import headfield
from headfield.edit.presets import PRESETS, preset
from headfield.frames import METRES_PER_UNIT
from headfield.io.mesh import write_mesh
from headfield.surface.head import Head
from headfield.surface.sheet import write_png
from headfield.surface.snapshot import render
from headfield.types import Codes, Mesh, Similarity

SIDE, APART = 3, 0.34  # people in a row and rows, metres between them

model = headfield.load("imhead-open-small")
prior, rng = model.prior, np.random.default_rng(11)
vertices, triangles, normals = [], [], []
for number, code in enumerate(prior.draw(SIDE * SIDE, rng, sd=0.9)):
    mood = preset(str(rng.choice(list(PRESETS))), weight=rng.uniform(0.4, 0.8))
    mesh = Head(model, Codes(torch.from_numpy(code)[None])).with_expression(mood).mesh(resolution=72)
    size = np.exp(prior.size_mean + prior.size_sd * rng.standard_normal())
    row, column = divmod(number, SIDE)
    place = APART * np.array([column + 0.5 * (row % 2), 0.9 * row, -row])  # as on a grandstand
    mesh = mesh.transformed(Similarity(np.eye(3), place, METRES_PER_UNIT * size))
    triangles.append(mesh.triangles + sum(map(len, vertices)))
    vertices.append(mesh.vertices)
    normals.append(mesh.normals)

crowd = Mesh(np.concatenate(vertices), np.concatenate(triangles), np.concatenate(normals))
print(f"{SIDE * SIDE} people, {len(crowd.vertices):,} vertices")
out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)
write_mesh(crowd, out / "crowd.ply", unit="m")
picture = render(crowd, view="front", size=720)
rows = (picture != picture[:, :1]).any(axis=(1, 2)).nonzero()[0]  # cut the empty rows above and below
write_png(picture[rows[0] : rows[-1] + 1], out / "crowd.png")
