"""Edits of heads by region, named expressions, and expression tracks."""
