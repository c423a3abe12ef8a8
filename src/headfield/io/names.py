"""What the name of a file says of the scan in it."""

from __future__ import annotations

import re


def named_neutral(name: str) -> bool:
    """Whether a file's name says that the face is neutral: ``neutral.ply``, ``max_neutral_01.obj``, ``neutral2``.

    ``non-neutral`` and ``not neutral`` do not.
    """
    words = [word.rstrip("0123456789") for word in re.split(r"[\W_]+", name.casefold())]
    return any(word == "neutral" and before not in ("non", "not", "no") for before, word in zip(["", *words], words))
