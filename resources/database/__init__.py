"""The control-plane database: PostgreSQL, embedded or yours."""
