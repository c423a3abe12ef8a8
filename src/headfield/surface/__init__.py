"""From a field to a surface: coarse-to-fine extraction, projection, normals, rays, and what a scan saw of it."""
