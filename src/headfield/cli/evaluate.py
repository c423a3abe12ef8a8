"""``headfield evaluate``: one frozen test, against hidden truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from headfield.evaluate.options import Options


@dataclass(frozen=True)
class EvaluateCommand:
    """Measure a model on held-out heads against hidden truth, beside the mean head and a PCA of the training heads.

    Writes table.md, results.json, worst.png, typical.png and every case's numbers and fit. Run it again to resume.
    """

    protocol: str
    """full-ict, full-anny, depth-bald, depth-mixed, haired, posed, disentangled, outsiders, placement,
    or captures-KIND with mask, closed, average, phone-mesh, smile, bust, photogrammetry, phone-depth, clean,
    closed-neutral, with-neutral or real."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("evaluation")
    """Output folder; one that was interrupted is continued."""
    options: Annotated[Options, tyro.conf.OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Run the protocol with a line per case; 1 when a case failed."""
        from headfield.cli.output import resumable_folder
        from headfield.cli.report import duration, working
        from headfield.errors import ConfigError
        from headfield.evaluate.protocols import protocol_named
        from headfield.evaluate.run import evaluate

        protocol_named(self.protocol)
        if self.options.limit is not None and self.options.limit < 1:
            raise ConfigError(f"--limit {self.options.limit}: measure at least one head, or leave it out for all.")
        with resumable_folder(self.out, began="cases/*.json"), working(f"Running {self.protocol}") as say:
            results = evaluate(
                self.protocol,
                self.out,
                self.options,
                progress=lambda done, total, name: say(f"{self.protocol}: {done} of {total} ({name})"),
            )
        print((self.out / "table.md").read_text(encoding="utf-8"))
        seconds = [result.facts["case_seconds"] for result in results if result.facts]
        if seconds:
            print(f"{len(results)} heads, {duration(sum(seconds))} of work; {self.out}/results.json, worst.png")
        for result in results:
            if result.error:
                print(f"{result.name} failed: {result.error}")
        return 1 if any(result.error for result in results) else 0
