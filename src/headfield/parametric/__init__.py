"""See the design: parametric."""
