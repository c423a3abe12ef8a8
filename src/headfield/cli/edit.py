"""``headfield edit``: change regions of a head and keep how it was done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from headfield.errors import ConfigError

NEAR_MM = 25.0
"""What is nearer to a region's anchors than this counts as inside."""

MEASURED = 96
"""Resolution of the mesh that displacements are measured on."""

PICTURED = 160
"""Resolution of the meshes in the preview."""


@dataclass(frozen=True)
class EditCommand:
    """Change regions of a head: take them from another head, draw them, make them symmetric; undo it again.

    Several edits are done in this order, whatever the order of the options: --undo, --reset, --interpolate, --swap,
    --sample, --symmetrise, --refit-warp, --expression-of. For another order run the command twice.
    Every edit is kept in the file written, so that --undo works later. Regions: nose, mouth, eyes, brows, cheeks, ears,
    temples (left_eye, ... for one side), jaw, chin, forehead, scalp, back_of_head, neck.
    """

    head: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="HEAD.NPZ")]
    """A head that this command wrote, the fit.npz of a fit or its folder, or codes.npz#3, the third of drawn heads."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="HEAD.NPZ")] = Path("head.npz")
    """The edited head with its history."""
    swap: Annotated[tuple[str, ...], tyro.conf.arg(metavar="REGION=OTHER.NPZ...")] = ()
    """Take regions from other heads, such as nose=b.npz mouth=c.npz."""
    sample: Annotated[tuple[str, ...], tyro.conf.arg(metavar="REGION...")] = ()
    """Draw these regions from the model's prior, each by itself."""
    interpolate: Annotated[str | None, tyro.conf.arg(metavar="OTHER.NPZ=T")] = None
    """Blend the whole head with another one: b.npz=0.3 goes 30 % of the way."""
    symmetrise: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="[REGION...]")] = None
    """Make left and right alike, in these regions or everywhere. One side's name makes it the image of the other."""
    refit_warp: bool = False
    """Let expressions follow the edited parts: the warp is given the likeliest identity that has them. Without it an
    edited head moves as it did before."""
    expression_of: Annotated[Path | None, tyro.conf.arg(metavar="OTHER.NPZ")] = None
    """Take the expression of another head."""
    reset: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="[REGION...]")] = None
    """Give these regions, or all, back to the head's own identity."""
    undo: tyro.conf.UseCounterAction[int] = 0
    """Take back the last edit; several times for several edits."""
    strength: float = 1.0
    """Of --swap, --sample and --symmetrise: 0 changes nothing, 1 everything; -1..2 extrapolates."""
    sd: float = 1.0
    """Spread of --sample: 1 is the training heads' own, 2 is a caricature."""
    seed: int = 0
    """Seed of --sample."""
    mesh: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the edited head as a mesh, too: .ply, .obj, .stl or .glb, in the scan's own frame and unit."""
    preview: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Write a picture: before, after, and where it moved."""
    resolution: int = 256
    """Samples along the longest side of the model's box, for --mesh."""
    unit: Literal["mm", "cm", "m", "inch"] | None = None
    """Convert the mesh to this unit; the scan's own when not given."""
    model: str | None = None
    """Weights to open heads with, a released name, a folder or a hub id, in place of those that their files name."""
    force: bool = False
    """Replace files that exist."""

    def run(self) -> int:
        """Load, edit, write, tell what moved."""
        from contextlib import ExitStack

        from headfield.cli.output import check_resolution, output_file
        from headfield.cli.report import summary, working
        from headfield.io.mesh import check_mesh_suffix

        check_resolution(self.resolution)
        _check_suffix("-o", self.out, ".npz")
        if self.preview is not None:
            _check_suffix("--preview", self.preview, ".png")
        if self.mesh is not None:
            check_mesh_suffix(self.mesh)
        self._check_words()
        asked = (self.swap, self.sample, self.interpolate, self.undo, self.expression_of, self.refit_warp)
        if not any(asked) and self.symmetrise is None and self.reset is None:
            raise ConfigError("nothing to do: give an edit, such as --swap nose=b.npz or --sample mouth.")
        with ExitStack() as stack:
            places = {
                path: stack.enter_context(output_file(path, force=self.force))
                for path in (self.out, self.mesh, self.preview)
                if path is not None
            }
            say = stack.enter_context(working(f"Reading {self.head.name}"))
            before, after, done, notes = self._edited(say)
            say("Measuring what moved")
            rows, picture = _told(before, after, self.preview is not None)
            after.save(places[self.out])
            if self.mesh is not None:
                say(f"Making the mesh at {self.resolution}")
                _write_mesh(after, self, places[self.mesh])
            if picture is not None and self.preview is not None:
                from headfield.surface.sheet import write_png

                write_png(picture, places[self.preview])
        files = ", ".join(str(path) for path in (self.out, self.mesh, self.preview) if path is not None)
        rows |= {"history": f"{len(after.history)} edits" if len(after.history) != 1 else "1 edit", "files": files}
        if not 0 <= self.strength <= 1:
            notes += (f"strength {self.strength:g} extrapolates: the prior knows no such parts; look at the result.",)
        summary(f"{before.name}: {'; '.join(done)}", rows, notes)
        return 0

    def _check_words(self) -> None:
        """What can be wrong in the words themselves, before a model is loaded for them."""
        from headfield.edit.regions import region_names

        for word in self.swap:
            if not all(word.partition("=")[::2]):
                raise ConfigError(f"--swap {word}: write region=other.npz, such as nose=b.npz.")
        named = [word.partition("=")[0] for word in self.swap]
        for name in (*named, *self.sample, *(self.symmetrise or ()), *(self.reset or ())):
            region_names(name)
        if self.interpolate is not None:
            _share(self.interpolate)

    def _edited(self, say):
        """The head before and after, what was done in words, and what is to be known of the heads that were opened."""
        from headfield.edit.record import SavedHead

        before = after = SavedHead.load(self.head, self.model)
        others: dict[str, SavedHead] = {}

        def other(path) -> SavedHead:
            if str(path) not in others:
                others[str(path)] = SavedHead.load(path, self.model)
            return others[str(path)]

        done = []

        def do(words: str, **operation) -> None:
            nonlocal after
            say(f"{words} ...")
            after = after.apply(operation)
            done.append(words)

        common = {"strength": self.strength}
        if self.undo:
            after = after.undo(self.undo)
            done.append(f"undid {self.undo} edit{'s' if self.undo > 1 else ''}")
        if self.reset is not None:
            do(f"reset {' '.join(self.reset) or 'everything'}", do="reset", regions=list(self.reset) or None)
        if self.interpolate is not None:
            path, share = _share(self.interpolate)
            do(f"{share:g} of the way to {Path(path).name}", do="interpolate", donor=other(path), t=share)
        for word in self.swap:
            region, _, path = word.partition("=")
            do(f"{region} of {Path(path).name}", do="swap", donor=other(path), regions=[region], **common)
        for region in self.sample:
            options = {"sd": self.sd, "seed": self.seed}
            do(f"drew {region} at {self.sd:g} sd", do="sample_region", regions=[region], **options, **common)
        if self.symmetrise is not None:
            names = " ".join(self.symmetrise) or "the whole head"
            operation = {"regions": list(self.symmetrise) or None, "strength": min(max(self.strength, 0.0), 1.0)}
            do(f"made {names} symmetric", do="symmetrise", **operation)
        if self.refit_warp:
            do("fitted the warp to the edited parts", do="refit_warp")
        if self.expression_of is not None:
            do(f"expression of {self.expression_of.name}", do="transfer_expression", donor=other(self.expression_of))
        notes = tuple(dict.fromkeys(note for head in (before, *others.values()) for note in head.notes))
        return before, after, done, notes


