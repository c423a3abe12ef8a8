"""The one way in: regular files, sizes before decoding, names that stay in their folder, texts of other systems."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading

import numpy as np
import pytest
import trimesh

from headfield.cli.output import output_file, output_folder, resumable_folder
from headfield.errors import ConfigError, HeadfieldError, OutputError, ScanError
from headfield.io import arrays, guard
from headfield.io.depth import read_depth
from headfield.io.formats import SCAN_SUFFIXES
from headfield.io.obj import read_obj
from headfield.io.scan import read_scan


@pytest.fixture
def ball():
    return trimesh.creation.icosphere(subdivisions=2, radius=100.0)


def within(seconds: float, work):
    """What `work` raises, if it ends at all."""
    said: list = []

    def run():
        try:
            said.append(work())
        except HeadfieldError as error:
            said.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "hangs"
    return said[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system with pipes")
def test_pipes_devices_and_sockets_are_refused_at_once(tmp_path):
    for suffix in SCAN_SUFFIXES:
        os.mkfifo(tmp_path / f"pipe{suffix}")
        error = within(30, lambda path=tmp_path / f"pipe{suffix}": read_scan(path))
        assert isinstance(error, ScanError) and "a pipe, expected a regular file" in str(error)
    os.mkfifo(tmp_path / "depth.png")
    assert "a pipe" in str(within(30, lambda: read_depth(tmp_path / "depth.png", (1.0, 1.0, 0.0, 0.0))))
    os.symlink("/dev/zero", tmp_path / "zero.obj")
    assert "a device" in str(within(30, lambda: read_scan(tmp_path / "zero.obj")))
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as short,
        socket.socket(socket.AF_UNIX) as door,
    ):  # their names are short
        door.bind(f"{short}/a.ply")
        assert "a socket" in str(within(30, lambda: read_scan(f"{short}/a.ply")))


def gltf(folder, ball, uri):
    """A glTF file whose buffer is named `uri`, and the buffer's content."""
    shape = trimesh.Trimesh(ball.vertices, ball.faces, process=False)
    parts = shape.export(file_type="gltf")
    (folder / "a.gltf").write_bytes(parts["model.gltf"])
    document = json.loads(parts["model.gltf"])
    content = b"".join(parts[buffer["uri"]] for buffer in document["buffers"])
    begins = np.cumsum([0, *(buffer["byteLength"] for buffer in document["buffers"])])
    for view in document["bufferViews"]:
        view["byteOffset"] = view.get("byteOffset", 0) + int(begins[view["buffer"]])
        view["buffer"] = 0
    document["buffers"] = [{"byteLength": len(content), "uri": uri}]
    (folder / "a.gltf").write_text(json.dumps(document))
    return folder / "a.gltf", content


def test_gltf_reads_what_lies_in_its_folder_and_nothing_else(tmp_path, ball):
    inner = tmp_path / "inner"
    (inner / "parts").mkdir(parents=True)
    for uri, place in (("b c.bin", "b c.bin"), ("b%20c.bin", "b c.bin"), ("parts/b.bin", "parts/b.bin")):
        path, content = gltf(inner, ball, uri)
        (inner / place).write_bytes(content)
        assert len(read_scan(path).points) == len(ball.vertices), uri
    (tmp_path / "above.bin").write_bytes(content)
    os.symlink(tmp_path / "above.bin", inner / "link.bin")
    os.mkfifo(inner / "pipe.bin")
    away = ("../above.bin", "%2e%2e/above.bin", "parts/../../above.bin", "link.bin", str(tmp_path / "above.bin"))
    for uri in (*away, "file:///etc/passwd", "http://127.0.0.1/a.bin", "..\\above.bin", "", "\0"):
        path, _ = gltf(inner, ball, uri)
        error = within(30, lambda path=path: read_scan(path))
        assert isinstance(error, ScanError) and "names the file" in str(error), (uri, error)
    path, _ = gltf(inner, ball, "pipe.bin")
    assert "pipe.bin: a pipe" in str(within(30, lambda: read_scan(path)))
    path, _ = gltf(inner, ball, "missing.bin")
    with pytest.raises(ScanError, match=r"missing.bin: cannot be opened \(No such file"):
        read_scan(path)


