"""What verbs print: progress on standard error, results on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def working(message: str) -> Iterator:
    """A spinner with a message while the block runs, only on a terminal; yields a function that changes the text."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status(message) as status:
        yield status.update


def summary(title: str, rows: dict[str, str], notes: tuple[str, ...] = ()) -> None:
    """Print a titled two-column summary, then notes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not sys.stdout.isatty():  # files and pipes get plain lines
        width = max(map(len, rows), default=0)
        lines = [title, *(f"  {name:<{width}}  {value}" for name, value in rows.items())]
        print("\n".join([*lines, *(f"  note: {note}" for note in notes)]))
        return
    console = Console(highlight=False)
    console.print(Text(title, style="bold"))
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(Text(f"  {name}", style="dim"), Text(value, overflow="fold"))
    console.print(table)
    for note in notes:
        console.print(Text(f"  note: {note}", style="yellow"))


def table(headers: list[str], rows: list[list[str]]) -> None:
    """Print a table with one header line."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*row)
    Console(highlight=False).print(grid)


def duration(seconds: float) -> str:
    """Seconds with sensible digits."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
