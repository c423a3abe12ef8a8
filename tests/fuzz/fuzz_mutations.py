"""Ways to damage a file: blind ones for any bytes, and ones that know a format's checksums and get past them."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zipfile
import zlib

import numpy as np
from fuzz_seeds import glb, npy, png16

_WORDS = [
    b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"-0", b"65536", b"4294967295", b"4294967296", b"-2147483648",
    b"99999999999", b"1e308", b"1e-320", b"9" * 400, b"9" * 5000, b"", b"1,5", b"0x10", b"None", b"null", b"true",
    b"\xff\xfe", b"\0", "\u0663".encode(), b"\"", b"{", b"[" * 200, b"1_000", b"..", b"/", b"-99999999",
]  # fmt: skip
_INTEGERS = [0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
_VALUES = [
    None, True, 0, -1, 1, 0.5, 3, 2**31, 2**32, 2**53, 2**63, 10**30, 10**400, -(2**31), 1e308, float("nan"),
    float("inf"), "", "x", "../../etc/passwd", "/dev/zero", "data:;base64,AAAA", "data:;base64,!", "\0", "9" * 50,
    [], {}, [[]], [None], {"a": 1}, [0, 1], [0] * 3000, ["x"] * 4, [[1, 2], [3]],
]  # fmt: skip


_TEXTS = (
    "obj", "mtl", "xyz", "csv", "json", "gltf", "ply", "stl", "off", "wrl", "pcd", "pts", "dae", "model", "vtk", "usda",
    "rels",
)  # fmt: skip

LARGEST = 20_000_000
"""Bytes of a damaged file: what is large may take in proportion, and that is no harm."""


def mutate(content: bytes, name: str, rng: np.random.Generator) -> bytes:
    """A damaged copy of a file.

    Args:
        content: The whole file.
        name: Its name: the suffix tells which damage there is that knows the format.
        rng: Decides.
    """
    suffix = name.rpartition(".")[2]
    clever = {"npz": _npz, "npy": _npy, "glb": _glb, "gltf": _json, "json": _json, "png": _png, "pkl": _pickle}
    clever |= {"safetensors": _safetensors, "gz": _gz} | dict.fromkeys(("zip", "3mf", "usdz"), _zip)
    text = suffix in _TEXTS and b"\0" not in content[:4096]
    choices = [_blind, *[clever.get(suffix, _blind)] * 2, *[_text] * 3 * text, *[_ply_header] * (suffix == "ply")]
    for _ in range(1 if rng.random() < 0.6 else int(rng.integers(2, 5))):
        damage = choices[rng.integers(len(choices))]
        try:
            content = damage(content, rng)
        except Exception:
            content = _blind(content, rng)  # too damaged already to know its parts
        content = content[:LARGEST]
    return content


# ---- any bytes -----------------------------------------------------------------------------------------------------


def _blind(content: bytes, rng: np.random.Generator) -> bytes:
    kind, size = int(rng.integers(9)), len(content)
    place = int(rng.integers(size)) if size and rng.random() < 0.6 else int(rng.integers(min(size, 300) or 1))
    other = int(rng.integers(size or 1))
    length = int(rng.integers(1, 64))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + content[place + length :]
    if kind == 2:
        return content[:place] + content[other : other + 4 * length] + content[place:]
    if kind == 3:
        return content[:place] + rng.bytes(length) + content[place + length :]
    if kind in (4, 5):
        value, order = int(rng.choice(len(_INTEGERS))), "<>"[int(rng.integers(2))]
        code = "BHIQ"[int(rng.integers(4))]
        packed = struct.pack(order + code, _INTEGERS[value] % 256 ** struct.calcsize(code))
        place -= place % len(packed) if rng.random() < 0.5 else 0
        return content[:place] + packed + content[place + len(packed) :]
    if kind == 6:
        found = bytearray(content)
        for spot in rng.integers(size or 1, size=int(rng.integers(1, 12))) if size else ():
            found[spot] ^= 1 << int(rng.integers(8))
        return bytes(found)
    if kind == 7:
        return content[:place] + bytes(length) + content[place + length :]
    return [b"", content * 2, content[::-1], b"\x1f\x8b" + content, content[: size // 2] * 3][int(rng.integers(5))]


def _text(content: bytes, rng: np.random.Generator) -> bytes:
    kind = int(rng.integers(9))
    if kind <= 3:
        words = list(re.finditer(rb"[^\s,;/\"\[\]{}:]+", content[:60_000]))
        if not words:
            return _blind(content, rng)
        word = words[int(rng.integers(len(words) if rng.random() < 0.5 else min(len(words), 40)))]
        return content[: word.start()] + _WORDS[int(rng.integers(len(_WORDS)))] + content[word.end() :]
    lines = content.splitlines(keepends=True)
    first, second = (int(rng.integers(len(lines))) for _ in range(2))
    if kind == 4:
        del lines[first]
    elif kind == 5:
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == 6:
        lines[first] = lines[first].rstrip(b"\r\n") * int(rng.integers(2, 3000)) + b"\n"
    elif kind == 7:
        lines[first:first] = [lines[second]] * int(rng.integers(1, 200))
    else:
        text = content.decode("latin-1")
        ways = [
            lambda: text.encode("utf-16"), lambda: text.encode("utf-16-be"), lambda: text.encode("utf-32"),
            lambda: b"\xef\xbb\xbf" + content, lambda: content.replace(b"\n", b"\r"),
            lambda: content.replace(b"\n", b"\r\n"), lambda: content.replace(b".", b","),
            lambda: content.replace(b" ", b"\t \t"), lambda: content.replace(b"\n", b" \\\n"),
        ]  # fmt: skip
        return ways[int(rng.integers(len(ways)))]()
    return b"".join(lines)


def _ply_header(content: bytes, rng: np.random.Generator) -> bytes:
    header, mark, body = content.partition(b"end_header\n")
    lines = header.splitlines(keepends=True)
    place = int(rng.integers(1, len(lines) + 1))
    new = [
        b"property list uchar int extra\n", b"property double w\n", b"property list float float odd\n",
        b"element vertex 4000000000\n", b"element empty 9000000000000\n", b"property list uint uchar big\n",
        b"property list int double vertex_indices\n", b"format binary_big_endian 1.0\n", b"element tristrips 2\n",
    ]  # fmt: skip
    lines[place : place + int(rng.integers(2))] = [new[int(rng.integers(len(new)))]]
    return b"".join(lines) + mark + body


# ---- formats with checksums and directories ------------------------------------------------------------------------


def _npy(content: bytes, rng: np.random.Generator) -> bytes:
    """Another header over the same body, of a length that fits."""
    shapes = ["(162, 3)", "(3,)", "()", "(2000000000, 3)", "(-1, 3)", "(0, 3)", "(1,)*40", "(9" + "0" * 90 + ",)", "3"]
    kinds = ["<f4", "<f8", ">f8", "|O", "|V9", "<U9", "|S3", "<c8", "<M8[s]", "|b1", "<U200000000", [["a", "<f4"]], "x"]
    shape = shapes[int(rng.integers(len(shapes)))]
    kind = kinds[int(rng.integers(len(kinds)))] if rng.random() < 0.5 else "<f4"
    header = f"{{'descr': {kind!r}, 'fortran_order': {rng.random() < 0.3}, 'shape': {shape}, }}"
    odd = [
        "(" * 3000,
        "[" * 900 + "]" * 900,
        "{'a':",
        "{'descr': '<f4' \\",
        "-" * 5000 + "1",
        "'" * 3,
        "1\n 2\n  3",
        "1L",
    ]
    if rng.random() < 0.4:
        header = odd[int(rng.integers(len(odd)))]
    version = int(rng.integers(1, 4))
    size = struct.pack("<H" if version == 1 else "<I", len(header) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + b"\n" + content[128:]


def _npz(content: bytes, rng: np.random.Generator) -> bytes:
    """An archive with one member replaced; whole, so that the reader gets as far as its content."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = list(members)[int(rng.integers(len(members)))]
    kind = int(rng.integers(5))
    if kind == 0:
        members[name] = mutate(members[name], "a.npy", rng)
    elif kind == 1:
        odd = [
            np.zeros((0,)), np.array("text"), np.array([["x"]]), np.full((162, 3), np.nan), np.arange(7),
            np.array(1 + 2j),
            np.array(b"{}"), np.zeros((3, 3, 3, 3)), np.array(2**63, np.uint64), np.zeros(40, "<U50"), np.array(True),
            np.zeros((162, 2), np.uint8), np.array(5, np.uint8), np.array(10**6), np.zeros((1, 256)),
            np.array("1900-01-01", "M8[s]"),
        ]  # fmt: skip
        members[name] = npy(odd[int(rng.integers(len(odd)))])
    elif kind == 2:
        del members[name]
    elif kind == 3:
        other = list(members)[int(rng.integers(len(members)))]
        members[name] = members[other]
    elif "header.npy" in members:
        header = str(np.load(io.BytesIO(members["header.npy"]), allow_pickle=False))
        members["header.npy"] = npy(np.array(_json(header.encode(), rng).decode("utf-8", "replace")))
    buffer = io.BytesIO()
    way = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[int(rng.integers(4))]
    with zipfile.ZipFile(buffer, "w", way) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return buffer.getvalue()