def test_the_budget_is_stated_and_raised_by_an_option(tmp_path, monkeypatch):
    """A file is refused by what it would take, and read when that may be taken: the same file, both ways."""
    points = np.zeros((400_000, 3), np.float32)
    points[:, 0] = np.arange(len(points))
    np.savez_compressed(tmp_path / "a.npz", points=np.repeat(points[:100], 4000, axis=0))
    need = 3 * 8 * points.size
    with (
        guard.read_limit(need - 1),
        pytest.raises(ScanError, match=r"points, an array \(400000, 3\).*29 MB.*--read-limit"),
    ):
        read_scan(tmp_path / "a.npz")
    with guard.read_limit(need):
        assert len(read_scan(tmp_path / "a.npz").points) > 0
    monkeypatch.setenv(guard.VARIABLE, "28")
    with pytest.raises(ScanError, match="may take 28 MB"):
        read_scan(tmp_path / "a.npz")
    monkeypatch.setenv(guard.VARIABLE, "29")
    read_scan(tmp_path / "a.npz")
    for wrong in ("many", "-1", "nan", "0", "1e99"):
        monkeypatch.setenv(guard.VARIABLE, wrong)
        with pytest.raises(ConfigError, match="number of MB"):
            read_scan(tmp_path / "a.npz")


def test_a_large_file_may_take_more_than_a_small_one(tmp_path):
    """What is not packed is never refused for its size alone: it takes less than sixteen times that."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(50_000, 3)).astype(np.float32))
    with guard.read_limit(10**6):
        assert len(read_scan(tmp_path / "a.npy").points) == 50_000
    with guard.read_limit(10**5), pytest.raises(ScanError, match="0 MB are read. Subsample it, or raise the limit"):
        read_scan(tmp_path / "a.npy")  # larger than four times the limit


@pytest.mark.parametrize("way", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "\r", "\r\n", ","])
def test_obj_as_other_systems_write_it(tmp_path, ball, way):
    points = ball.vertices / 7
    text = "# häds\n" + "".join("v {:.5f} {:.5f} {:.5f}\n".format(*point) for point in points)
    text += "".join("f {} {} {}\n".format(*face) for face in ball.faces + 1)
    if way in ("\r", "\r\n"):
        content = text.replace("\n", way).encode()
    else:
        content = text.replace(".", ",").encode() if way == "," else text.encode(way)
    (tmp_path / "a.obj").write_bytes(content)
    scan = read_scan(tmp_path / "a.obj")
    np.testing.assert_allclose(scan.points, points, atol=1e-5)
    assert (scan.triangles == ball.faces).all()
    if way.startswith("utf-16") or way == ",":  # a template keeps every byte, so it is not rewritten
        with pytest.raises(ScanError, match="UTF-16|decimal commas"):
            read_obj(tmp_path / "a.obj")


def test_numpy_arrays_that_lie_are_refused(tmp_path):
    for shape, kind in ((10**9, "<f8"), (3, "|O"), (-1, "<f8")):
        head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}, 3), }}".encode()
        (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head + bytes(72))
        with pytest.raises(ScanError, match="--read-limit|pickled objects|shape"), guard.reading("a.npy", "NPY"):
            arrays.npy(tmp_path / "a.npy")


def test_every_failure_becomes_the_error_that_was_asked_for():
    for raised in (
        ValueError("x" * 999),
        MemoryError(),
        RecursionError(),
        OSError(5, "no"),
        KeyError(),
        SyntaxError("a\nb"),
    ):
        with pytest.raises(OutputError) as caught, guard.reading("file.ply", "a scan", OutputError):
            raise raised
        said = str(caught.value)
        assert said.startswith("file.ply: ") and "\n" not in said and len(said) < 320 and said.endswith(".")
    with pytest.raises(ConfigError, match="^mine$"), guard.reading("file.ply", "a scan", ScanError):
        raise ConfigError("mine")
    with pytest.raises(KeyboardInterrupt), guard.reading("file.ply", "a scan"):
        raise KeyboardInterrupt


def test_places_that_cannot_hold_output_are_found_before_the_work(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink(tmp_path / "round", tmp_path / "loop")
    os.symlink(tmp_path / "loop", tmp_path / "round")
    os.symlink("/dev/null", tmp_path / "null")
    opens = {
        "file": lambda path: output_file(path, force=True),
        "folder": lambda path: output_folder(path, force=True),
        "resumable": lambda path: resumable_folder(path, began="*"),
    }
    for name, place in opens.items():
        for bad in ("pipe", "loop", "null", "loop/inside", "pipe/inside"):
            before = sorted(path.name for path in tmp_path.iterdir())
            with (
                pytest.raises(OutputError, match=r"stands there|round to itself|cannot be written"),
                place(tmp_path / bad),
            ):
                pytest.fail(f"{name} at {bad}: the work began")
            assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not os.path.isfile("/dev/null")
