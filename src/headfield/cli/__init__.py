"""See the design: cli."""
