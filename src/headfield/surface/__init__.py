"""See the design: surface."""
