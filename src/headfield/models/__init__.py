"""See the design: models."""
