"""Our errors, told to Dagster so that it tries again only when that can help."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from qlrf_pipelines.domain.errors import QlrfError

# Storage and database hiccups pass within seconds; clouds have their own retries below this.
RETRY = dg.RetryPolicy(
    max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


@contextmanager
def told_to_dagster() -> Iterator[None]:
    """Turn our errors into failures Dagster retries only if they are retryable."""
    try:
        yield
    except QlrfError as error:
        raise dg.Failure(
            str(error),
            metadata={"error": type(error).__name__},
            allow_retries=error.retryable,
        ) from error
