"""The mind: what is true, what is allowed, what happens next."""
