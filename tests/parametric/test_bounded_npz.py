"""npz files of strangers: bombs, pickled objects, wrong kinds and damage are refused before anything is unpacked."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from headfield.errors import DataError
from headfield.parametric.bounded_npz import Wanted, read_npz

WANTED = {"x": Wanted("f", 2, 1000), "names": Wanted("U", 1, 10, needed=False), "n": Wanted("i", 0, 1, needed=False)}


def test_what_is_wanted_comes_back_and_nothing_else(tmp_path):
    path = tmp_path / "a.npz"
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3)).astype(">f4")
    for save in (np.savez, np.savez_compressed):
        save(path, x=x, names=np.array(["a", "bé"]), n=np.int64(3), other=np.zeros(9))
        found = read_npz(path, WANTED)
        assert sorted(found) == ["n", "names", "x"] and found["n"] == 3
        np.testing.assert_array_equal(found["x"], x)
        assert found["x"].dtype == np.float32 and found["names"].tolist() == ["a", "bé"]


def head(shape: str, descr: str = "<f8") -> bytes:
    file = io.BytesIO()
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    file.write(b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n")
    return file.getvalue()


def test_bombs_are_refused_without_unpacking(tmp_path):
    path = tmp_path / "bomb.npz"
    for name, content in {
        "claims": head("(100000, 100000)"),
        "unpacks": head("(1, 2)") + bytes(40_000_000),
        "both": head("(2000, 2000)") + bytes(32_000_000),
        "long texts": head("(1, 1)", "<U100000000"),
    }.items():
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", content)
        assert path.stat().st_size < 1_000_000
        tracemalloc.start()
        with pytest.raises(DataError, match=r"bomb\.npz: x"):
            read_npz(path, WANTED)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000, name
        tracemalloc.stop()


def test_a_directory_that_lies_about_the_size(tmp_path):
    path = tmp_path / "liar.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", head("(1, 2)") + bytes(50_000_000))
    whole = path.read_bytes()
    real = (50_000_000 + len(head("(1, 2)"))).to_bytes(4, "little")
    assert whole.count(real) == 2
    path.write_bytes(whole.replace(real, (16 + len(head("(1, 2)"))).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        read_npz(path, WANTED)  # either the right two numbers or an error, but never all of it
    except DataError:
        pass
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_objects_are_never_unpickled(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'written'}",)

    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([[Payload()]], dtype=object))
    with pytest.raises(DataError, match="x: holds pickled objects, which are never opened"):
        read_npz(path, WANTED)
    assert not (tmp_path / "written").exists()


def test_wrong_and_damaged_files_say_so(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, y=np.zeros(3))
    with pytest.raises(DataError, match=r"has no x; it holds y"):
        read_npz(path, WANTED)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(DataError, match=r"shape \(3,\), expected 2 axes"):
        read_npz(path, WANTED)
    np.savez(path, x=np.zeros((3, 3), int))
    with pytest.raises(DataError, match="holds int64, expected floats"):
        read_npz(path, WANTED)
    np.savez(path, x=np.zeros((3, 3)))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="no NPZ archive"):
        read_npz(path, WANTED)
    path.write_text("no zip")
    with pytest.raises(DataError, match="no NPZ archive"):
        read_npz(path, WANTED)
    with pytest.raises(DataError, match="cannot be opened"):
        read_npz(tmp_path / "none.npz", WANTED)


def test_any_flipped_byte_is_refused_or_harmless(tmp_path):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, x=np.arange(30.0).reshape(10, 3))
    whole = file.read_bytes()
    for position in range(0, len(whole), 3):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            read_npz(file, {"x": Wanted("f", 2, 100)})
        except DataError:
            pass
