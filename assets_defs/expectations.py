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

Expectation = tuple[str, dict[str, Any]]

_importing = threading.Lock()


def failed_groups(
    quality: Quality, *, profile: pd.DataFrame, words: pd.DataFrame, latest: datetime
) -> dict[str, list[str]]:
    """Ask the expectations of every group; the groups that failed, and what each expected.

    `profile` and `words` are what the SQL of `quality` measured; `latest` is the last moment
    that does not count as the future.
    """
    of_profile: dict[str, list[Expectation]] = {
        KEYS_UNIQUE: [
            ("ExpectColumnPairValuesToBeEqual", {"column_A": "row_count", "column_B": "key_count"})
        ],
        COLUMNS_FILLED: [
            ("ExpectColumnValuesToBeInSet", {"column": f"{name}__nulls", "value_set": [0]})
            for name in quality.filled
        ],
        TIMES_PAST: [
            (
                "ExpectColumnValuesToBeBetween",
                {"column": f"{name}__latest", "max_value": pd.Timestamp(latest)},
            )
            for name in quality.times
        ],
        NUMBERS_IN_RANGE: _bounds(quality),
    }
    of_words: dict[str, list[Expectation]] = {
        WORDS_KNOWN: [
            ("ExpectColumnValuesToBeInSet", {"column": name, "value_set": list(known)})
            for name, known in quality.words.items()
        ]
    }
    found = _broken(profile, of_profile)
    if quality.words:
        found |= _broken(words, of_words)
    return {group: found[group] for group in quality.groups if group in found}


def _bounds(quality: Quality) -> list[Expectation]:
    bounds: list[Expectation] = [
        (
            "ExpectColumnValuesToBeBetween",
            {"column": f"{name}__{end}", "min_value": low, "max_value": high},
        )
        for name, (low, high) in quality.ranges.items()
        for end in ("least", "most")
    ]
    return bounds + [
        ("ExpectColumnValuesToBeInSet", {"column": f"{name}__endless", "value_set": [0]})
        for name in quality.ranges
    ]


def _broken(
    frame: pd.DataFrame, groups: Mapping[str, Sequence[Expectation]]
) -> dict[str, list[str]]:
    gx = _great_expectations()
    base = importlib.import_module("great_expectations.data_context.types.base")
    # No folder for a docs site nobody will build, no progress bars in the log.
    stores = base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    bars = base.ProgressBarsConfig(globally=False, metric_calculations=False)
    config = base.DataContextConfig(store_backend_defaults=stores, progress_bars=bars)
    context = gx.get_context(mode="ephemeral", project_config=config)
    batch = (
        context.data_sources.add_pandas("lake")
        .add_dataframe_asset("profile")
        .add_batch_definition_whole_dataframe("run")
        .get_batch({"dataframe": frame})
    )
    suite = gx.ExpectationSuite(
        name="quality",
        expectations=[
            getattr(gx.expectations, name)(**kwargs, meta={"group": group})
            for group, expectations in groups.items()
            for name, kwargs in expectations
        ],
    )
    broken: dict[str, list[str]] = {}
    for item in batch.validate(suite).results:
        if not item.success:
            told = item.expectation_config
            sentence = _sentence(told.type, told.kwargs, item.exception_info)
            broken.setdefault(told.meta["group"], []).append(sentence)
    return broken


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
