"""See the design: losses."""
