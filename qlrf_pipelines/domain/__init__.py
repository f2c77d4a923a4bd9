"""Frozen values and pure functions: no I/O, no clock, no random, no Dagster."""
