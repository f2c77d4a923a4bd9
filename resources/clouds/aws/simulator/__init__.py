"""A local AWS API for demonstrations: two seeded accounts, and a world that moves."""
