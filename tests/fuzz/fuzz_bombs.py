"""Files made to hurt: small ones that would be large, nested ones, ones that name what lies elsewhere."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile

import numpy as np
from fuzz_seeds import glb, npy, npz, png16

PCD = b"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 99999999999\nHEIGHT 1\nDATA %s\n"

Bombs = dict[str, tuple[str, dict[str, bytes]]]
"""Files made to hurt, by name: the kind of seed that they stand in for, and the files that they replace."""


def bombs() -> Bombs:
    """Those that are quickly made and quickly read."""
    zeros = io.BytesIO()
    with (
        zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("points.npy", "w", force_zip64=True) as out,
    ):
        head = npy(np.zeros((0, 3), "<f4")).replace(
            b"'shape': (0, 3), }" + b" " * 9, b"'shape': (25000000, 3), }"[:27].ljust(27)
        )
        out.write(head)
        for _ in range(30):
            out.write(bytes(10**7))
    ball = np.zeros((100, 3), "<f4")
    document = {
        "asset": {"version": "2.0"},
        "accessors": [{"componentType": 5126, "count": 400_000_000, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
    }
    real = document | {
        "buffers": [{"byteLength": ball.nbytes}],
        "bufferViews": [{"buffer": 0, "byteLength": ball.nbytes}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 100, "type": "VEC3"}],
    }
    many = real | {"nodes": [{"mesh": 0} for _ in range(200_000)], "scenes": [{"nodes": list(range(200_000))}]}
    doubled = [{"children": [i + 1, i + 1], "name": f"n{i}"} for i in range(60)] + [{"mesh": 0}]
    shared = [{"children": [i + 2, i + 3]} if i % 2 == 0 else {"children": [i + 1, i + 2]} for i in range(60)]
    chain = [{"children": [i + 1]} for i in range(30_000)] + [{"mesh": 0}]
    loop = [{"children": [1]}, {"children": [0, 2]}, {"mesh": 0}]
    graphs = {"doubled": doubled, "shared": [*shared, *[{"mesh": 0}] * 3], "chain": chain, "loop": loop}
    deep = b"[" * 200_000 + b"]" * 200_000
    keys = b"\x80\x02}(N" + b"".join(b"2\x86" for _ in range(60)) + b"Ns."
    tuples = b"\x80\x02}N" + b"".join(b"2\x86" for _ in range(60)) + b"K\x01s."
    shown = b"\x80\x02}X\x01\x00\x00\x00acnumpy\ndtype\nN" + b"2\x86" * 60 + b"\x85Rs."
    kept = pickle.dumps(np.zeros(4_000_000, np.uint8), 2)[:-1]
    several = b"\x80\x02}" + b"X\x01\x00\x00\x00a" + kept[2:] + b"r\xff\xff\x00\x00s"
    several += b"".join(b"X\x04\x00\x00\x00%04dj\xff\xff\x00\x00s" % i for i in range(1000)) + b"."
    sizes = b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R("
    sizes += b"K\x01(" + b"J\xff\xff\xff\x7f" * 60_000 + b"tcnumpy\ndtype\nU\x02f8K\x00K\x01\x87RI00\nU\x00tbs."
    length = glb(real, ball.tobytes())
    trees = {name: real | {"nodes": nodes, "scenes": [{"nodes": [0]}]} for name, nodes in graphs.items()}
    device, above = ({"buffers": [{"byteLength": 1200, "uri": uri}]} for uri in ("/dev/zero", "../" * 9 + "etc/passwd"))
    nested = b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 8999 + b"\n"
    number = b'{"fx": ' + b"9" * 4000 + b', "fy": 1, "cx": 1, "cy": 1}'
    none = b"ply\nformat ascii 1.0\nelement none 99999999999\nelement vertex 1\nproperty float x\nend_header\n1\n"
    return {
        "npz that unpacks to 300 MB": ("npz", {"ball.npz": zeros.getvalue()}),
        "png of 30,000 x 30,000": ("depth png", {"depth.png": png16(30_000, 30_000, bytes(60_001), 100)}),
        "png of 1 x 80,000,000": ("depth png", {"depth.png": png16(80_000_000, 1, bytes(1000), 1)}),
        "npy header, nested": ("depth npy", {"depth.npy": nested}),
        "glb without a buffer": ("glb", {"ball.glb": glb(document, b"")}),
        "glb of 200,000 instances": ("glb", {"ball.glb": glb(many, ball.tobytes())}),
        **{f"glb, nodes {name}": ("glb", {"ball.glb": glb(tree, ball.tobytes())}) for name, tree in trees.items()},
        "glb of a wrong length": ("glb", {"ball.glb": length[:12] + b"\xf0\xff\xff\xff" + length[16:]}),
        "gltf names a device": ("gltf", {"ball.gltf": json.dumps(real | device).encode()}),
        "gltf names what lies above": ("gltf", {"ball.gltf": json.dumps(real | above).encode()}),
        "obj of one polygon of 3,000 corners": ("obj", {"ball.obj": _star_obj(3_000)}),
        "json, nested 200,000 deep": ("intrinsics", {"camera.json": deep}),
        "json of a huge number": ("intrinsics", {"camera.json": number}),
        "gltf, nested": ("gltf", {"ball.gltf": deep}),
        "track, nested": ("track scores.json", {"scores.json": deep}),
        "pickle, tuples as keys": ("pickle", {"flame.pkl": keys}),
        "pickle, nested tuples as a key": ("pickle", {"flame.pkl": tuples}),
        "pickle, nested tuples to be shown": ("pickle", {"flame.pkl": shown}),
        "pickle, one array under 1,000 keys": ("pickle", {"flame.pkl": several}),
        "pickle, a shape of 60,000 numbers": ("pickle", {"flame.pkl": sizes}),
        **_archives_and_xml(),
        "ply of rows without properties": ("ply ascii", {"a.ply": none}),
        "ply of one list of 6,500 corners": ("ply ascii", {"a.ply": _star_ply(6_500)}),
        "table of one cell": ("table", {"people.csv": b"id,age\n" + b"x" * 3_000_000 + b",1\n"}),
        "npz of many names": ("npz", {"ball.npz": npz(**{f"a{i}": np.zeros(1) for i in range(3000)})}),
    }  # fmt: skip


def _archives_and_xml() -> Bombs:
    """Bombs in archives, XML, VRML, PCD, pictures and USD."""
    zeros = bytes(3 * 10**8)
    laughs = b"<!DOCTYPE a [<!ENTITY a0 'ha'>" + b"".join(
        b"<!ENTITY a%d '%s'>" % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 12)
    )
    laughs += b"]><COLLADA>&a11;</COLLADA>"
    high = b"<COLLADA>" + b"<a>" * 200_000 + b"</a>" * 200_000 + b"</COLLADA>"
    doubled_3mf = "".join(
        f'<object id="{i}"><components>' + f'<component objectid="{i + 1}"/>' * 2 + "</components></object>"
        for i in range(60)
    )
    doubled_3mf += '<object id="60"><mesh><vertices><vertex x="0" y="0" z="0"/></vertices><triangles/></mesh></object>'
    doubled_3mf = f'<model><resources>{doubled_3mf}</resources><build><item objectid="0"/></build></model>'
    uses = "".join(f"DEF N{i + 1} Group {{ children [ USE N{i} USE N{i} ] }}\n" for i in range(60))
    uses = "#VRML V2.0 utf8\nDEF N0 Group { }\n" + uses
    outside = "#usda 1.0\n(\n subLayers = [@../../../../etc/passwd@, @/dev/zero@]\n)\n"
    return {
        "dae, billion laughs": ("dae", {"a.dae": laughs}),
        "dae, nested": ("dae", {"a.dae": high}),
        "3mf, components doubled": ("3mf", {"a.3mf": zipped({"3D/3dmodel.model": doubled_3mf.encode()})}),
        "3mf, billion laughs": ("3mf", {"a.3mf": zipped({"3D/3dmodel.model": laughs})}),
        "wrl, nodes doubled": ("wrl", {"a.wrl": uses.encode()}),
        "wrl, nested": ("wrl", {"a.wrl": b"#VRML V2.0 utf8\n" + b"Group { children [ " * 100_000}),
        "pcd of 100 billion points": ("pcd", {"a.pcd": PCD % b"binary" + bytes(1000)}),
        "pcd text of 100 billion points": ("pcd", {"a.pcd": PCD % b"ascii" + b"1 2 3\n" * 100}),
        "off of many vertices": ("off", {"a.off": b"OFF\n99999999999 99999999999 0\n" + b"1 2 3\n" * 100}),
        "zip of 300 MB": ("zip", {"a.zip": zipped({"a.obj": zeros})}),
        "zip in a zip": ("zip", {"a.zip": zipped({"b.zip": zipped({"a.off": b"OFF"})})}),
        "gz of 300 MB": ("gz", {"a.wrl.gz": gzip.compress(zeros, 1)}),
        "mtl picture of 30,000 x 30,000": ("mtl picture", {"skin.png": png16(30_000, 30_000, bytes(60_001), 100)}),
        "usda names what lies above": ("usda", {"a.usda": outside.encode()}),
    }


def heavy_bombs() -> Bombs:
    """Those that take the most time to be made or read (`make fuzz`)."""
    wide = b"<COLLADA>" + b"<a/>" * 4_000_000 + b"</COLLADA>"
    lzf = PCD.replace(b"99999999999", b"9000000") % b"binary_compressed" + struct.pack("<II", 8, 108_000_000) + bytes(8)
    rows = b"v 1 1 1\n" * 15_000_000
    array = '#usda 1.0\ndef Mesh "M" {\n point3f[] points = [' + "(0,0,0)," * 1_500_000 + "(0,0,0)]\n}\n"
    lists, operations = b"[" + b"[]," * 12_000_000 + b"[]]", b"N0" * 15_000_000
    zeros, elements = bytes(3 * 10**8), b"<COLLADA>" + b"<a/>" * 7_000_000 + b"</COLLADA>"
    return {
        "obj of one polygon of 30,000 corners": ("obj", {"ball.obj": _star_obj(30_000)}),
        "ply of one list of 65,000 corners": ("ply ascii", {"a.ply": _star_ply(65_000)}),
        "png of 5,000 x 5,000, whole": ("depth png", {"depth.png": png16(5_000, 5_000, bytes(10_001), 5_000)}),
        "json of many lists": ("landmarks", {"landmarks.json": lists}),
        "pickle of 30 million operations": ("pickle", {"flame.pkl": b"\x80\x02" + operations + b"}."}),
        "dae of 4 million elements": ("dae", {"a.dae": wide}),
        "pcd lzf of 9 million points": ("pcd lzf", {"a.pcd": lzf}),
        "zip of an OBJ of 120 MB": ("zip", {"a.zip": zipped({"a.obj": rows})}),
        "zip of points of 120 MB": ("zip", {"a.zip": zipped({"a.xyz": b"1 1 1\n" * 20_000_000})}),
        "zip of a picture of 300 MB": ("zip", {"a.zip": zipped({"a.off": b"OFF 0 0 0", "skin.png": zeros})}),
        "mtl picture of 9,000 x 9,000, whole": ("mtl picture", {"skin.png": png16(9_000, 9_000, bytes(18_001), 9_000)}),
        "usda of many points": ("usda", {"a.usda": array.encode()}),
        "usdz of 300 MB": ("usdz", {"a.usdz": zipped({"a.usda": zeros})}),
        "zip of XML of 28 MB": ("zip", {"a.zip": zipped({"a.dae": elements})}),
    }  # fmt: skip


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _star_obj(corners: int) -> bytes:
    """An OBJ whose one face is a star."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = np.where(np.arange(corners) % 2, 40.0, 100.0)
    star = "".join(f"v {r * np.cos(a):.4f} {r * np.sin(a):.4f} 0\n" for r, a in zip(radius, angle))
    return (star + "f " + " ".join(map(str, range(1, corners + 1))) + "\n").encode()


def _star_ply(corners: int) -> bytes:
    """A PLY whose one face crosses itself all over."""
    rng = np.random.default_rng(3)
    header = f"ply\nformat ascii 1.0\nelement vertex {corners}\nproperty float x\nproperty float y\nproperty float z\n"
    header += "element face 1\nproperty list uint int vertex_indices\nend_header\n"
    rows = "".join("{:.3f} {:.3f} {:.3f}\n".format(*row) for row in rng.normal(size=(corners, 3)))
    return (header + rows + f"{corners} " + " ".join(map(str, range(corners))) + "\n").encode()
