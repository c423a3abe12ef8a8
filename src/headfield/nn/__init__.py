"""See the design: nn."""
