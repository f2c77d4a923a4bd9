"""Measurements: each number beside its floor in the same run."""
