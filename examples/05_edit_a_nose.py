"""Give a head another nose.

`sample_region` draws a region from the model's prior and leaves the rest of the head where it is: wherever no edited
part has a blend weight the field stays the same, bit for bit. An edit is a pure function: head in, new head out.
`strength` goes from 0 (nothing) over 1 (all of it) to 2 (a caricature of it).

    python examples/05_edit_a_nose.py
"""

from pathlib import Path

import numpy as np

import headfield
from headfield.edit.change import change_of
from headfield.edit.operations import sample_region
from headfield.surface.head import Head
from headfield.surface.sheet import contact_sheet, write_png
from headfield.surface.snapshot import render

model = headfield.load("imhead-open-small")
head = Head(model, model.mean_codes(model.prior.names.index("bald")))
mesh = head.mesh(resolution=112)

edited = sample_region(head, "nose", sd=1.5, seed=3)
change = change_of(head, edited, mesh)
moved = np.abs(change.displacement_mm)
near = change.distance_mm < 25
print(f"the nose moved by {np.nanmean(moved[near]):.1f} mm in the mean, {np.nanmax(moved):.1f} mm at most")
print(f"{(change.weight == 0).mean():.0%} of the head is the same, bit for bit")

heads = {"before": mesh, "after": edited.mesh(resolution=112)}
pictures = [render(one, view=(50, 5), size=300, frame_on=mesh.vertices) for one in heads.values()]
write_png(contact_sheet(pictures, columns=2, labels=list(heads)), Path("out/examples/nose.png"))
