"""Arrow without pandas: pyarrow imports pandas on its first array, which costs a CPU second."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  the importer's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ImportError("not now")
        return None


def leave_pandas_out() -> None:
    """Let pyarrow make its first array believing that pandas is not installed.

    Call it once, early, before other threads start. It changes nothing but the import: code that
    asks Arrow for a frame (`to_pandas`) still gets one, as pyarrow then imports pandas after all.
    """
    if "pandas" in sys.modules:
        return
    absent = _NoPandas()
    sys.meta_path.insert(0, absent)
    try:
        pa.array([], pa.null())
    finally:
        sys.meta_path.remove(absent)
