"""A program of its own: the surface of a VTK file, as arrays for :mod:`headfield.io.vtk_scan`. Nothing of headfield.

python -P vtk_apart.py SCAN OUT.npz
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import numpy as np


def refuse(text: str) -> NoReturn:
    """End, and say why."""
    print(f"\nheadfield: {' '.join(text.split())}", flush=True)
    sys.exit(3)


def read(path: str) -> Any:
    """The data set of a file; a grid's surface."""
    if path.lower().endswith(".vtp"):
        from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

        reader = vtkXMLPolyDataReader()
    else:
        from vtkmodules.vtkIOLegacy import vtkGenericDataObjectReader

        reader = vtkGenericDataObjectReader()
    reader.SetFileName(path)
    reader.Update()
    data = reader.GetOutputDataObject(0)
    if reader.GetErrorCode() or data is None or not data.IsA("vtkPointSet"):
        what = "damaged, or cut short" if data is None or reader.GetErrorCode() else f"a {data.GetClassName()}"
        refuse(f"cannot be read as VTK: {what}; expected points, polygons or cells (PolyData, UnstructuredGrid)")
    if not data.IsA("vtkPolyData") and data.GetNumberOfCells():
        from vtkmodules.vtkFiltersGeometry import vtkGeometryFilter

        surface = vtkGeometryFilter()
        surface.SetInputData(data)
        surface.Update()
        data = surface.GetOutput()
    return data


def main(path: str, out: str) -> None:
    """Write the arrays: points, counts and corners of polygons, strips (-1 between them), normals, colours."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    data = read(path)
    if not data.GetNumberOfPoints():
        refuse("holds no points: it is empty, damaged, or cut short")
    arrays: dict[str, Any] = {"points": vtk_to_numpy(data.GetPoints().GetData())}
    if data.IsA("vtkPolyData"):
        polygons, strips = data.GetPolys(), data.GetStrips()
        arrays["counts"] = np.diff(vtk_to_numpy(polygons.GetOffsetsArray())).astype(np.int64)
        arrays["corners"] = vtk_to_numpy(polygons.GetConnectivityArray()).astype(np.int64)
        ends = vtk_to_numpy(strips.GetOffsetsArray())[1:-1]
        arrays["strips"] = np.insert(vtk_to_numpy(strips.GetConnectivityArray()).astype(np.int64), ends, -1)
    held = data.GetPointData()
    if held.GetNormals() is not None:
        arrays["normals"] = vtk_to_numpy(held.GetNormals())
    names = [held.GetArrayName(number) or "" for number in range(held.GetNumberOfArrays())]
    bytes_of = [
        (name.lower() not in ("rgb", "rgba", "colors", "colours", "color"), number)
        for number, name in enumerate(names)
        if (array := held.GetArray(number)) is not None
        and array.GetNumberOfComponents() in (3, 4)
        and array.GetDataTypeAsString() == "unsigned char"
    ]
    if bytes_of:
        arrays["colours"] = vtk_to_numpy(held.GetArray(min(bytes_of)[1]))
    np.savez(out, **arrays)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except Exception as cause:
        refuse(f"cannot be read as VTK: {(str(cause) or type(cause).__name__)[:200]}")
