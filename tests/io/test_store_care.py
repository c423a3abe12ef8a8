"""Looking after a store: hashes find every change, removal leaves no trace and can be interrupted anywhere."""

from __future__ import annotations

import html
import json
import os
import shutil

import numpy as np
import pytest

from headfield.errors import StoreError
from headfield.frames import BOX
from headfield.io import store_remove
from headfield.io.quantise import quantise, quantise_normals
from headfield.io.store import HASHES, Record, Store
from headfield.io.store_check import age_band, balance, check_store
from headfield.io.store_remove import JOURNAL, known_people, remove_person, traces_of, unfinished_removal
from headfield.io.store_writer import StoreWriter

PEOPLE = ("Zoë van Dijk", "Zoë", "7", "17", "O'Hara & Co-b")


def _arrays():
    rng = np.random.default_rng(0)
    normals = np.eye(3)[rng.integers(0, 3, (1, 32))]
    return {
        "anchors": np.zeros((39, 3), np.float32),
        "expressions": np.zeros((1, 52), np.float32),
        "points": quantise(rng.uniform(BOX[0], BOX[1], (1, 32, 3)), BOX),
        "normals": quantise_normals(normals),
        "canonical": quantise(rng.uniform(BOX[0], BOX[1], (1, 32, 3)), BOX),
        "canonical_valid": np.ones((1, 32), bool),
        "samples": quantise(rng.uniform(BOX[0], BOX[1], (1, 16, 3)), BOX),
        "sdf": np.zeros((1, 16), np.float16),
    }


@pytest.fixture
def place(tmp_path):
    """A curated store of five people with names that are parts of each other, records, pictures, logs, reports."""
    path = tmp_path / "my store"
    writer = StoreWriter(path, {}, points=32, samples=16, families=["curated"])
    for number, name in enumerate(PEOPLE):
        describe = {"age": str(20 + 10 * number), "sex": "f" if number % 2 else "male", "consent": "yes"}
        writer.add(Record(name, "curated", "train", describe=describe, folder=f"curated/{name}"), _arrays())
        for scan in ("7_neutral", "17"):  # one's scan may be named as another person
            folder = path / "curation" / name / scan
            folder.mkdir(parents=True)
            (folder / "align.json").write_text(json.dumps({"subject": name}))
        (path / "pictures").mkdir(exist_ok=True)
        (path / "pictures" / f"{name}.jpg").write_bytes(b"x" * 100)
        (path / "pictures" / f"{name}_neutral.jpg").write_bytes(b"x")
        with open(path / "curate.log", "a", encoding="utf-8") as log:
            log.write(f"did {name}: 3 scans\n")
    (path / "curation" / "rejected one").mkdir()
    listed = [{"id": name, "note": "…"} for name in PEOPLE]
    (path / "report.json").write_text(json.dumps({"people": listed, "by": {name: 1 for name in PEOPLE}}))
    (path / "report.html").write_text("<p>" + "</p><p>".join(map(html.escape, PEOPLE)), encoding="utf-8")
    skipped = [{"what": f"{name}/back.jpg", "reason": "is a picture"} for name in PEOPLE]
    (path / "curation" / "run.json").write_text(json.dumps({"skipped": skipped}, indent=1))
    (path / "mirror.jsonl").write_text("".join(json.dumps({"who": name}) + "\n" for name in PEOPLE))
    return path


