"""Where images may be read from: what is inside, what leads out, what is no file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from polyclinic.core.errors import InputError
from polyclinic.tools.imaging import locate as module
from polyclinic.tools.imaging.locate import locate, read_bounded


def test_a_relative_path_starts_at_the_base(tmp_path: Path) -> None:
    assert locate("scans/a.png", base=tmp_path, root=tmp_path) == (tmp_path / "scans/a.png").resolve()


@pytest.mark.parametrize("typed", ["../secret.png", "/etc/hostname", "inside/../../secret.png", "link/secret.png"])
def test_nothing_outside_the_root_is_reached(typed: str, tmp_path: Path) -> None:
    root = tmp_path / "case"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leads outside"):
        locate(typed, base=root, root=root)


def test_a_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert locate("b.png", base=tmp_path, root=tmp_path).name == "a.png"


@pytest.mark.parametrize("typed", ["http://example.org/a.png", "https://example.org/a.png", "file:///etc/hostname"])
def test_addresses_are_not_fetched(typed: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not fetched"):
        locate(typed, base=tmp_path, root=None)


@pytest.mark.parametrize("typed", ["a\0b.png", "x" * 5000 + "/y.png", "\udc80.png"])
def test_an_unusable_path_is_refused_in_one_line(typed: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_bounded(locate(typed, base=tmp_path, root=None), typed=typed)
    assert "\n" not in str(caught.value)


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError):
        read_bounded(locate("a", base=tmp_path, root=None), typed="a")


def test_a_packaged_picture_is_found_even_with_a_root(tmp_path: Path) -> None:
    found = locate("package://skimage/data/retina.jpg", base=tmp_path, root=tmp_path)
    assert read_bounded(found, typed="retina").startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    "typed",
    ["package://os/path.py", "package://skimage/../numpy/__init__.py", "package://skimage", "package://skimage//etc/x"],
)
def test_only_allowed_packages_and_no_way_up(typed: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NAME one of pydicom, skimage"):
        locate(typed, base=tmp_path, root=None)


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for name, got in {
        "missing.png": "no such file", "empty.png": "0 bytes", "pipe": "not a regular file", ".": "a folder",
        "empty.png/x": "not a directory",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=got) as caught:
            read_bounded(tmp_path / name, typed=name)
        assert repr(name) in str(caught.value)


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "huge.dcm").open("wb") as file:
        file.truncate(module.MAX_FILE_BYTES + 1)  # sparse: takes no room
    monkeypatch.setattr(Path, "open", lambda *a, **k: pytest.fail("the file was opened"))
    with pytest.raises(InputError, match="at most 512 MiB"):
        read_bounded(tmp_path / "huge.dcm", typed="huge.dcm")


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"12345")
    real = os.stat_result
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 4)
    monkeypatch.setattr(Path, "stat", lambda self, **k: real((0o100644, 0, 0, 1, 0, 0, 3, 0, 0, 0)))
    with pytest.raises(InputError, match="at most 512 MiB"):
        read_bounded(tmp_path / "a.png", typed="a.png")
