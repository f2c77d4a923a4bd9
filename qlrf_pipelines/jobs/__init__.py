"""Dagster ops and jobs: one line of service per op."""
