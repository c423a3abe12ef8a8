"""See the design: evaluate."""
