"""The demonstration: a local cloud, two tenants and a world that moves."""
