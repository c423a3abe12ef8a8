"""Tracking: a depth video to a take, which is one identity, and a head pose and an expression for every frame."""
