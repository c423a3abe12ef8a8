"""What the names of files say: whether a face is neutral, and which of several scans is which."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from headfield.types import ARKIT

_EMOTIONS = (
    "smile smiles smiled smiling grin grins grinning laugh laughs laughing laughter happy happiness joy sad sadness "
    "anger angry fear fearful afraid scared disgust disgusted surprise surprised contempt pain cry crying"
).split()

_DEEDS = (
    "open opened frown frowning sneer snarl pucker puckered puckerer pout kiss funnel funneler stretch stretched roll "
    "raise raised raiser lower lowered lowerer puff puffed blow blowing dimple dimpler tongue yawn yawning scream "
    "screaming shout shouting talk talking speak speaking speech viseme phoneme wink winking squint squinting extreme"
).split()

_PARTS = "mouth jaw lip lips brow brows cheek cheeks chin nose".split()  # who names one does something with it

_CHANNELS = {name.casefold() for name in ARKIT}

OTHER_EXPRESSIONS = frozenset({*_EMOTIONS, *_DEEDS, *_PARTS, *_CHANNELS} | {n.rsplit("left")[0] for n in _CHANNELS})
"""Words that name a face which is not at rest. A side (left) or a view (profile) alone does not."""

_AT_REST = re.compile(
    r"(?<![a-z])((eyes?|lids?) (open|opened|closed|shut)|(open|opened|closed|shut) (eyes?|lids?)"
    r"|(mouth|lips?|jaw) (closed|shut)|(closed|shut) (mouth|lips?|jaw))(?![a-z])"
)
"""What a face at rest may do: neutral scans have the eyes open or shut, and the mouth shut."""


def named_neutral(name: str) -> bool:
    """Whether a file's name says that the face is neutral: ``neutral.ply``, ``max_neutral_01.obj``, ``neutral2``.

    ``non-neutral`` and ``not neutral`` do not, nor does a name that holds another expression's word beside it
    (``neutral_smile``, ``Neutral-Surprise``; :data:`OTHER_EXPRESSIONS`): of two such words neither is a hint.
    """
    told = " ".join(word.rstrip("0123456789") for word in re.split(r"[\W_]+", name.casefold()))
    words = _AT_REST.sub("", told).split()
    if not OTHER_EXPRESSIONS.isdisjoint(words):
        return False
    return any(word == "neutral" and before not in ("non", "not", "no") for before, word in zip(["", *words], words))


def distinct_names(paths: Sequence[str | Path]) -> list[str]:
    """A name for each of several files: the last part of its path, with as many of those before it as tell it from the
    others (``a/scan.ply`` and ``b/scan.ply``); a file that is given twice has a number behind it."""
    parts = [Path(path).parts or (str(path),) for path in paths]
    names: list[str] = []
    for mine in parts:
        depth = 1
        while depth < len(mine) and any(mine[-depth:] == other[-depth:] for other in parts if other != mine):
            depth += 1
        name = "/".join(mine[-depth:])
        times = sum(taken == name or taken.startswith(f"{name} (") for taken in names)
        names.append(name if not times else f"{name} ({times + 1})")
    return names