def _tree(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("subject", PEOPLE)
def test_removal_leaves_no_trace_and_touches_nobody_else(place, subject):
    before = _tree(place)
    named = [trace.path for trace in traces_of(place, subject)]
    assert _tree(place) == before  # looking changes nothing
    gone = remove_person(place, subject)
    assert [trace.path for trace in gone] == named and all(trace.bytes > 0 for trace in gone)
    assert {"index.jsonl", f"curated/{subject}", f"curation/{subject}", "curate.log", "mirror.jsonl"} <= set(named)
    after = _tree(place)
    others = [name for name in PEOPLE if name != subject]
    assert [record.id for record in Store(place).records] == sorted(others)
    for name in others:
        assert f"did {name}: 3 scans\n".encode() in after["curate.log"]
        records = f"curation/{name}"
        for file in (f"curated/{name}/sdf.npy", f"{records}/7_neutral/align.json", f"{records}/17/align.json"):
            assert after[file] == before[file]
        assert {f"pictures/{name}.jpg", f"pictures/{name}_neutral.jpg"} <= set(after)
    left = json.loads(after["curation/run.json"])["skipped"]
    assert [entry["what"] for entry in left if "what" in entry] == [f"{name}/back.jpg" for name in others]
    report = json.loads(after["report.json"])
    assert [entry["id"] for entry in report["people"]] == others and list(report["by"]) == others
    assert "report.html" not in after and JOURNAL not in after
    assert f"did {subject}: 3 scans".encode() not in after["curate.log"]
    assert traces_of(place, subject) == []
    assert check_store(Store(place)).whole


def test_one_whose_scans_were_all_rejected_can_be_removed(place):
    assert "rejected one" in known_people(place)
    assert [trace.path for trace in remove_person(place, "rejected one")] == ["curation/rejected one"]


def test_the_last_person_can_be_removed(tmp_path):
    StoreWriter(tmp_path, {}, points=32, samples=16).add(Record("a", "t", "train", folder="t/a"), _arrays())
    remove_person(tmp_path, "a")
    assert (tmp_path / "index.jsonl").read_bytes() == b"" and not (tmp_path / "t" / "a").exists()
    StoreWriter(tmp_path, {}, points=32, samples=16).add(Record("a", "t", "train", folder="t/a"), _arrays())


def test_an_interrupted_removal_goes_on(place, monkeypatch):
    """Stopped after every single deletion in turn, by an error that nobody caught."""
    for stop in range(1, 30):
        work = place.parent / f"copy{stop}"
        shutil.copytree(place, work)
        calls = 0

        def dying(act):
            def wrapped(*words, **options):
                nonlocal calls
                calls += 1
                if calls == stop:  # noqa: B023
                    raise KeyboardInterrupt
                return act(*words, **options)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(store_remove.os, "replace", dying(os.replace))
            patch.setattr(store_remove.shutil, "rmtree", dying(shutil.rmtree))
            patch.setattr(store_remove, "write_bytes", dying(store_remove.write_bytes))
            try:
                remove_person(work, "Zoë")
            except KeyboardInterrupt:
                pass
        finished = calls < stop
        noted = not finished and stop > 2  # the first two are the journal's own writing and renaming
        if noted:
            assert unfinished_removal(work) == "Zoë"
            assert not check_store(Store(work)).whole
        if not finished:  # whoever is removed next, the first removal is finished too
            remove_person(work, "17" if noted else "Zoë")
        assert traces_of(work, "Zoë") == [] and not list(work.rglob(".*.gone")) and unfinished_removal(work) is None
        assert check_store(Store(work)).whole
        shutil.rmtree(work)
        if finished:
            break
    assert finished and stop > 6


def test_unknown_people_are_refused_with_the_nearest_names(place):
    before = _tree(place)
    with pytest.raises(StoreError, match="Did you mean .O'Hara"):
        remove_person(place, "O'hara & Co B")
    with pytest.raises(StoreError, match="6 people"):
        remove_person(place, "xxxxxxxxxxxxx")
    with pytest.raises(StoreError, match="store.json"):
        remove_person(place.parent, "7")
    assert _tree(place) == before


# ---- check -----------------------------------------------------------------------------------------------------------


def test_a_whole_store_is_whole(place):
    found = check_store(Store(place))
    assert found.whole and found.identities == 5 and found.files == 5 * 8 and not found.without_hashes


def test_every_changed_byte_is_found(place):
    folder = place / "curated" / "7"
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found = check_store(Store(place))
        assert [item.identity for item in found.damaged][:1] == ["7"] and file.name in found.damaged[0].file
        file.write_bytes(content)
    (folder / "points.npy").unlink()
    found = check_store(Store(place))
    assert any("points.npy" in item.file and "cannot be read" in item.problem for item in found.damaged)


def test_old_folders_strangers_and_leftovers_are_told_apart(place):
    (place / "curated" / "7" / HASHES).unlink()
    (place / "curated" / "17" / "selfie.png").write_bytes(b"x")
    shutil.copytree(place / "curated" / "7", place / "curated" / "ghost")
    shutil.rmtree(place / "curated" / "Zoë")
    found = check_store(Store(place))
    assert found.without_hashes == ("7",) and found.leftovers == ("curated/ghost",)
    assert {(item.identity, item.problem) for item in found.damaged} == {
        ("17", "was not written by headfield"),
        ("Zoë", "is missing"),
    }


# ---- stats -----------------------------------------------------------------------------------------------------------


def test_balance(place):
    tables = balance(Store(place).records)
    assert tables["age"] == {"20-29": 1, "30-39": 1, "40-49": 1, "50-59": 1, "60-69": 1}
    assert tables["sex"] == {"male": 3, "female": 2} and tables["consent"] == {"yes": 5}
    assert tables["family"] == {"curated": 5} and "group" not in tables


@pytest.mark.parametrize(
    ("describe", "band"),
    [
        ({"age": "3"}, "3-12"),
        ({"age": "2.9"}, "0-2"),
        ({"age_years": 90.0, "age": "old"}, "70+"),
        ({"age": "adult"}, "unknown"),
        ({"age": "-4"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_age_bands(describe, band):
    assert age_band(Record("x", "t", "train", describe=describe)) == band


def test_removal_takes_what_killed_writers_left_and_follows_links(place, tmp_path):
    elsewhere = tmp_path / "big disk"
    shutil.move(place / "curated", elsewhere)
    (place / "curated").symlink_to(elsewhere)
    half = elsewhere / ".Zoë.4711.tmp"
    half.mkdir()
    (half / "points.npy").write_bytes(b"x" * 50)
    (place / ".report.html.12.part").write_bytes(b"<p>Zo\xc3\xab")
    with open(place / "index.jsonl", "ab") as index:
        index.write(b'{"id": "Zo')
    remove_person(place, "Zoë")
    assert not (elsewhere / "Zoë").exists() and (elsewhere / "Zoë van Dijk").exists()
    assert not half.exists() and not (place / ".report.html.12.part").exists()
    assert (place / "index.jsonl").read_bytes().endswith(b"}\n")


def test_a_person_called_as_a_family_takes_nobody_along(place):
    writer = StoreWriter(place, {}, points=32, samples=16, families=["curated"])
    writer.add(Record("curated", "curated", "train", folder="curated/curated"), _arrays())
    remove_person(place, "curated")
    assert [record.id for record in Store(place).records] == sorted(PEOPLE)
    assert json.loads((place / "store.json").read_text())["families"] == ["curated"]
    assert check_store(Store(place)).whole


def test_a_written_page_of_the_report_is_recognised(place):
    """As curation writes it: with entities for quotes and ampersands."""
    from headfield.curate.outcomes import SubjectOutcome, write_outcome
    from headfield.curate.report import REPORT, write_report

    subject = "O'Hara & Co-b"
    write_outcome(place, SubjectOutcome(subject, "done", "", (), ()))
    write_report(place, ())
    assert (place / REPORT).exists()
    remove_person(place, subject)
    assert not (place / REPORT).exists()
