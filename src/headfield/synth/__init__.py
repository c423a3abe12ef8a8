"""See the design: synth."""
