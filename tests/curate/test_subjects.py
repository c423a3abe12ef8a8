"""Folders, scan lists and tables of people: what is found, what is passed over and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from headfield.curate.adapters.folder import expression_of
from headfield.curate.gather import gather
from headfield.curate.table import path_inside, read_metadata
from headfield.errors import DataError


def _mesh(path, scale=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.icosphere(3, scale).export(path)
    return path


def _ids(found):
    return [subject.id for subject in found.subjects]


def test_one_sub_folder_a_person(tmp_path):
    for name in ("neutral.ply", "smile.ply", "take2/jaw_left.obj"):
        _mesh(tmp_path / "Zoë van Dijk" / name)
    _mesh(tmp_path / "李 明" / "scan_01.ply")
    (tmp_path / "Zoë van Dijk" / "neutral.landmarks.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "old.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "李 明" / "void.ply").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden.ply").write_bytes(b"x")
    found = gather(tmp_path)
    assert _ids(found) == ["Zoë van Dijk", "李 明"]
    first = found.subjects[0].scans
    assert [scan.expression for scan in first] == ["neutral", "smile", "jaw_left"]
    assert first[0].landmarks.name == "neutral.landmarks.json" and first[1].landmarks is None
    assert found.subjects[1].scans[0].expression is None
    why = {item.what: item.reason for item in found.skipped}
    assert set(why) == {"notes.txt", "old.zip", "empty", str((tmp_path / "李 明/void.ply").relative_to(tmp_path))}
    assert "unpack" in why["old.zip"] and "0 bytes" in why["李 明/void.ply"]


def test_one_person_per_file(tmp_path):
    for name in ("anna.ply", "ben 2.obj", "c.stl"):
        _mesh(tmp_path / name)
    found = gather(tmp_path)
    assert _ids(found) == ["anna", "ben 2", "c"]
    assert all(len(subject.scans) == 1 for subject in found.subjects)
    assert len(found.subjects[0].scans[0].read().points) == 642


@pytest.mark.parametrize("second", ["anna.obj", "Anna.ply", "anna/neutral.ply"])
def test_two_people_with_one_id_are_refused(tmp_path, second):
    _mesh(tmp_path / "anna.ply")
    _mesh(tmp_path / second)
    with pytest.raises(DataError, match="Two people have one id"):
        gather(tmp_path)


def test_composed_and_decomposed_names_are_one_person(tmp_path):
    _mesh(tmp_path / "Zo\u00eb.ply")
    _mesh(tmp_path / "Zoe\u0308.ply")
    with pytest.raises(DataError, match="Two people have one id"):
        gather(tmp_path)


def test_a_folder_without_scans_says_what_lies_there(tmp_path):
    (tmp_path / "report.docx").write_text("x")
    with pytest.raises(DataError, match="report.docx is no scan"):
        gather(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        gather(tmp_path / "missing")
    (tmp_path / "scans.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="unpack it first"):
        gather(tmp_path / "scans.zip")


# ---- tables ----------------------------------------------------------------------------------------------------------


ROWS = "id,Age,sex,group,consent,eye colour\nZoë,31,female,north,yes,green\nben,,male,,no,\nghost,50,,,,\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_and_separators(tmp_path, encoding, separator):
    file = tmp_path / "people.csv"
    file.write_bytes(ROWS.replace(",", separator).replace("\n", "\r\n").encode(encoding))
    table = read_metadata(file)
    assert table["Zoë"] == {"age": "31", "sex": "female", "group": "north", "consent": "yes", "eye colour": "green"}
    assert table["ben"] == {"sex": "male", "consent": "no"}


def test_metadata_is_joined_and_consent_respected(tmp_path):
    for name in ("zoe\u0308.ply", "ben.ply", "unlisted.ply"):
        _mesh(tmp_path / name)
    (tmp_path / "subjects.csv").write_text(ROWS, encoding="utf-8")
    found = gather(tmp_path)
    assert _ids(found) == ["unlisted", "zoë"]
    assert found.subjects[1].metadata["age"] == "31" and found.subjects[0].metadata == {}
    why = {item.what: item.reason for item in found.skipped}
    assert set(why) == {"ben", "ghost"} and "no consent" in why["ben"] and "has no scans" in why["ghost"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the table is empty"),
        (b"name,age\nx,1\n", "no column 'id' or 'subject'"),
        (b"id,age\nx,1\ny,2\nx,3\n", "lines 2 and 4"),
        (b"id,age\nx,1\nX,3\n", "lines 2 and 3"),
        (b"id,age\nx,1,2\n", "line 2: 3 cells"),
        (b"id,age,age\nx,1,2\n", "'age' twice"),
        ("id,name\n1,x\n2,Zo\u00eb\n".encode("latin-1"), "line 3: byte 0xeb is not UTF-8"),
        (b"\xff\xfei\x00d\x00\n\x00\x00\xd8", "is not UTF-16"),
        (b"id,a\nx,\x001\n" + b"y" * 60, "zero byte"),
        (b"id,a\n../x,1\n", "must be able to name a folder"),
        (b"id,a\n,1\n", "must be able to name a folder"),
        (b'id,a\nx,"1\n', "not CSV"),
    ],
)
def test_bad_tables_are_refused_with_the_line(tmp_path, content, message):
    file = tmp_path / "people.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        read_metadata(file)


def test_scan_list(tmp_path):
    _mesh(tmp_path / "data" / "a b.ply")
    _mesh(tmp_path / "data" / "a2.ply")
    _mesh(tmp_path / "data" / "c.ply")
    file = tmp_path / "list.csv"
    file.write_text(
        "subject,scan,expression,units,up,age,consent\n"
        "A,data/a b.ply,smile,mm,+z,30,yes\nA,data/a2.ply,neutral,,,30,yes\n"
        "B,data/none.ply,,,,20,yes\nC,data/c.ply,,,,20,withdrawn\n"
    )
    found = gather(file)
    assert _ids(found) == ["A"]
    neutral, smile = found.subjects[0].scans
    assert (neutral.expression, smile.expression, smile.units, smile.up) == ("neutral", "smile", "mm", "z")
    assert found.subjects[0].metadata == {"age": "30", "consent": "yes"}
    assert {item.what for item in found.skipped} == {"data/none.ply", "B", "C"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A,../secret.ply,,", "leaves the folder"),
        ("A,data/../../secret.ply,,", "leaves the folder"),
        ("A,/etc/passwd,,", "leaves the folder"),
        ("A,C:\\x.ply,,", "leaves the folder"),
        ("A,..\\x.ply,,", "leaves the folder"),
        ("A,data/a.ply,ell,", "unknown unit"),
        ("A,data/a.ply,,31\nA,data/b.ply,,30", "another age"),
        ("A,data/a.ply,,31\nB,data/a.ply,,30", "was named in line 2"),
    ],
)
def test_scan_lists_that_lie_are_refused(tmp_path, row, message):
    file = tmp_path / "list.csv"
    file.write_text(f"id,scan,units,age\n{row}\n")
    _mesh(tmp_path / "data" / "a.ply")
    with pytest.raises(DataError, match=message):
        gather(file)


@pytest.mark.parametrize(
    "lines",
    [
        ["id,scan", "LONG,a.ply"],
        ["id,scan", "A,LONG"],
        ["id,scan", "A,/LONG"],
        ["id,scan,units", "A,a.ply,LONG"],
        ["id,scan,up", "A,a.ply,LONG"],
        ["id,scan,landmarks", "A,a.ply,LONG"],
        ["id,scan,consent", "A,a.ply,LONG"],
        ["id,scan,split", "A,a.ply,LONG"],
        ["id,scan,LONG", "A,a.ply,1", "A,b.ply,2"],
        ["id,scan,LONG,LONG", "A,a.ply,1,2"],
        ["scan,LONG", "a.ply,1"],
    ],
    ids=lambda lines: lines[0] + "-" + lines[1][:8].replace("/", "~"),
)
def test_a_message_quotes_a_few_words_of_a_cell(tmp_path, lines):
    file = tmp_path / "list.csv"
    file.write_text("\n".join(lines).replace("LONG", "9" * 5000) + "\n")
    for name in ("a.ply", "b.ply"):
        _mesh(tmp_path / name)
    with pytest.raises(DataError) as said:
        gather(file)
    assert len(str(said.value)) < 400 + 3 * len(str(tmp_path)) and "\n" not in str(said.value)


def test_a_table_of_people_is_no_scan_list(tmp_path):
    (tmp_path / "people.csv").write_text("id,age\nA,3\n")
    with pytest.raises(DataError, match="--csv"):
        gather(tmp_path / "people.csv")


def test_paths_inside_stay_inside(tmp_path):
    assert path_inside(tmp_path, "a/ü b.ply", "x") == tmp_path / "a" / "ü b.ply"


def test_expression_names():
    assert expression_of("1_neutral") == "neutral"
    assert expression_of("Anna neutral 02", "Anna") == "neutral"
    assert expression_of("1_non-neutral") == "non_neutral"
    assert expression_of("014_jaw_left", "014") == "jaw_left"
    assert expression_of("scan_0003") is None
    assert expression_of("anna", "anna") is None


def test_scale_reaches_the_points(tmp_path):
    from headfield.curate.subjects import RawScan

    file = _mesh(tmp_path / "x.ply")
    scan = RawScan(file, units="m", scale=0.25, registration=file)
    assert np.isclose(np.linalg.norm(scan.read().points, axis=1).mean(), 0.25)
    assert np.isclose(np.linalg.norm(scan.read_registration().vertices, axis=1).mean(), 0.25)


def people_with(tmp_path, table: str):
    for name in ("ann.ply", "ben.ply", "017.ply"):
        _mesh(tmp_path / name)
    (tmp_path / "subjects.csv").write_text(table)
    return gather(tmp_path)


def test_consent_is_never_guessed(tmp_path):
    found = people_with(tmp_path, "id,consent\nann,Yes\nben,\n017,withdrawn\n")
    assert _ids(found) == ["ann"] and set(found.refused) == {"ben", "017"}
    for word in ("not given", "pending", "No consent", "withdrawn 2024-05-01"):
        with pytest.raises(DataError, match="consent of 'ben'.*expected one of"):
            people_with(tmp_path, f"id,consent\nben,{word}\n")
    with pytest.raises(DataError, match="'17' does not consent.*'017'"):  # what a spreadsheet makes of an id
        people_with(tmp_path, "id,consent\n17,no\n")
    assert people_with(tmp_path, "id,consent\nann,yes\ngone,no\n").refused == ("gone",)


def test_splits_are_known_words(tmp_path):
    assert people_with(tmp_path, "id,split\nann, Test \n").subjects[1].metadata["split"] == "test"
    with pytest.raises(DataError, match="split of 'ann' is 'val'"):
        people_with(tmp_path, "id,split\nann,val\n")


def test_a_store_among_the_scans_is_nobody(tmp_path):
    _mesh(tmp_path / "ann.ply")
    for place in (tmp_path / "store", tmp_path / "ben" / "store"):
        (place / "ict" / "ann").mkdir(parents=True)
        (place / "store.json").write_text("{}")
        _mesh(place / "ict" / "ann" / "points.ply")
    _mesh(tmp_path / "ben" / "neutral.ply")
    found = gather(tmp_path)
    assert _ids(found) == ["ann", "ben"] and len(found.subjects[1].scans) == 1
    assert "is a training store" in {item.reason for item in found.skipped}
