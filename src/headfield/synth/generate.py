"""Fill a training store with synthetic people: a process pool, resumable, atomic, the same bytes for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import numpy as np

from headfield.errors import ConfigError, StoreError
from headfield.frames import MM_PER_UNIT, anchors65
from headfield.io.store import Record
from headfield.io.store_plan import add_to_plan
from headfield.io.store_writer import StoreWriter, write_identity
from headfield.synth.config import SynthConfig
from headfield.synth.hairstyle import OVERLAID
from headfield.synth.identities import IdentityKey, frozen, identity_keys
from headfield.synth.person import MARGIN, Person, box, family, make_person
from headfield.synth.sampling import MATERIAL, Row, sample_row
from headfield.synth.seal import EYE_RADIUS
from headfield.workers import in_workers

Progress = Callable[[int, int, str], None]
"""Called with (finished, total, id of the one just finished)."""


def generate(config: SynthConfig, out: str | Path, progress: Progress | bool = True) -> Path:
    """Make or complete a store.

    Identities that the store's index names are kept as they are; a killed run goes on where it stopped. Runs of
    other splits, families or counts may fill the same store, as long as seed, hair share and array sizes agree.
    Everybody who was asked for is in the store's plan from the beginning, so that training may begin before the store
    is complete (:mod:`headfield.io.store_plan`).

    Args:
        config: What to make.
        out: The store's folder.
        progress: True shows a bar with the remaining time, False nothing, or a function of your own.
    Returns:
        The store's folder.
    Raises:
        ConfigError: Options that make no sense.
        StoreError: `out` holds something else, or a head does not fit the box.
    """
    if config.points < 16 or config.samples < 16 or config.expressions < 0:
        raise ConfigError(
            f"points ({config.points}) and samples ({config.samples}) must be at least 16, "
            f"expressions ({config.expressions}) at least 0."
        )
    share = frozen()["hair"]["share"] if config.hair is None else config.hair
    if not 0 <= share <= 1:
        raise ConfigError(f"hair share {share} is not between 0 and 1.")
    keys = identity_keys(config.family, config.split, config.identities, config.seed)
    settings = {"generator": frozen(), "seed": keys[0].seed, "hair": share}
    if config.drawing != "sums":  # stores of sums keep the header that they always had
        settings["drawing"] = config.drawing
    if config.truth != "v1":  # and so do stores of the first truth
        settings["truth"] = config.truth
        settings["hair_overlaid"] = OVERLAID
        settings["eye_join_mm"] = EYE_RADIUS * MM_PER_UNIT  # v2 stores from before it had another join
    families = sorted({key.family for key in keys})
    for name in families:  # what is missing for one of them is told before anything is made
        family(name)
    writer = StoreWriter(
        out, settings, box=box(), points=config.points, samples=config.samples, families=families,
        material=config.truth != "v1",
    )  # fmt: skip
    add_to_plan(out, {key.id: key.split for key in keys})
    todo = [key for key in keys if key.id not in writer]
    sizes = (config.expressions, config.points, config.samples)
    jobs = [(str(out), key, *sizes, share, config.drawing, config.truth) for key in todo]
    done = len(keys) - len(todo)
    report, close = _reporter(progress, len(keys), done)
    try:
        with closing(in_workers(write_person, jobs, config.workers)) as made:
            for _, record in made:
                writer.finish(record)
                done += 1
                report(done, len(keys), record.id)
    finally:
        close()
    return Path(out)


def write_person(
    out: str, key: IdentityKey, expressions: int, points: int, samples: int, hair_share: float, drawing: str = "sums",
    truth: str = "v1",
) -> Record:  # fmt: skip
    """Make one person's folder; the index line is the caller's.

    Args:
        out: The store's folder.
        key: Who.
        expressions: Random expressions beside neutral.
        points, samples: P and S.
        hair_share: Share of people with hair or beard.
        drawing: How expressions are drawn.
        truth: Which people, see :class:`headfield.synth.config.SynthConfig`.
    Returns:
        The index record.
    """
    head, sheet = family(key.family)
    person = make_person(key, head, sheet, hair_share, truth)
    arrays, kept = person_arrays(person, expressions, points, samples, box(), drawing)
    record = Record(
        id=key.id,
        family=key.family,
        split=key.split,
        hair=person.hair_class,
        beard=person.beard_class,
        log_size=person.log_size,
        expressions=1 + expressions,
        describe=head.describe(person.identity),
        folder=f"{key.family}/{key.id}",
        taken_back=None if person.attenuated is None else person.attenuated.round(4).tolist(),
    )
    write_identity(Path(out), record, arrays, kept if key.split != "train" else None)
    return record


def person_arrays(
    person: Person, expressions: int, points: int, samples: int, bounds: np.ndarray, drawing: str = "sums"
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The store's arrays of one person, and the evaluation truth of the first rows.

    Args:
        person: Who.
        expressions: Random expressions beside neutral.
        points, samples: P and S.
        bounds: (2, 3) model box.
        drawing: How expressions are drawn; with whole faces the eyeballs turn.
    Raises:
        StoreError: A head comes closer than 15 mm to the box.
    """
    weights = person.expressions(expressions, drawing)
    rng = person.key.rng("samples")
    rows, kept = [], []
    for number, expression in enumerate(weights):
        solid = person.neutral if number == 0 else person.solid(expression, turning=drawing != "sums")
        require_room(solid.vertices, bounds, person.key.id)
        rows.append(sample_row(solid, person.neutral, points, samples, bounds, rng))
        if number < frozen()["truth_rows"]:
            kept.append(solid)
    names = [field.name for field in fields(Row) if person.sealed or field.name not in MATERIAL]
    arrays = {name: np.stack([getattr(row, name) for row in rows]) for name in names}
    arrays |= {"anchors": person.anchors.astype(np.float32), "expressions": weights}
    if person.sealed:
        arrays["anchors65"] = anchors65(person.anchors, person.head.landmarks68(person.skin())).astype(np.float32)
    return arrays, truth_arrays(person, kept)