def _zip(content: bytes, rng: np.random.Generator) -> bytes:
    """An archive with a member damaged, renamed, doubled or taken away; whole, so that the reader gets to it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place, kind = int(rng.integers(len(members))), int(rng.integers(6))
    name, held = members[place]
    if kind <= 2:
        members[place] = name, mutate(held, name, rng)
    elif kind == 3:
        odd = ["../" + name, "/" + name, "a/" * 300 + name, name + "\0", "a.zip", "b.ply", "c.obj", "x" * 400 + ".ply"]
        members[place] = odd[int(rng.integers(len(odd)))], held
    elif kind == 4:
        del members[place]
    else:
        members.append((f"{place}{name}", held))
    buffer = io.BytesIO()
    way = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[int(rng.integers(4))]
    with zipfile.ZipFile(buffer, "w", way) as archive:
        for name, held in members:
            archive.writestr(name, held)
    return buffer.getvalue()


def _gz(content: bytes, rng: np.random.Generator) -> bytes:
    return gzip.compress(mutate(gzip.decompress(content), "a.wrl", rng))


def _json(content: bytes, rng: np.random.Generator) -> bytes:
    """One value somewhere in the tree replaced, taken away or nested."""
    document = json.loads(content)
    places: list[tuple] = []

    def visit(node) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            visit(node[key])

    visit(document)
    if not places:
        return _blind(content, rng)
    node, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(6))
    if kind <= 2:
        node[key] = _VALUES[int(rng.integers(len(_VALUES)))]
    elif kind == 3:
        del node[key]
    elif kind == 4:
        node[key] = places[int(rng.integers(len(places)))][0]  # a copy of another part; of itself is refused by dumps
        if rng.random() < 0.5 and isinstance(node, dict):
            node[["mode", "sparse", "extensions", "children", "byteStride", "matrix"][int(rng.integers(6))]] = 3
    else:
        depth = int(rng.integers(2, 3)) * 10 ** int(rng.integers(1, 5))
        return json.dumps(document).encode().replace(b": ", b": " + b"[" * depth, 1)
    return json.dumps(document).encode()


def _glb(content: bytes, rng: np.random.Generator) -> bytes:
    size = struct.unpack("<I", content[12:16])[0]
    text, binary = content[20 : 20 + size], content[28 + size :]
    return glb(json.loads(_json(text, rng)), binary)


def _png(content: bytes, rng: np.random.Generator) -> bytes:
    """Chunks shuffled or changed, with checksums that are right again."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        chunks.append([content[place + 4 : place + 8], content[place + 8 : place + 8 + size]])
        place += 12 + size
    index = int(rng.integers(len(chunks)))
    kind = int(rng.integers(5))
    if kind == 0:
        chunks[index][1] = _blind(chunks[index][1], rng)
    elif kind == 1:
        sizes = [0, 1, 24, 32, 3000, 20_000, 2**20, 2**31 - 1]
        width, height = (sizes[int(rng.integers(len(sizes)))] for _ in range(2))
        chunks[0][1] = (
            struct.pack(">IIBB", width, height, [1, 8, 16, 3][int(rng.integers(4))], int(rng.integers(7))) + b"\0\0\0"
        )
    elif kind == 2:
        chunks.append(chunks.pop(index))
    elif kind == 3:
        chunks.insert(
            1,
            [
                [b"zTXt", b"iCCP", b"tEXt", b"acTL", b"tRNS"][int(rng.integers(5))],
                b"x\0\0" + zlib.compress(bytes(10**6)),
            ],
        )
    else:
        size = [3000, 12_000, 30_000][int(rng.integers(3))]
        return png16(size, size, bytes(2 * size + 1), min(size, 3000))
    packed = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return content[:8] + packed


