"""Blobs are found by what they are, and noticed when they are no longer that."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyclinic.core.blobs import Blobs
from polyclinic.core.errors import StorageError, TraceError


def test_equal_bytes_are_stored_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    assert blobs.put(b"pixels") == blobs.put(b"pixels")
    assert blobs.get(blobs.put(b"pixels")) == b"pixels"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_missing_and_changed_blobs_are_named(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    name = blobs.put(b"pixels")
    blobs.path(name).write_bytes(b"other")
    with pytest.raises(TraceError, match=name[:12]):
        blobs.get(name)
    blobs.path(name).unlink()
    with pytest.raises(TraceError, match="restore the blobs folder"):
        blobs.get(name)


def test_a_folder_that_refuses_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--runs"):
        Blobs(tmp_path / "file").put(b"pixels")
