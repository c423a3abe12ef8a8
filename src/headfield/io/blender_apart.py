"""For Blender's own Python: an FBX file as GLB. Pictures that lie outside of the file's folder are let go.

blender --background --factory-startup --disable-autoexec --python blender_apart.py -- SCAN OUT.glb
"""

import os
import sys


def main(path: str, out: str) -> None:
    """Import and export."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.fbx(filepath=path, use_image_search=False, use_anim=False)
    folder = os.path.realpath(os.path.dirname(path))
    for image in list(bpy.data.images):
        if image.packed_file is None and image.source == "FILE":
            place = os.path.realpath(bpy.path.abspath(image.filepath))
            beside = os.path.join(folder, os.path.basename(image.filepath.replace("\\", "/")))
            if not (place.startswith(folder + os.sep) and os.path.isfile(place)):
                if os.path.isfile(beside) and os.path.realpath(beside).startswith(folder + os.sep):
                    image.filepath = beside
                else:
                    print(f"\nheadfield-missing: {os.path.basename(place)}", flush=True)
                    bpy.data.images.remove(image)
    bpy.ops.export_scene.gltf(filepath=out, export_format="GLB", export_animations=False, export_apply=False)


main(*sys.argv[sys.argv.index("--") + 1 :])
