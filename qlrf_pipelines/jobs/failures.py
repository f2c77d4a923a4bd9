"""Where jobs take their error handling from; assets share it, and stand below jobs."""

from assets_defs.failures import RETRY, told_to_dagster

__all__ = ["RETRY", "told_to_dagster"]
