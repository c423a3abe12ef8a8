"""See the design: fit."""
