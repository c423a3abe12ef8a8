"""The restricted unpickler: reads what FLAME's files hold, and nothing that a pickle says is ever executed."""

from __future__ import annotations

import copyreg
import os
import pickle
import struct
import sys
import types

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix

from headfield.errors import DataError
from headfield.parametric.restricted_pickle import loads, read_pickle


@pytest.fixture
def chumpy(monkeypatch):
    """A stand-in for the library chumpy, only to write files with: a class of its name that pickles as Ch does."""
    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x):
            self.x, self._dirty_vars = x, {"x"}

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return Ch


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_sparse_matrices_and_chumpy_objects_come_back(protocol, chumpy, tmp_path):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(5, 3))
    content = {
        "v_template": chumpy(dense),
        "f": rng.integers(0, 5, (4, 3)).astype(np.uint32),
        "shapedirs": np.asfortranarray(rng.normal(size=(5, 3, 4)).astype(np.float32)),
        "big": dense.astype(">f8"),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3)),
        "one": np.float64(2.5),
        "J_regressor": csc_matrix(np.eye(5)[:2]),
        "rows": csr_matrix(np.eye(3)),
        "places": coo_matrix(np.eye(3)),
        "bs_style": "lbs",
        "names": ["a", "b"],
        "set": {1, 2},
    }
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    found = read_pickle(path)
    np.testing.assert_array_equal(found["v_template"], dense)
    for name in ("f", "shapedirs", "big", "flags", "none", "one"):
        np.testing.assert_array_equal(found[name], content[name])
        assert found[name].dtype == content[name].dtype.newbyteorder("=")
    for name in ("J_regressor", "rows", "places"):
        np.testing.assert_array_equal(found[name].toarray(), content[name].toarray())
    assert found["bs_style"] == "lbs" and found["names"] == ["a", "b"] and "set" not in found


def test_a_pickle_of_python_2(tmp_path):
    # what Python 2 wrote for {'x': np.array([1., 2.])} with protocol 0 and 2: the data as a text of bytes
    data = struct.pack("<2d", 1.0, 2.0)
    kept = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\n"
    kept += b"dtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS" + repr(data)[1:].encode() + b"\ntb"
    found = loads(b"(dS'x'\n" + kept + b"s.")
    np.testing.assert_array_equal(found["x"], [1.0, 2.0])


def payloads(target):
    """Pickles that would write the file `target`, by name."""
    command = f"touch {target}"
    text = command.encode()

    class Reduce:
        def __reduce__(self):
            return os.system, (command,)

    class Evaluated:
        def __reduce__(self):
            return eval, (f"open({str(target)!r}, 'w').write('x')",)

    system = b"c" + os.system.__module__.encode() + b"\nsystem\n"
    return {
        "reduce, protocol 0": pickle.dumps({"v_template": Reduce()}, 0),
        "reduce, protocol 5": pickle.dumps({"v_template": Reduce()}, 5),
        "eval": pickle.dumps({"v_template": Evaluated()}, 4),
        "global": system + b"(S'" + text + b"'\ntR.",
        "global os": b"cos\nsystem\n(S'" + text + b"'\ntR.",
        "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(text)]) + text + b"\x85R.",
        "obj": b"(" + system + b"S'" + text + b"'\no.",
        "inst": b"(S'" + text + b"'\nios\nsystem\n.",
        "newobj": b"\x80\x02csubprocess\nPopen\n(S'" + text + b"'\nI0\nt\x81.",
        "through numpy": b"cnumpy.f2py\ncrackfortran.myeval\n(S'" + text + b"'\ntR.",
        "hostile __setstate__": b"cnumpy\nndarray\n)\x81}S'__setstate__'\ncos\nsystem\nsbS'" + text + b"'\nb.",
        "build on a class": b"cnumpy\nndarray\n}S'numpy'\ncos\nsystem\nsb.",
        "reconstructor": b"ccopy_reg\n_reconstructor\n(cos\n_wrap_close\nc__builtin__\nobject\nNtR.",
        "getattr": b"c__builtin__\ngetattr\n(cos\npath\nS'os'\ntR.",
        "deep chumpy": b"cchumpy.ch\nCh.__init__.__globals__\n(S'" + text + b"'\ntR(dp0\nS'x'\ncos\nsystem\nsb.",
        "persistent id": b"Pos.system\n.",
        "next buffer": b"\x80\x05\x97.",
    }


