"""See the design: train."""
