"""See the design: io."""