def _pickle(content: bytes, rng: np.random.Generator) -> bytes:
    """Operations put in somewhere, or the names that it asks for changed."""
    operations = [
        b"0", b"1", b"2", b"(", b"]", b"}", b")", b"N", b"\x85", b"\x86", b"\x88", b"R", b"b", b"\x81", b"o",
        b"a", b"e",
        b"s", b"u", b"q\x01", b"h\x01", b"h\x05", b"cos\nsystem\n", b"cnumpy\nndarray\n", b"I9999999999\n", b"L9L\n",
        b"\x8b\xff\xff\xff\x7f", b"\x8d" + b"\xff" * 7 + b"\x7f", b"\x8e" + b"\xff" * 7 + b"\x0f",
        b"\x95" + b"\xff" * 8,
        b"\x8f", b"\x90", b"\x91", b"S'x'\n", b"F1e999\n", b"B\xff\xff\xff\x7f", b"P1\n", b"Q", b"\x82\x01",
        b"\x97", b"\x98",
        b"c__builtin__\nset\n", b"c_codecs\nencode\n", b"ccopy_reg\n_reconstructor\n", b"2t", b"\x86\x94" * 30,
        b"2\x86" * 40 + b"Ns",
    ]  # fmt: skip
    place = int(rng.integers(len(content)))
    extra = b"".join(operations[int(rng.integers(len(operations)))] for _ in range(int(rng.integers(1, 6))))
    return content[:place] + extra + content[place + int(rng.integers(3)) :]


def _safetensors(content: bytes, rng: np.random.Generator) -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    text = _json(content[8 : 8 + size], rng)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]
