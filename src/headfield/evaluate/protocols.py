"""The frozen tests of this library, and every test by its name."""

from __future__ import annotations

from dataclasses import replace

from headfield.errors import ConfigError
from headfield.evaluate.observe import ANYWHERE, DEPTH, NO_BACK
from headfield.evaluate.papers import PAPERS
from headfield.evaluate.protocol import Column, Protocol
from headfield.synth.captures import people

FALSE_HAIR_MM = 5.0
"""A bald head got false hair when its scalp lies this far outside the true one (median): hair is 5 mm thick or more."""

RIGHT_MM = 5.0
"""A placement is right when the face anchors lie this near to the true ones on average."""

REAL = (
    "average_f18", "average_f66", "average_m26", "average_m56", "man_with_shirt",
    "mask_03", "mask_07", "mask_20", "mask_33", "mask_41",
)  # fmt: skip
"""The captures of real people at hand, by file name; the same in both splits."""

_WHOLE = Column("whole", "whole head, Chamfer L1 mm")
_PARTS = tuple(Column(name, f"{name}, Chamfer L1 mm") for name in ("lids", "lips", "neck"))
_FACE = Column("face", "face, Chamfer L1 mm")


def _reach(column: Column, reach: float | None) -> Column:
    return replace(column, reach=reach)


def _goals(protocol: Protocol, name: str, title: str, who: tuple | None = None, **goals: float) -> Protocol:
    """The same captures as a test of its own, `goals` by column."""
    columns = tuple(_reach(column, goals.get(column.name, column.reach)) for column in protocol.columns)
    return replace(protocol, name=name, title=title, columns=columns, people=who or protocol.people)


