"""For Blender's own Python: an FBX file as OBJ, with its pictures beside it. Those outside of its folder are let go.

    blender --background --factory-startup --disable-autoexec --python blender_apart.py -- SCAN FOLDER

(OBJ and not GLB, since Blender's writer of GLB needs NumPy, which some distributions leave out.)
"""

import os
import sys


def main(path: str, out: str) -> None:
    """Import and export."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    try:
        bpy.ops.import_scene.fbx(filepath=path, use_image_search=False, use_anim=False)
    except RuntimeError as error:
        said = str(error).split("Error: ")[-1].strip().splitlines()
        print(f"\nheadfield: Blender cannot read it: {said[0] if said else 'it is damaged'}", flush=True)
        sys.exit(3)
    folder = os.path.realpath(os.path.dirname(path))
    for number, image in enumerate(list(bpy.data.images)):
        if image.packed_file is None and image.source == "FILE":
            name = os.path.basename(image.filepath.replace("\\", "/"))
            places = [os.path.realpath(bpy.path.abspath(image.filepath)), os.path.realpath(os.path.join(folder, name))]
            inside = [place for place in places if place.startswith(folder + os.sep) and os.path.isfile(place)]
            if not inside:
                print(f"\nheadfield-missing: {name}", flush=True)
                bpy.data.images.remove(image)
                continue
            image.filepath = inside[0]
        try:
            if image.packed_file is None:
                image.pack()
            image.filepath_raw, image.file_format = os.path.join(out, f"picture{number}.png"), "PNG"
            image.save()
        except RuntimeError:
            print(f"\nheadfield-missing: {image.name}", flush=True)
            bpy.data.images.remove(image)
    bpy.ops.wm.obj_export(filepath=os.path.join(out, "scan.obj"), export_animation=False, path_mode="RELATIVE")


main(*sys.argv[sys.argv.index("--") + 1 :])
