"""The memory: what exists per tenant."""
