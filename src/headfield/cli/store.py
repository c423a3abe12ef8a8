"""``headfield store``: look after a training store: check it, count who is in it, remove a person."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

StorePlace = Annotated[Path, tyro.conf.arg(aliases=["-s"])]


@dataclass(frozen=True)
class RemoveCommand:
    """Delete every trace of a person from a store and say what was deleted. An interrupted removal goes on."""

    subject: tyro.conf.Positional[str]
    """The person's id."""
    store: StorePlace = Path("store")
    """The store's folder."""
    yes: bool = False
    """Do not ask."""
    if_present: bool = False
    """Nobody of that name is no error. Without this it is one: a mistyped name must not look like a removal."""

    def run(self) -> int:
        """Ask, remove, tell."""
        from headfield.cli.claims import claimed
        from headfield.io.store_remove import UnknownPerson, checked_person, finish_removal

        try:
            checked_person(self.store, self.subject)
        except UnknownPerson as unknown:
            if not self.if_present:
                raise
            with claimed(self.store):
                finish_removal(self.store)
            print(f"{unknown} Nothing had to be removed.")
            return 0
        with claimed(self.store):
            return self._remove()

    def _remove(self) -> int:
        from headfield.cli.report import summary
        from headfield.errors import ConfigError
        from headfield.io.store_remove import remove_person, traces_of

        if not self.yes:
            traces = traces_of(self.store, self.subject)
            print(f"{self.store}: {len(traces)} traces of {self.subject!r}, {_size(sum(t.bytes for t in traces))}:")
            for trace in traces:
                print(f"  {trace.path}")
            if not sys.stdin.isatty():
                raise ConfigError("nobody is there to confirm: pass --yes to delete these for good.")
            if input("Delete them for good? [y/N] ").strip().casefold() not in ("y", "yes"):
                print("Nothing was deleted.")
                return 0
        gone = remove_person(self.store, self.subject)
        rows = {trace.path: f"{trace.what} ({_size(trace.bytes)})" for trace in gone}
        summary(
            f"{self.subject} was removed from {self.store}",
            rows,
            (
                "Scans outside of the store were not touched: delete them too, or curation reads them again.",
                "Models trained on this store before keep what they learned: train them anew where that matters.",
            ),
        )
        return 0


@dataclass(frozen=True)
class CheckCommand:
    """Read every file of a store and compare it with the hash that was taken when it was written."""

    store: tyro.conf.Positional[Path] = Path("store")
    """The store's folder."""

    def run(self) -> int:
        """Check and tell; 1 when something is wrong."""
        from headfield.cli.report import summary, working
        from headfield.io.store import Store
        from headfield.io.store_check import check_store

        store = Store(self.store, empty=True)
        with working("checking") as tell:
            found = check_store(store, lambda done, total: tell(f"checking {done:,} of {total:,}"))
        notes = [f"{item.identity}: {item.file} {item.problem}." for item in found.damaged]
        if found.without_hashes:
            count = len(found.without_hashes)
            notes.append(
                f"{count:,} identities ({', '.join(found.without_hashes[:3])}{', ...' * (count > 3)}) were written "
                "before hashes were kept: only the shapes of their arrays were checked."
            )
        if found.leftovers:
            notes.append(
                f"{len(found.leftovers)} folders are in no index line ({', '.join(found.leftovers[:3])}): an "
                "unfinished run, which goes on when it is started again."
            )
        rows = {
            "identities": f"{found.identities:,}",
            "files with the right hash": f"{found.files:,}",
            "identities without hashes": f"{len(found.without_hashes):,}",
            "damaged": f"{len(found.damaged):,}",
        }
        summary(f"store {self.store}: {'whole' if found.whole else 'DAMAGED'}", rows, tuple(notes))
        return 0 if found.whole else 1


@dataclass(frozen=True)
class StatsCommand:
    """Count who is in a store: families, splits, hair, age bands, sex, groups, consent."""

    store: tyro.conf.Positional[Path] = Path("store")
    """The store's folder."""

    def run(self) -> int:
        """Print the tables."""
        from headfield.cli.report import summary, table
        from headfield.io.store import Store
        from headfield.io.store_check import balance

        records = Store(self.store, empty=True).records
        heads = sum(record.expressions for record in records)
        summary(f"store {self.store}", {"identities": f"{len(records):,}", "heads with expressions": f"{heads:,}"})
        rows = []
        for name, counts in balance(records).items():
            for number, (label, count) in enumerate(counts.items()):
                rows.append(["" if number else name, label, f"{count:,}", f"{count / len(records):.0%}"])
        table(["", "", "people", "share"], rows)
        return 0


@dataclass(frozen=True)
class StoreCommand:
    """Look after a training store: check its files, count who is in it, remove a person."""

    do: tyro.conf.OmitArgPrefixes[
        Annotated[RemoveCommand, tyro.conf.subcommand("remove", prefix_name=False)]
        | Annotated[CheckCommand, tyro.conf.subcommand("check", prefix_name=False)]
        | Annotated[StatsCommand, tyro.conf.subcommand("stats", prefix_name=False)]
    ]
    """What to do."""

    def run(self) -> int:
        """Do it."""
        return self.do.run()


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count:,} bytes"
