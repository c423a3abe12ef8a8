"""Pictures of heads, scans and errors, without OpenGL; the viewer will live here too."""
