"""Polyclinic: multi-agent clinical reasoning with evidence for every statement and a trace that replays.

Research software, not a medical device. The names below are the public face; they are imported on first use, so that
`polyclinic --help` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .agents.clinic import Clinic as Clinic
    from .core.case import Case as Case
    from .core.case import Image as Image
    from .core.case import Visit as Visit
    from .core.report import Report as Report

__all__ = ["Case", "Clinic", "Image", "Report", "Visit"]

_HOMES = {
    "Clinic": "agents.clinic",
    "Case": "core.case",
    "Image": "core.case",
    "Visit": "core.case",
    "Report": "core.report",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'polyclinic' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
