"""Captures as unkind as the world's: every kind of the test *captures* in one table, resumable.

    python benchmarks/captures.py --split dev --limit 4 --out evaluation/captures          # a look while tuning
    python benchmarks/captures.py --split test --kinds mask closed real --out evaluation/captures

Each kind is `headfield evaluate --protocol captures-KIND` with its own folder under --out; `real` are the ten captures
of real people, two turns each. --again measures the fits that are there once more, without fitting (after a change of
what is measured). --wrap adds correspondence between real captures that share a topology: through a fit of each, and
through ICT-FaceKit's template wrapped round each. --sheet writes scans.png, a row of two scans of each kind. Pictures
of what was fitted, and the text around them, are made by benchmarks/captures_evidence.py.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from headfield.evaluate.kinds import KINDS, PREFIX, table_of_kinds
from headfield.evaluate.options import Options
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.protocols import PROTOCOLS
from headfield.evaluate.records import CaseResult, case_path, read_case, write_json
from headfield.evaluate.report import write_report
from headfield.evaluate.run import evaluate


def main() -> None:
    """Run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--limit", type=int, default=None, help="heads of each kind, families in turn")
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--out", type=Path, default=Path("evaluation/captures"))
    parser.add_argument("--again", action="store_true", help="measure the fits that are there once more")
    parser.add_argument("--wrap", action="store_true", help="correspondence between real captures as well")
    parser.add_argument("--sheet", action="store_true", help="a picture row of each kind, and nothing else")
    asked = parser.parse_args()
    options = Options(model=asked.model, split=asked.split, limit=asked.limit)
    if asked.sheet:
        sheet(asked.kinds, asked.split, asked.out / "scans.png")
        return
    results: dict[str, list[CaseResult]] = {}
    for kind in asked.kinds:
        folder, protocol = asked.out / kind, PROTOCOLS[PREFIX + kind]
        if asked.again:
            measure_again(protocol, folder, options)
        begin = time.perf_counter()

        def say(done: int, total: int, case: str, kind: str = kind, begin: float = begin) -> None:
            print(f"{kind}: {done}/{total} {case} {time.perf_counter() - begin:.0f} s", flush=True)

        results[kind] = evaluate(protocol, folder, options, say)
    print(table_of_kinds(results))
    if asked.wrap:
        from headfield.evaluate.correspondence import correspondence_table, real_correspondence

        print(correspondence_table(real_correspondence(asked.out / "correspondence", asked.model)))


def measure_again(protocol: Protocol, folder: Path, options: Options) -> None:
    """The numbers of the fits that lie in a run's folder, by today's measures."""
    from headfield.evaluate.captures import make_capture, measured
    from headfield.evaluate.outcome import fit_facts
    from headfield.evaluate.real import make_real, real_values
    from headfield.fit.result import Fit
    from headfield.models.release import load

    model = load(options.model)
    for case in protocol.cases(options.split, options.limit):
        path = case_path(folder, case)
        old = read_case(path)
        if old is None or old.error:
            continue
        found = Fit.load(path.with_suffix(".npz"), model)
        if protocol.kind == "real":
            values, more = real_values(make_real(*case), found, bool(fit_facts(found)["refused"])), {}
        else:
            made = make_capture(protocol.capture, options.split, *case, protocol.pose)
            values, more = measured(made, found, model, options)
        new = CaseResult(old.name, {name: {"ours": value} for name, value in values.items()}, old.facts | more)
        write_json(path, asdict(new))
    cases = protocol.cases(options.split, options.limit)
    done = [read_case(case_path(folder, case)) for case in cases]
    if all(done):
        write_report(protocol, options, cases, done, folder, 0.0)


def sheet(kinds: list[str], split: str, path: Path, count: int = 2, size: int = 300) -> None:
    """A row of scans of each kind, from the front and aside, in the sitter's own frame, without strays."""
    from headfield.evaluate.captures import make_capture
    from headfield.evaluate.real import make_real
    from headfield.surface.sheet import contact_sheet, write_png
    from headfield.surface.snapshot import render
    from headfield.types import Mesh

    images, labels = [], []
    for kind in kinds:
        for case in PROTOCOLS[PREFIX + kind].cases(split, count):
            if kind == "real":
                mesh, label = make_real(*case).mesh, case[0]
            else:
                protocol = PROTOCOLS[PREFIX + kind]
                made = make_capture(protocol.capture, split, *case, protocol.pose).capture
                mesh = Mesh(made.shown.surface.vertices, made.shown.surface.triangles)
                label = f"{kind}: {made.sitter.family}, {made.pose.name}"
            for view in ("front", "three_quarter"):
                images.append(render(mesh, view=view, size=size, occlusion_rays=4))
                labels.append(label)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(contact_sheet(images, 2 * count, labels), path, colours=128)


if __name__ == "__main__":
    main()
