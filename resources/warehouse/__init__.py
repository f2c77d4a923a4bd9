"""Where the marts live: a DuckDB file or PostgreSQL, built by dbt."""
