"""Ctrl-C: a command that can go on later ends with one line and exit code 1, and what it recorded stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def interruptible(goes_on: str = "resumes the run") -> Iterator[None]:
    """Says that the same command `goes_on`, when a person has seen enough."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"polyclinic: interrupted; the same command {goes_on}", file=sys.stderr)
        raise typer.Exit(1) from None