def _capture(kind: str, title: str, surface: float | None, placed: float) -> Protocol:
    """The protocol of one kind of captures.

    Args:
        kind: See `headfield.synth.captures`.
        title: One line.
        surface: Goal of the distance to the captured surface, mm.
        placed: Goal of the share that is placed right.
    """
    columns = (
        Column("captured", "face, seen part, to the captured surface, median mm", surface, statistic="median"),
        Column("over", "the same to the true surface, beyond the smoothing's own error", 0.2, statistic="median"),
        Column("truth", "face, seen part, to the true surface, median mm"),
        Column("smoothing", "error of the smoothing itself, median mm"),
        Column("placed", "placed (face anchors within 5 mm), share", placed, share=True, at_least=True),
        Column("anchors", "mean distance of face anchors, mm"),
        Column("found", "all poses: active groups at half their weight", share=True, at_least=True),
        Column("acted", "emotions and visemes: active groups at half their weight", 0.85, share=True, at_least=True),
        Column("one_sided", "one-sided: active side at half, other at most 0.25", 0.85, share=True, at_least=True),
        Column("single", "single channels: active groups at half their weight", share=True, at_least=True),
        Column("false_neutral", "neutral: sum of weights that are not in the truth", 0.2, statistic="p90"),
        Column("false", "others: sum of false groups", 0.4, statistic="p90"),
        Column("symmetric", "symmetric expressions: left against right", 0.15, statistic="p90"),
        Column("gaze", "gaze where corneas are visible, degrees", 10.0, statistic="median"),
        Column("gaze_unseen", "gaze said not to be seen where it is", 0.05, share=True),
        Column("closed_read", "closed eyes read closed (0.6 or more)", 0.95, share=True, at_least=True),
        Column("open_read", "open eyes read open (0.2 or less)", 0.95, share=True, at_least=True),
        Column("true_scalp", "no hair claimed on a bare or uncaptured scalp", 0.97, share=True, at_least=True),
        Column("scalp", "offset of the scalp, outwards, median mm"),
        Column("poor", "fits within 0.6 mm that are called poor", 0.03, share=True),
    )
    return Protocol(
        f"captures-{kind}",
        title,
        tuple(people(kind, "test").items()),
        columns,
        kind="capture",
        pose="drawn",
        expression="auto",
        capture=kind,
    )


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "full-ict",
            "ICT, full scan of 5,000 points, neutral, bald",
            (("ict", 100),),
            (
                _reach(_WHOLE, 0.5),
                Column("normals", "whole head, normal consistency", 0.98, at_least=True),
                _FACE,
                Column("f1_5", "whole head, F-score at 1.5 mm", at_least=True),
                *_PARTS,
            ),
        ),
        Protocol(
            "full-anny",
            "anny, full scan of 5,000 points, neutral, bald",
            (("anny", 50),),
            (_reach(_FACE, 0.5), _WHOLE, Column("normals", "whole head, normal consistency", at_least=True), *_PARTS),
        ),
        Protocol(
            "depth-bald",
            "one frontal depth map, 5,000 points, 0.5 mm noise, bald",
            (("ict", 50), ("anny", 50)),
            (
                _reach(_FACE, 0.8),
                _reach(_WHOLE, 2.0),
                Column("true_scalp", "no false hair, share of heads", 0.95, share=True, at_least=True),
                Column("scalp", "offset of the scalp, outwards, median mm"),
            ),
            scan=(DEPTH,),
        ),
        Protocol(
            "depth-mixed",
            "one frontal depth map, 5,000 points, 0.5 mm noise, 40 % with hair",
            (("ict", 50), ("anny", 50)),
            (_reach(_FACE, 1.0), _reach(_WHOLE, 4.0)),
            hair="drawn",
            scan=(DEPTH,),
        ),
        Protocol(
            "haired",
            "heads with hair, full scan of 5,000 points, neutral",
            (("ict", 25), ("anny", 25)),
            (_reach(_FACE, 0.8), Column("hair", "hair, Chamfer L1 mm", 2.0), _WHOLE),
            hair="all",
        ),
        Protocol(
            "posed",
            "posed full scan of 5,000 points, identity and expression unknown, bald",
            (("ict", 50), ("anny", 50)),
            (_reach(_FACE, 1.0), Column("lips", "lips, Chamfer L1 mm", 1.5), _WHOLE),
            pose="drawn",
            expression="auto",
        ),
        Protocol(
            "disentangled",
            "neutral head from a smiling scan; true posed head from a neutral scan and true weights",
            (("ict", 25), ("anny", 25)),
            (
                Column("neutral", "neutral from the smile, face, Chamfer L1 mm", 1.5),
                Column("posed", "neutral scan + true expression, face, Chamfer L1 mm", 1.0),
            ),
            kind="disentangled",
            pose="smile",
            expression="fit",
        ),
        Protocol(
            "outsiders",
            "out of family: 32 Vitruvian heads and 6 Rocketbox skins (4 in dev), scan to head",
            (("vitruvian", 32), ("rocketbox", 6)),
            (
                Column("face", "face, median over points, mm", 1.2),
                Column("whole", "whole head, median over points, mm"),
            ),
            kind="outsiders",
            expression="auto",
        ),
        Protocol(
            "placement",
            "placement from nothing: any rotation, translation, unit; half without back of head",
            (("ict", 50), ("anny", 50)),
            (
                Column("right", "right (face anchors within 5 mm), share of scans", 0.92, share=True, at_least=True),
                Column("anchors", "mean distance of face anchors, mm"),
            ),
            kind="placement",
            hair="drawn",
            scan=(ANYWHERE, NO_BACK),
            expression="auto",
        ),
        _capture("mask", "face-only captures, smooth, of any pose, unit and expression", 0.3, 0.96),
        _capture("closed", "whole heads with closed eyes, shaved or under a cap", 0.3, 0.96),
        _capture("average", "very smooth faces with ears, as averages are", 0.3, 0.96),
        _capture("phone-mesh", "face meshes of 1,220 vertices with holes at eyes and mouth", None, 0.96),
        _capture("smile", "opened smiles with a row of teeth behind the lips", None, 0.96),
        _capture("bust", "sculpted heads: blank or cut eyes, hair in relief, parts broken off", 0.7, 0.92),
        _capture("photogrammetry", "bumpy heads with hair as a blob, shoulders and a table", 0.7, 0.96),
        _capture("phone-depth", "one side, in steps of 1-3 mm, with flying edges", 1.0, 0.92),
        _goals(
            _capture("clean", "", None, 1.0),
            "captures-clean",
            "clean heads of the training families, upright, in mm",
            found=0.95,
        ),
        replace(
            _goals(
                _capture("closed", "", None, 0.96),
                "captures-closed-neutral",
                "closed eyes, neutral, and said to be neutral: they keep their blink",
                closed_read=0.96,
            ),
            pose="neutral",
        ),
        replace(
            _goals(
                _capture("mask", "", 0.3, 0.96),
                "captures-with-neutral",
                "masks of emotions and visemes, a neutral one of the person given as well",
                who=tuple(item for item in people("mask", "test").items() if item[0] != "rocketbox"),
                acted=0.92,
            ),
            pose="acted",
            rest=True,
        ),
        Protocol(
            "captures-real",
            "ten real captures, two turns each, in any unit",
            tuple((name, 2) for name in REAL),
            (
                Column("captured", "scan to head, median mm"),
                Column("right", "upright (within 15 degrees) and in the right unit, share", 1.0, True, True),
                Column("turned", "rotation off by, degrees"),
                Column("unit", "right unit, share", share=True, at_least=True),
                Column("false_neutral", "all are neutral: sum of weights but blink", 0.2, statistic="p90"),
                Column("poor", "fits within 0.6 mm that are called poor", 0.03, share=True),
            ),
            kind="real",
            expression="auto",
        ),
    )
}
"""All tests by name. Frozen before the first training; the test split runs last."""


def protocol_named(name: str) -> Protocol:
    """A protocol by name, one of ours or of the papers'.

    Raises:
        ConfigError: There is none; the message lists them.
    """
    every = PROTOCOLS | PAPERS
    if name not in every:
        raise ConfigError(f"unknown protocol {name!r}: choose one of {', '.join(every)}.")
    return every[name]
