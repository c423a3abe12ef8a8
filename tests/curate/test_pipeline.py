"""The pipeline with toy stages: what is done again and what is not, deaths, full disks, rejections, both engines."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("igl", reason="sampling needs the extra synth: pip install 'headfield[synth]'")
sys.path.insert(0, str(Path(__file__).parent))

from toy_stages import STAGES, write_scan

from headfield.curate.gather import gather
from headfield.curate.options import CurateOptions, QualityLimits
from headfield.curate.pipeline import curate
from headfield.errors import ConfigError, OutputError, StoreError
from headfield.io.store import Store
from headfield.types import ARKIT

STEPS = 2 * (2 * 4 + 2)
"""Of two people with two scans each: four stages of a scan, two of a person."""


@pytest.fixture
def place(tmp_path):
    """A folder of two people with a neutral and an open mouth each, options and a reader of the log of the stages."""

    class Place:
        scans, out, log = tmp_path / "scans", tmp_path / "store", tmp_path / "log"
        options = CurateOptions(model=str(tmp_path / "log"), points=200, samples=96)

        def run(self, **changes):
            options = replace(self.options, **changes.pop("options", {}))
            self.log.write_text("")
            return {o.id: o for o in curate(gather(self.scans).subjects, self.out, options, work=STAGES, **changes)}

        @property
        def done(self) -> list[str]:
            return self.log.read_text().splitlines()

        def store_bytes(self) -> dict[str, bytes]:
            files = [*self.out.glob("ict/*/*"), self.out / "index.jsonl", self.out / "store.json"]
            return {str(file.relative_to(self.out)): file.read_bytes() for file in files}

    for name, size in (("Zoë Müller 2", 1.0), ("bob", 2.0)):
        write_scan(tmp_path / "scans" / name / "neutral.npz", size)
        write_scan(tmp_path / "scans" / name / "jaw open.npz", size, jaw=0.8)
    return Place()


def test_store_is_what_training_reads(place):
    from headfield.train.batches import Batches, Drawing

    outcomes = place.run()
    assert {o.outcome for o in outcomes.values()} == {"done"}
    store = Store(place.out)
    assert [record.id for record in store.records] == ["Zoë Müller 2", "bob"]
    arrays = store.open(store.records[0])
    assert not arrays["expressions"][0].any()
    assert arrays["expressions"][1, ARKIT.index("jawOpen")] == pytest.approx(0.8)
    assert arrays["canonical_valid"].all()
    batches = Batches(store, store.records, Drawing(heads=2, points=64, samples=32, mirror=True, warp_points=64))
    posed = batches.draw(0, 1.0, 4)[-1]
    # the chin drops by up to 0.8 * 20 mm = 0.064 units, and the canonical points are where it was
    drop = (posed.neutral - posed.posed)[..., 1]
    assert 0.02 < float(drop.max()) < 0.08 and float(drop.min()) > -0.005


def test_second_run_does_nothing_and_a_change_redoes_what_follows(place):
    place.run()
    assert len(place.done) == STEPS
    before = place.store_bytes()
    outcomes = place.run()
    assert place.done == [] and sum(o.fresh for o in outcomes.values()) == 0 and place.store_bytes() == before

    place.run(options={"resolution": 128})  # only completion and what follows depend on it
    assert sorted({line.split()[0] for line in place.done}) == ["complete", "register"]
    write_scan(place.scans / "bob" / "neutral.npz", 2.5)
    place.run(options={"resolution": 128})
    assert "align neutral.npz" in place.done and "align jaw open.npz" not in place.done
    assert len(place.done) == 2 + 2 + 2 + 2, "of bob all after the alignment, of the other person nothing"
    assert len(Store(place.out).records) == 2


def test_a_scan_that_is_taken_away_leaves_nothing_behind(place):
    place.run()
    work = place.out / "curation"
    assert (work / "bob" / "jaw open" / "complete.npz").exists()
    (place.scans / "bob" / "jaw open.npz").unlink()
    outcomes = place.run()
    assert [scan.name for scan in outcomes["bob"].scans] == ["neutral.npz"]
    assert sorted(folder.name for folder in (work / "bob").iterdir() if folder.is_dir()) == ["neutral"]
    assert (work / "Zoë Müller 2" / "jaw open" / "complete.npz").exists()


def test_limits_judge_without_any_stage(place):
    write_scan(place.scans / "bob" / "poor smile.npz", 2.0, jaw=0.3)
    outcomes = place.run()
    poor = next(scan for scan in outcomes["bob"].scans if scan.name == "poor smile.npz")
    assert poor.outcome == "rejected" and "9.00 mm" in poor.reason and "limit 1.50" in poor.reason
    assert Store(place.out).records[1].expressions == 2
    outcomes = place.run(options={"limits": QualityLimits(max_error=10.0)})
    assert place.done == [] and all(scan.outcome == "done" for scan in outcomes["bob"].scans)
    assert Store(place.out).records[1].expressions == 3


def test_who_is_rejected_leaves_the_store(place):
    place.run()
    outcomes = place.run(options={"limits": QualityLimits(max_error=0.01)})
    assert {o.outcome for o in outcomes.values()} == {"rejected"}
    assert not list(place.out.glob("ict/*")) and (place.out / "index.jsonl").read_text() == ""


def test_rejections_failures_and_pictures(place):
    write_scan(place.scans / "nothing.npz")
    write_scan(place.scans / "odd.npz")
    outcomes = place.run()
    assert outcomes["nothing"].outcome == "rejected" and outcomes["nothing"].reason == "no head in it"
    assert (place.out / "curation" / "nothing" / "nothing" / "landmarks.jpg").stat().st_size > 100
    assert outcomes["odd"].outcome == "failed" and "an odd scan" in outcomes["odd"].scans[0].reason
    place.run()
    assert place.done == ["landmarks odd.npz"], "what failed is tried again, what was rejected is not"


def test_without_a_neutral_scan(place):
    (place.scans / "bob" / "neutral.npz").unlink()
    outcomes = place.run()
    assert outcomes["bob"].outcome == "done" and "No neutral scan" in outcomes["bob"].notes[0]
    bob = Store(place.out).records[1]
    assert bob.expressions == 2, "a neutral head without the expression, and the scan"
    rows = Store(place.out).open(bob)["points"].astype(int)
    assert rows[1, :, 1].min() < rows[0, :, 1].min() - 500, "the chin of the neutral head is up"
    outcomes = place.run(options={"no_neutral": "reject"})
    assert outcomes["bob"].outcome == "rejected" and len(Store(place.out).records) == 1


def test_unnamed_scan_counts_as_neutral_when_its_fit_is(place):
    write_scan(place.scans / "scan_01.npz", jaw=0.05)
    write_scan(place.scans / "scan_02.npz", jaw=0.5)
    place.run()
    rows = {record.id: record.expressions for record in Store(place.out).records}
    assert rows["scan_01"] == 1 and rows["scan_02"] == 2


def test_killed_workers_cost_their_own_stage_only(place):
    write_scan(place.scans / "eve" / "victim neutral.npz")
    write_scan(place.scans / "mal" / "deadly neutral.npz")
    outcomes = place.run(workers=2)
    assert outcomes["mal"].outcome == "failed" and "died 2 times" in outcomes["mal"].reason
    assert all(o.outcome == "done" for o in outcomes.values() if o.id != "mal"), outcomes
    died = [line for line in place.done if "victim" in line or "deadly" in line]
    twice = {line for line in died if died.count(line) > 1}
    assert twice == {"complete victim neutral.npz", "complete deadly neutral.npz"}
    assert len(place.done) - len(died) == STEPS, "nobody else's work was done twice"
    # the same store as without workers, whatever order they finished in
    several = place.store_bytes()
    shutil.rmtree(place.out)
    shutil.rmtree(place.scans / "mal")
    place.run()
    assert place.store_bytes() == several


@pytest.mark.parametrize("where", ["record", "arrays"])
def test_full_disk_stops_cleanly_and_resumes(place, monkeypatch, where):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_room(*_, **__):
        raise full

    place.run(options={"points": 200})
    whole = place.store_bytes()
    shutil.rmtree(place.out)
    with monkeypatch.context() as broken:
        if where == "arrays":
            broken.setattr(np, "save", no_room)
        else:
            broken.setattr(np, "savez", no_room)
        with pytest.raises(OutputError, match="disk is full.*run the same command again"):
            place.run()
    assert not [file for file in place.out.rglob("*") if file.name.startswith(".")], "nothing half-written"
    place.run()
    assert place.store_bytes() == whole


def test_store_of_other_sizes_and_unknown_engine_are_refused(place):
    place.run()
    with pytest.raises(StoreError, match="points"):
        place.run(options={"points": 300})
    with pytest.raises(ConfigError, match="local or ray"):
        place.run(engine="slurm")


def test_interrupt_stops_workers_and_a_rerun_goes_on(place, tmp_path):
    write_scan(place.scans / "eve" / "slow neutral.npz")
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from toy_stages import STAGES\n"
        "from headfield.curate.gather import gather\n"
        "from headfield.curate.options import CurateOptions\n"
        "from headfield.curate.pipeline import curate\n"
        "if __name__ == '__main__':\n"
        f"    options = CurateOptions(model={str(place.log)!r}, points=200, samples=96)\n"
        f"    curate(gather({str(place.scans)!r}).subjects, {str(place.out)!r}, options, workers=1, work=STAGES)\n"
    )
    # when these tests run in a shell's background they ignore Ctrl-C, and what they start would inherit that
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    run = subprocess.Popen(
        [sys.executable, str(script)], start_new_session=True, stderr=subprocess.PIPE, preexec_fn=heed
    )
    for _ in range(300):
        if place.log.exists() and "complete slow neutral.npz" in place.done:
            break
        time.sleep(0.1)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to parent and workers
    run.wait(timeout=20)
    assert run.returncode != 0
    deadline = time.monotonic() + 10
    alive = [int(pid) for pid in children.stdout.split()]
    while alive and time.monotonic() < deadline:
        alive = [pid for pid in alive if Path(f"/proc/{pid}").exists()]
        time.sleep(0.05)
    assert not alive, "workers outlived their parent"
    assert not [file for file in place.out.rglob("*") if file.name.startswith(".")]
    outcomes = place.run()
    assert all(o.outcome == "done" for o in outcomes.values())
    assert "align slow neutral.npz" not in place.done and "complete slow neutral.npz" in place.done


@pytest.mark.parametrize("nodes", [1, pytest.param(2, marks=pytest.mark.extended)])
def test_a_ray_cluster_makes_the_same_store(place, monkeypatch, nodes):
    ray = pytest.importorskip("ray", reason="pip install 'headfield[cluster]'")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    place.run()
    one = place.store_bytes()
    shutil.rmtree(place.out)
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        assert sum(node["Alive"] for node in ray.nodes()) == nodes
        place.run(engine="ray")
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert place.store_bytes() == one


def test_what_is_finished_outlives_a_failure(place):
    """An error that the next run may not meet takes nobody out of the store."""
    place.run()
    before = place.store_bytes()
    victim = place.scans / "bob" / "jaw open.npz"
    subjects = gather(place.scans).subjects
    bob = next(subject for subject in subjects if subject.id == "bob")
    gone = victim.with_name("x.npz")
    scans = tuple(replace(scan, path=gone) if scan.path == victim else scan for scan in bob.scans)
    lost = replace(bob, scans=scans)
    outcome = curate([lost], place.out, place.options, work=STAGES)[0]
    assert outcome.outcome == "failed" and "x.npz: cannot be read" in outcome.reason
    assert place.store_bytes() == before


def test_record_folders_do_not_depend_on_how_the_path_was_typed(place, monkeypatch):
    for part in ("a", "b"):
        write_scan(place.scans / "cleo" / part / "scan.npz", 1.0)
    place.run()
    monkeypatch.chdir(place.scans.parent)
    again = curate(gather("scans").subjects, place.out, place.options, work=STAGES)
    assert sum(outcome.fresh for outcome in again) == 0


def test_other_weights_of_the_same_name_are_another_model(place, monkeypatch):
    place.run()
    monkeypatch.setattr("headfield.curate.pipeline.inputs_of", lambda options: ["other weights"])
    monkeypatch.setattr("headfield.curate.pipeline.stages", lambda: STAGES)
    outcomes = curate(gather(place.scans).subjects, place.out, place.options)
    done = {line.split()[0] for line in place.done[STEPS:]}
    assert all(outcome.fresh for outcome in outcomes) and "landmarks" not in done and "align" in done


def test_inputs_are_the_files_that_a_store_is_made_from(tmp_path):
    from headfield.curate.content import inputs_of

    one = inputs_of(CurateOptions())
    file = tmp_path / "flame.pkl"
    file.write_bytes(b"a")
    flame = CurateOptions(family="flame", family_file=file)
    two = inputs_of(flame)
    assert two[: len(one)] == one and len(two) == len(one) + 1
    (tmp_path / "landmark_embedding.npz").write_bytes(b"b")
    assert len(inputs_of(flame)) == len(two) + 1
