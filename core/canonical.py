"""One way to write a value down: canonical JSON and the hash of it. It does not know what the value means."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""A value that JSON can carry: dict, list, str, int, float, bool or None."""


def canonical_json(value: Json) -> str:
    """`value` as JSON with sorted keys and no white space; equal values give equal text.

    Raises ValueError on NaN and infinities, which JSON cannot carry.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def digest(value: Json) -> str:
    """sha256 of the canonical JSON, 64 hexadecimal digits."""
    return sha256(canonical_json(value).encode())


def sha256(data: bytes) -> str:
    """sha256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
