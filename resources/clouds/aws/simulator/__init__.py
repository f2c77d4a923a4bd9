"""A local AWS API for demonstrations: moto's server, two seeded accounts, and a world that moves."""
