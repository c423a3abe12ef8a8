"""Running a protocol: cases in a process pool, each kept as soon as it is done, so that a stopped run goes on."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, fields
from pathlib import Path

from headfield.errors import ConfigError, DataError, HeadfieldError, MissingExtra, WeightsError, present
from headfield.evaluate.options import Options, Settings
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.protocols import protocol_named
from headfield.evaluate.records import CaseResult, case_name, case_path, read_case, write_json
from headfield.workers import in_workers

SETTINGS = tuple(field.name for field in fields(Settings))
"""What a run's numbers depend on."""

Progress = Callable[[int, int, str], None]
"""Called with (done, total, the case just done)."""


def evaluate(
    protocol: str | Protocol, out: str | Path, options: Options | None = None, progress: Progress | None = None
) -> list[CaseResult]:
    """Run a protocol and write its table, numbers and pictures.

    Args:
        protocol: Name, see `PROTOCOLS`.
        out: Folder; ``results.json``, ``table.md``, ``worst.png``, ``typical.png`` and ``cases/``. Cases found there
            are kept: run again to resume.
        options: See Options.
        progress: Called after each case.
    Returns:
        The cases in the protocol's order.
    Raises:
        ConfigError: Unknown protocol or split, or `out` holds another run.
        DataError, MissingExtra, WeightsError: What every case needs is missing.
    """
    from headfield.evaluate.report import write_report

    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    options = Options() if options is None else options
    out = Path(out)
    cases = protocol.cases(options.split, options.limit)
    begin = time.perf_counter()
    _claim(out, protocol, options)
    found = {case: read_case(case_path(out, case)) for case in cases}
    jobs = [(protocol.name, case, options, str(case_path(out, case))) for case in cases if found[case] is None]
    done = len(cases) - len(jobs)
    with closing(in_workers(_work, jobs, options.workers)) as measured:
        for number, result in measured:
            found[jobs[number][1]] = result
            done += 1
            if progress is not None:
                progress(done, len(cases), result.name)
    results = [present(found[case], "a case's result") for case in cases]
    write_report(protocol, options, cases, results, out, time.perf_counter() - begin)
    return results


def kept(protocol: Protocol, out: Path) -> tuple[Options, list[tuple[str, int]], list[CaseResult]]:
    """How a run was made, its cases that are done, and their numbers; of a run that was never begun there are none."""
    path = out / "settings.json"
    if not path.exists():
        return Options(), [], []
    held = json.loads(path.read_text())
    options = Options(**{name: held[name] for name in SETTINGS if name in held})
    done = {case: read_case(case_path(out, case)) for case in protocol.cases(options.split)}
    found = {case: result for case, result in done.items() if result is not None}
    return options, list(found), list(found.values())


def _work(name: str, case: tuple[str, int], options: Options, place: str) -> CaseResult:
    from headfield.evaluate.cases import run_case
    from headfield.nn.machine import return_freed_memory

    begin = time.perf_counter()
    try:
        outcome = run_case(protocol_named(name), *case, options)
    except (ConfigError, DataError, MissingExtra, WeightsError):
        raise  # nothing of the scan: the whole run is impossible
    except HeadfieldError as error:
        result = CaseResult(case_name(case), error=str(error))
    except Exception as error:  # a case that breaks must not lose the others, and must be seen
        traceback.print_exc()
        result = CaseResult(case_name(case), error=f"{type(error).__name__}: {error}")
    else:
        if outcome.fit is not None:
            outcome.fit.save(Path(place).with_suffix(".npz"))
        facts = outcome.facts | {"case_seconds": time.perf_counter() - begin}
        result = CaseResult(case_name(case), outcome.values, facts)
        del outcome
    write_json(Path(place), asdict(result))
    return_freed_memory()
    return result


def _claim(out: Path, protocol: Protocol, options: Options) -> None:
    """A run's folder belongs to its protocol, split and model."""
    from headfield.evaluate.report import fingerprint

    mine = {"protocol": protocol.name, "weights": fingerprint(options.model)}
    mine |= {name: getattr(options, name) for name in SETTINGS}
    path = out / "settings.json"
    if path.exists():
        older = {"truth": "v1", "baselines": True, "training_store": ""}  # what runs of before do not say
        theirs = older | json.loads(path.read_text())
        different = sorted(key for key in mine if theirs.get(key) != mine[key])
        if different:
            raise ConfigError(
                f"{out} holds a run with other settings ({', '.join(different)}): choose another --out or delete it."
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty and holds no run of evaluate: choose another --out.")
    (out / "cases").mkdir(parents=True, exist_ok=True)
    write_json(path, mine)
