"""Use cases over ports, shared by jobs, web and CLI."""
