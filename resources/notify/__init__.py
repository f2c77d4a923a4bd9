"""Messages to people: one module per channel, and the one that knows which."""