def _share(words: str) -> tuple[str, float]:
    """The other head's file and the share of the way to it."""
    path, _, share = words.rpartition("=")
    try:
        return path, float(share) if path else _no_number()
    except ValueError:
        raise ConfigError(f"--interpolate {words}: write other.npz=0.3, the share of the way.") from None


def _no_number():
    raise ValueError


def _check_suffix(option: str, path: Path, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise ConfigError(f"{option} {path}: name a {suffix} file.")


def _told(before, after, pictured: bool):
    """What moved, in rows for the summary, and the picture of it."""
    import numpy as np

    from headfield.edit.change import change_of

    mesh = before.head.neutral().mesh(PICTURED if pictured else MEASURED)
    change = change_of(before.head, after.head, mesh, mm=before.mm_per_unit)
    moved = np.abs(change.displacement_mm)
    inside, outside = change.distance_mm < NEAR_MM, change.distance_mm >= NEAR_MM
    if not (moved > 0).any():
        rows = {"moved": "nothing on the neutral head"}
    elif not outside.any() or len(change.parts) > 30:
        rows = {"moved": f"{np.nanmean(moved):.2f} mm in the mean, {np.nanmax(moved):.1f} mm at most, everywhere"}
    else:
        rows = {
            "moved": f"{np.nanmean(moved[inside]):.2f} mm in the mean, {np.nanmax(moved[inside]):.1f} mm at most, "
            f"within {NEAR_MM:.0f} mm of {_places(change.parts)}",
            "beyond": f"{np.nanmean(moved[outside]):.3f} mm in the mean, {np.nanmax(moved[outside]):.2f} mm at most",
            "untouched": f"{(change.weight == 0).mean():.0%} of the head, bit for bit",
        }
    return rows, _picture(mesh, after, change) if pictured else None


def _places(parts) -> str:
    """Names of the anchors of edited parts, sides together."""
    from headfield.frames import ANCHOR_NAMES

    names = [ANCHOR_NAMES[part] for part in parts]
    plain = dict.fromkeys(name.removesuffix("_left").removesuffix("_right") for name in names)
    return ", ".join(name.replace("_", " ") for name in plain)


def _picture(mesh, after, change):
    """Before, after and displacement from two sides, all with the same cameras."""
    import numpy as np

    from headfield.surface.sheet import contact_sheet, error_colours, error_legend
    from headfield.surface.snapshot import MeshPictures

    most = float(np.ceil(max(1.0, np.nanpercentile(np.abs(change.displacement_mm), 99.5))))
    colours = error_colours(change.displacement_mm, most)
    before, now = MeshPictures(mesh), MeshPictures(after.head.neutral().mesh(PICTURED))
    options = {"frame_on": mesh.vertices, "size": 320}
    images, labels = [], []
    for view in ("front", "three_quarter"):
        sight = before.seen_from(view, **options)
        images += [sight.picture(), now.seen_from(view, **options).picture()]
        images.append(sight.picture(colours, occlusion_rays=0))
        labels += ["before", "after", "where it moved"]
    return contact_sheet(images, 3, labels, legend=error_legend(960, most, "displacement of the surface (mm)"))


def _write_mesh(head, command: EditCommand, place: Path) -> None:
    from headfield.cli.units import in_unit
    from headfield.io.mesh import write_mesh

    mesh, named = in_unit(head.mesh(command.resolution), head, command.unit)
    # a GLB keeps the unit too; it has no place to name it
    write_mesh(mesh, place, unit=None if place.suffix.lower() == ".glb" else named)
