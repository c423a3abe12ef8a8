"""See the design: view."""
