"""Great Expectations over small frames. The only module that imports it, and only when called.

Importing it takes seven seconds of CPU, so no module top may.
"""

import contextlib
import importlib
import os
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from assets_defs.quality import (
    COLUMNS_FILLED,
    KEYS_UNIQUE,
    NUMBERS_IN_RANGE,
    TIMES_PAST,
    WORDS_KNOWN,
    Quality,
)

_importing = threading.Lock()


def failed_groups(
    quality: Quality, *, profile: pd.DataFrame, words: pd.DataFrame, latest: datetime
) -> dict[str, list[str]]:
    """Ask the expectations of every group; the groups that failed, and what each expected.

    `profile` and `words` are what the SQL of `quality` measured; `latest` is the last moment
    that does not count as the future.
    """
    asked: dict[str, tuple[pd.DataFrame, Sequence[tuple[str, Mapping[str, Any]]]]] = {
        KEYS_UNIQUE: (
            profile,
            [
                (
                    "ExpectColumnPairValuesToBeEqual",
                    {"column_A": "row_count", "column_B": "key_count"},
                )
            ],
        ),
        COLUMNS_FILLED: (
            profile,
            [
                ("ExpectColumnValuesToBeInSet", {"column": f"{name}__nulls", "value_set": [0]})
                for name in quality.filled
            ],
        ),
        WORDS_KNOWN: (
            words,
            [
                ("ExpectColumnValuesToBeInSet", {"column": name, "value_set": list(known)})
                for name, known in quality.words.items()
            ],
        ),
        TIMES_PAST: (
            profile,
            [
                (
                    "ExpectColumnValuesToBeBetween",
                    {"column": f"{name}__latest", "max_value": pd.Timestamp(latest)},
                )
                for name in quality.times
            ],
        ),
        NUMBERS_IN_RANGE: (profile, list(_bounds(quality))),
    }
    failed: dict[str, list[str]] = {}
    for group in quality.groups:
        frame, expectations = asked[group]
        broken = _broken(frame, expectations)
        if broken:
            failed[group] = broken
    return failed


def _bounds(quality: Quality) -> Sequence[tuple[str, Mapping[str, Any]]]:
    return [
        (
            "ExpectColumnValuesToBeBetween",
            {"column": f"{name}__{end}", "min_value": low, "max_value": high},
        )
        for name, (low, high) in quality.ranges.items()
        for end in ("least", "most")
    ] + [
        ("ExpectColumnValuesToBeInSet", {"column": f"{name}__endless", "value_set": [0]})
        for name in quality.ranges
    ]


def _broken(
    frame: pd.DataFrame, expectations: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[str]:
    gx = _great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    batch = (
        context.data_sources.add_pandas("lake")
        .add_dataframe_asset("profile")
        .add_batch_definition_whole_dataframe("run")
        .get_batch({"dataframe": frame})
    )
    suite = gx.ExpectationSuite(
        name="quality",
        expectations=[getattr(gx.expectations, name)(**kwargs) for name, kwargs in expectations],
    )
    result = batch.validate(suite)
    return [
        _sentence(item.expectation_config.type, item.expectation_config.kwargs, item.exception_info)
        for item in result.results
        if not item.success
    ]


def _sentence(kind: str, kwargs: Mapping[str, Any], trouble: Mapping[str, Any] | None) -> str:
    told = {name: value for name, value in kwargs.items() if name != "batch_id"}
    arguments = ", ".join(f"{name}={value}" for name, value in told.items())
    raised = (trouble or {}).get("raised_exception")
    return f"{kind}({arguments})" + (" could not be evaluated" if raised else "")


def warm_up() -> None:
    """Import Great Expectations in the background, while the first assets are being computed."""
    threading.Thread(target=_quietly_import, name="import-great-expectations", daemon=True).start()


def _quietly_import() -> None:
    # The check that needs it will meet the same error, and fail with it.
    with contextlib.suppress(ImportError):
        _great_expectations()


def _great_expectations() -> Any:  # noqa: ANN401  the package is untyped
    with _importing:
        # Read by the package at import; no setting of ours, and no choice either.
        os.environ["GX_ANALYTICS_ENABLED"] = "false"  # noqa: TID251
        return importlib.import_module("great_expectations")
