"""Runs inside Blender (blender -b -P this -- avatar.glb frames.json facts.json): plays frames, says where vertices are.

A frame names its morph targets' weights and its joints' turns, 3 x 3 in the axes of glTF, each about its parent.
"""

import json
import sys

import bpy
import numpy as np
from mathutils import Matrix

if not hasattr(np, "bool"):  # Debian's import add-on still asks for it
    np.bool = bool

source, asked, answer = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=source)
(mesh,) = (thing for thing in bpy.data.objects if thing.type == "MESH" and thing.data.shape_keys)
(armature,) = (thing for thing in bpy.data.objects if thing.type == "ARMATURE")
keys = mesh.data.shape_keys.key_blocks
UPRIGHT = Matrix(((1, 0, 0), (0, 0, -1), (0, 1, 0)))  # glTF's y is up, Blender's z


def turn(bone, rotation):
    """Rotate a bone about its head, in the armature's axes; bones are turned from the tips to the root."""
    turned = (UPRIGHT @ Matrix(rotation) @ UPRIGHT.transposed()).to_4x4()
    place = Matrix.Translation(bone.head)
    bone.matrix = place @ turned @ place.inverted() @ bone.matrix
    bpy.context.view_layer.update()


def places():
    """Vertices as Blender shows them, back in the axes of glTF."""
    shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    flat = np.empty(3 * len(shown.data.vertices), dtype=np.float32)
    shown.data.vertices.foreach_get("co", flat)
    world = flat.reshape(-1, 3) @ np.array(shown.matrix_world.to_3x3()).T + np.array(shown.matrix_world.translation)
    return (world @ np.array(UPRIGHT)).tolist()


rest = {bone.name: bone.matrix_basis.copy() for bone in armature.pose.bones}
played = []
for frame in json.load(open(asked)):
    for bone in armature.pose.bones:
        bone.matrix_basis = rest[bone.name]
    bpy.context.view_layer.update()
    for name, weight in frame["weights"].items():
        keys[name].value = weight
    for bone in reversed(armature.pose.bones):
        turn(bone, frame["joints"].get(bone.name, np.eye(3).tolist()))
    played.append(places())
with open(answer, "w") as file:
    json.dump({"keys": [key.name for key in keys], "bones": list(rest), "played": played}, file)
