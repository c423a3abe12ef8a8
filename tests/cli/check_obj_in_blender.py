"""Runs inside Blender (blender -b -P this -- a.obj [b.obj ...] facts.json): imports OBJ files, says what it sees."""

import json
import sys

import bpy

*sources, answer = sys.argv[sys.argv.index("--") + 1 :]
facts = []
for source in sources:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if hasattr(bpy.ops.wm, "obj_import"):
        bpy.ops.wm.obj_import(filepath=source, forward_axis="Y", up_axis="Z")
    else:
        bpy.ops.import_scene.obj(filepath=source, axis_forward="Y", axis_up="Z", split_mode="OFF")
    meshes = [each.data for each in bpy.data.objects if each.type == "MESH"]
    facts.append(
        {
            "vertices": [list(vertex.co) for mesh in meshes for vertex in mesh.vertices],
            "polygons": [list(polygon.vertices) for mesh in meshes for polygon in mesh.polygons],
            "slots": [polygon.material_index for mesh in meshes for polygon in mesh.polygons],
            "materials": [material.name for mesh in meshes for material in mesh.materials],
            "uv": [list(corner.uv) for mesh in meshes for layer in mesh.uv_layers for corner in layer.data],
        }
    )
with open(answer, "w") as file:
    json.dump(facts, file)
