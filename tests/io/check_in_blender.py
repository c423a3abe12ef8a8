"""Runs inside Blender (blender -b -P this -- head.glb facts.json [picture.png]): imports a GLB, says what it sees."""

import json
import sys

import bpy
import numpy as np

if not hasattr(np, "bool"):  # Debian's import add-on still asks for it
    np.bool = bool

source, answer, *picture = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=source)
meshes = {o.name: o for o in bpy.data.objects if o.type == "MESH"}
head = meshes["head"]
keys = head.data.shape_keys.key_blocks


def places(key):
    flat = np.empty(3 * len(head.data.vertices), dtype=np.float32)
    key.data.foreach_get("co", flat)
    return flat.reshape(-1, 3)


rest = places(keys[0])
facts = {
    "keys": [key.name for key in keys],
    "objects": {name: list(o.location) for name, o in meshes.items()},
    "low": rest.min(0).tolist(),
    "high": rest.max(0).tolist(),
    "moved": {},
    "uv": bool(head.data.uv_layers),
}
for key in keys[1:]:
    length = np.linalg.norm(places(key) - rest, axis=1)
    which = int(length.argmax())
    facts["moved"][key.name] = [int((length > 1e-6).sum()), float(length.max()), rest[which].tolist()]
with open(answer, "w") as file:
    json.dump(facts, file)

if picture:
    keys["jawOpen"].value = 0.6
    keys["mouthSmileLeft"].value = keys["mouthSmileRight"].value = 0.5
    for polygon in head.data.polygons:
        polygon.use_smooth = True
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0.33, -0.62, 0.02), (np.pi / 2, 0, 0.46)
    camera.data.lens = 68
    bpy.context.collection.objects.link(camera)
    for place, energy in (((-0.6, -0.9, 0.7), 5), ((0.9, -0.5, 0.2), 2)):
        light = bpy.data.objects.new("light", bpy.data.lights.new("light", "AREA"))
        light.location, light.data.energy, light.data.size = place, energy, 0.5
        light.rotation_euler = (light.location * -1).to_track_quat("-Z", "Y").to_euler()
        bpy.context.collection.objects.link(light)
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0.22, 0.24, 0.28, 1)
    scene.camera, scene.render.engine, scene.cycles.samples = camera, "CYCLES", 32
    scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y, scene.render.filepath = 640, 720, picture[0]
    scene.view_settings.view_transform = "Standard"
    bpy.ops.render.render(write_still=True)