@pytest.mark.parametrize("which", sorted(payloads("x")))
def test_payloads_are_refused_and_nothing_is_executed(which, tmp_path):
    target = tmp_path / "written"
    path = tmp_path / "FLAME2023.pkl"
    path.write_bytes(payloads(target)[which])
    with pytest.raises(DataError, match="FLAME2023.pkl"):
        read_pickle(path)
    assert not target.exists()


def test_payloads_would_run_in_an_ordinary_unpickler(tmp_path):
    # otherwise the test above says nothing
    for which in ("reduce, protocol 5", "global os", "stack global", "inst", "obj"):
        target = tmp_path / "written"
        pickle.loads(payloads(target)[which])
        assert target.exists(), which
        target.unlink()


def test_extensions_are_refused_even_when_cached(tmp_path):
    copyreg.add_extension("os", "system", 240)
    try:
        target = tmp_path / "written"
        payload = b"\x80\x02\x82\xf0" + b"U" + bytes([6 + len(str(target))]) + f"touch {target}".encode() + b"\x85R."
        pickle.loads(payload)  # now the extension is cached, and no class would be looked up any more
        assert target.exists()
        target.unlink()
        with pytest.raises(DataError, match="refused.*EXT1.*nothing was executed"):
            loads(payload)
        assert not target.exists()
    finally:
        copyreg.remove_extension("os", "system", 240)


def array_of(shape: str, kind: str, data: bytes) -> bytes:
    """A pickle {'x': array} whose shape, type and data need not agree."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n" + shape.encode()
    made += b"cnumpy\ndtype\n(S'" + kind.encode() + b"'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
    return b"(dS'x'\n" + made + b"S" + repr(data)[1:].encode() + b"\ntbs."


def test_arrays_that_lie_about_themselves_are_refused():
    assert (loads(array_of("(I2\nt", "f8", bytes(16)))["x"] == 0).all()
    for shape, kind, data in (
        ("(I1000000000\nI1000000000\nt", "f8", bytes(16)),  # would be an exabyte
        ("(I-2\nt", "f8", bytes(16)),
        ("(I2\nt", "O8", bytes(16)),  # pointers
        ("(I2\nt", "V8", bytes(16)),
        ("(I3\nt", "f8", bytes(16)),
    ):
        with pytest.raises(DataError, match="entry 'x' is damaged"):
            loads(array_of(shape, kind, data))


def test_sparse_indices_beyond_the_shape_are_refused():
    matrix = csc_matrix(np.eye(4))
    matrix.indices[2] = 90
    with pytest.raises(DataError, match="entry 'J' is damaged"):
        loads(pickle.dumps({"J": matrix}))


def test_damaged_files_say_so(tmp_path):
    whole = pickle.dumps({"x": np.arange(50.0)})
    huge = b"\x80\x05\x96" + struct.pack("<Q", 2**45) + b"."  # 35 TB of buffer
    for content in (b"", b"not a pickle", whole[: len(whole) // 2], b"r\xff\xff\xff\x7f.", huge):
        with pytest.raises(DataError):
            loads(content)
    with pytest.raises(DataError, match="list, expected a dictionary"):
        loads(pickle.dumps([1]))
    with pytest.raises(DataError, match="nowhere.pkl: cannot be opened"):
        read_pickle(tmp_path / "nowhere.pkl")


def test_objects_that_hold_themselves_or_nothing_are_refused(chumpy, tmp_path):
    loop = chumpy(None)
    loop.x = loop
    for content in (pickle.dumps({"v_template": loop}), b"\x80\x02}U\x01xcnumpy\nndarray\n)\x81s."):
        with pytest.raises(DataError):
            loads(content)