def truth_arrays(person: Person, solids: list) -> dict[str, np.ndarray]:
    """What evaluation needs of a person, uncompressed: rows R of the skin, and the static hair.

    Keys: ``vertices`` (R, V, 3) f4, ``triangles`` (F, 3) i4, ``seen`` (R, F) bool (no part of the surface where
    False), ``interior``, ``cap`` (F,) bool, ``face`` (V,) bool, ``hair_vertices`` (H, 3) f4, ``hair_triangles`` (G, 3)
    i4, ``hair_seen`` (G,) bool, ``identity`` (I,) f8, ``placement`` (4, 4) f8 metres -> model frame, ``landmarks68``
    (R, 68, 3) f4. The solid is the union of skin and hair.
    """
    hair = person.hair
    empty = np.zeros((0, 3))
    return {
        "vertices": np.stack([solid.vertices for solid in solids]).astype(np.float32),
        "triangles": person.sheet.triangles.astype(np.int32),
        "seen": np.stack([solid.seen for solid in solids]),
        "interior": person.sheet.interior,
        "cap": person.sheet.cap,
        "face": np.asarray(person.head.face_mask, dtype=bool),
        "hair_vertices": (empty if hair is None else hair.vertices).astype(np.float32),
        "hair_triangles": (empty if hair is None else hair.triangles).astype(np.int32),
        "hair_seen": np.zeros(0, bool) if hair is None else hair.visible,
        "identity": np.asarray(person.identity, dtype=float),
        "placement": person.placement.matrix(),
        "landmarks68": np.stack([person.head.landmarks68(solid.vertices) for solid in solids]).astype(np.float32),
    }


def require_room(vertices: np.ndarray, bounds: np.ndarray, name: str) -> None:
    """Refuse a head that comes closer than 15 mm to the box.

    Raises:
        StoreError: It does; the message says where.
    """
    low, high = vertices.min(0), vertices.max(0)
    if (low < bounds[0] + MARGIN).any() or (high > bounds[1] - MARGIN).any():
        raise StoreError(
            f"{name} spans {low.round(3)} to {high.round(3)} model units; the box {bounds[0]} to {bounds[1]} must "
            f"enclose it with {MARGIN:.3f} (15 mm) to spare: enlarge the box in synth/frozen.json."
        )


def _reporter(progress: Progress | bool, total: int, done: int) -> tuple[Progress, Callable[[], None]]:
    if callable(progress):
        return progress, lambda: None
    if not progress:
        return (lambda *_: None), lambda: None
    from rich import progress as rich_progress

    bar = rich_progress.Progress(
        rich_progress.TextColumn("heads"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.description}"),
    )
    bar.start()
    task = bar.add_task("", total=total, completed=done)

    def report(finished: int, _: int, name: str) -> None:
        bar.update(task, completed=finished, description=name)

    return report, bar.stop
