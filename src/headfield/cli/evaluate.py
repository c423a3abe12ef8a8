"""``headfield evaluate``: one frozen test, against hidden truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from headfield.evaluate.options import Options, small_budget


@dataclass(frozen=True)
class EvaluateCommand:
    """Measure a model on held-out heads against hidden truth, beside the mean head and PCAs of the training heads.

    Writes table.md, results.json, worst.png, typical.png and every case's numbers and fit; with --models a comparison
    of them, head by head (comparison.md, .csv, .tex, .json, plot.svg). A test with an axis, such as noise, has a folder
    for each level and a plot.svg over all of them. Run it again to resume.
    """

    protocol: str
    """full-ict, full-anny, depth-bald, depth-mixed, haired, posed, disentangled, outsiders, placement,
    or captures-KIND with mask, closed, average, phone-mesh, smile, bust, photogrammetry, phone-depth, clean,
    closed-neutral, with-neutral or real; or the papers': imhead-identity, imhead-expression, nphm-identity,
    nphm-anchors, nphm-single, nphm-expression-23, noise, points, specificity, compactness, correspondence, fit-time,
    fit-time-neutral, region-sampling, swap, interpolation."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("evaluation")
    """Output folder; one that was interrupted is continued."""
    models: tuple[str, ...] = ()
    """Models to compare on the same heads, the others with the first; --model does not count then."""
    budget: Literal["full", "small"] = "full"
    """small for a first look: --limit 8 --resolution 96 --samples 10000 --pca-heads 60 in place of these options'
    defaults; full for numbers that are to be told."""
    options: Annotated[Options, tyro.conf.OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Run the protocol, or each of a curve's, with a line per case; 1 when a case failed."""
        from headfield.cli.output import resumable_folder
        from headfield.errors import ConfigError
        from headfield.evaluate.papers import SWEEPS
        from headfield.evaluate.protocols import protocol_named

        if self.budget == "small":
            return replace(self, budget="full", options=small_budget(self.options)).run()
        several = SWEEPS.get(self.protocol)
        for name in several or (self.protocol,):
            protocol_named(name)
        if self.options.limit is not None and self.options.limit < 1:
            raise ConfigError(f"--limit {self.options.limit}: measure at least one head, or leave it out for all.")
        began = "**/settings.json" if several or self.models else "cases/*.json"
        with resumable_folder(self.out, began=began):
            found = [self._one(name, self.out / name if several else self.out) for name in several or (self.protocol,)]
            if several:
                self._plot([(protocol_named(name), results) for name, results in zip(several, found)])
        failed = [result for each in found for own in each.values() for result in own if result.error]
        for result in failed:
            print(f"{result.name} failed: {result.error}")
        return 1 if failed else 0

    def _plot(self, tests: list) -> None:
        """The curve of a sweep, or what is missing for it."""
        from headfield.evaluate.plots import PLOT, plot_sweep, try_plot

        print(try_plot(lambda: plot_sweep(self.protocol, tests, self.out / PLOT)) or f"{self.out / PLOT}")

    def _one(self, name: str, out: Path) -> dict:
        """One protocol: the cases of each model that was run."""
        from headfield.cli.report import duration, working
        from headfield.evaluate.compare import compare_models
        from headfield.evaluate.run import evaluate

        if self.models:
            with working(f"Running {name}") as say:
                found = compare_models(
                    name,
                    self.models,
                    out,
                    self.options,
                    progress=lambda model, done, total, case: say(f"{name}, {model}: {done} of {total} ({case})"),
                )
            print((out / "comparison.md").read_text(encoding="utf-8"))
            print(f"{out}/comparison.csv, .tex, .json, plot.svg; a folder for each model")
            return found
        with working(f"Running {name}") as say:
            results = evaluate(
                name, out, self.options, progress=lambda done, total, case: say(f"{name}: {done} of {total} ({case})")
            )
        print((out / "table.md").read_text(encoding="utf-8"))
        seconds = [result.facts["case_seconds"] for result in results if result.facts]
        if seconds:
            print(f"{len(results)} heads, {duration(sum(seconds))} of work; {out}/results.json, worst.png")
        return {Path(self.options.model).name: results}
