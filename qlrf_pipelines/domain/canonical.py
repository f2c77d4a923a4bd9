"""Canonical JSON (RFC 8785): the one way in which a value is written where bytes are hashed."""

import json
from typing import Any

import rfc8785
from rfc8785 import CanonicalizationError as NoCanonicalForm

__all__ = ["NoCanonicalForm", "canonical"]
_SAFE = 2**53
_write = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")
).encode


def canonical(value: object) -> bytes:
    """A JSON value in canonical form.

    Raises:
        NoCanonicalForm: it is not JSON, or a number or a text has no such form.
    """
    # The library walks in Python. What it and the standard library's C write alike is most of
    # what is hashed here: texts, truths, small whole numbers, keys in ASCII.
    if _plain(value):
        try:
            return _write(value).encode()
        except UnicodeEncodeError:  # half a character: the library says so
            pass
    return rfc8785.dumps(value)  # type: ignore[arg-type]


def _plain(value: Any) -> bool:  # noqa: ANN401
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_SAFE < value < _SAFE)
    if kind is dict:
        # A loop, and texts not asked for again: this is gone through for every step of a rollout.
        for key, one in value.items():
            if type(key) is not str or not key.isascii():
                return False
            if type(one) is not str and not _plain(one):
                return False
        return True
    if kind is list or kind is tuple:
        return all(map(_plain, value))
    return False
