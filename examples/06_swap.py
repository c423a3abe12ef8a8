"""Swap a mouth between two heads, and take it back.

Regions have names: nose, mouth, eyes, brows, cheeks, ears, temples (or left_eye, ... for one side), jaw, chin,
forehead, scalp, back_of_head, neck. A `SavedHead` keeps every edit with all that it needs, so edits can be undone and
done again, also after the head was written to a file and read from it.

    python examples/06_swap.py
"""

from pathlib import Path

import numpy as np
import torch

import headfield
from headfield.edit.record import SavedHead
from headfield.surface.head import Head
from headfield.surface.sheet import contact_sheet, write_png
from headfield.surface.snapshot import render
from headfield.types import Codes

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)
model = headfield.load("imhead-open-small")
bald = model.prior.names.index("bald")
codes = model.prior.draw(2, np.random.default_rng(4), sd=0.9, component=bald)
head, other = (SavedHead(Head(model, Codes(torch.from_numpy(code)[None])), model.name) for code in codes)

swapped = head.apply({"do": "swap", "regions": ["mouth"], "donor": other})
swapped = swapped.apply({"do": "symmetrise", "regions": ["eyes"], "strength": 0.8})
swapped.save(out / "swapped.npz")

again = SavedHead.load(out / "swapped.npz")
print("edits in the file:", ", ".join(edit["do"] for edit in again.history))
back = again.undo(2)
print("undone, the field is the head's own again:", back.head.codes.parts is None)

heads = {"head": head, "other": other, "head with the other's mouth": again}
pictures = [render(one.head.mesh(112), view=(15, 0), size=280, frame_on=head.head.anchors()) for one in heads.values()]
write_png(contact_sheet(pictures, columns=3, labels=list(heads)), out / "swap.png")
