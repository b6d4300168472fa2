"""Where an image may be read from: inside its root, never from a URL, and never too large. It decodes nothing."""

from __future__ import annotations

import importlib.resources
import os
import stat
from pathlib import Path, PurePosixPath

from ...core.errors import InputError, MissingExtraError

MAX_FILE_BYTES = 512 * 2**20
_PACKAGES = frozenset({"skimage", "pydicom"})
_PACKAGE_SCHEME = "package://"


def locate(typed: str, *, base: Path, root: Path | None) -> Path:
    """The file that `typed` means.

    A relative path starts at `base`. With a `root`, the file must lie inside it after symbolic links are followed.
    `package://skimage/data/retina.jpg` names a file inside an installed package of the allow-list. Raises InputError.
    """
    if typed.startswith(_PACKAGE_SCHEME):
        return _inside_package(typed)
    if "://" in typed:
        raise InputError(
            expected="an image file on this machine",
            got=f"the address {typed!r}; image addresses are not fetched",
            fix="download the picture and name the file",
        )
    try:
        found = (base / typed).resolve()
        inside = root is None or found.is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):  # a NUL byte, an over-long name, a loop of links
        raise InputError(
            expected="the path of an image file", got=f"{typed!r}, which is no usable path", fix="check the path"
        ) from None
    if not inside:
        raise InputError(
            expected="an image file inside the case's folder",
            got=f"{typed!r}, which leads outside it",
            fix="copy the picture into the case's folder",
        )
    return found


def read_bounded(path: Path, *, typed: str) -> bytes:
    """The bytes of a regular file of 1 byte to 512 MiB; `typed` is how the user called it. Raises InputError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could wait for ever
            raise _unreadable(typed, "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise _too_large(typed)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(typed, "no such file") from None
    except OSError as error:
        raise _unreadable(typed, os.strerror(error.errno).lower() if error.errno else "unreadable") from None
    if not data:
        raise _unreadable(typed, "an empty file of 0 bytes")
    if len(data) > MAX_FILE_BYTES:
        raise _too_large(typed)
    return data


def read_head(path: Path, *, typed: str, count: int = 132) -> bytes:
    """The first bytes of a regular file of any size. Raises InputError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unreadable(typed, "not a regular file")
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        raise _unreadable(typed, "no such file") from None
    except OSError as error:
        raise _unreadable(typed, os.strerror(error.errno).lower() if error.errno else "unreadable") from None


def _inside_package(typed: str) -> Path:
    package, _, inner = typed.removeprefix(_PACKAGE_SCHEME).partition("/")
    parts = PurePosixPath(inner).parts
    if package not in _PACKAGES or not parts or ".." in parts or inner.startswith("/") or "\0" in inner:
        raise InputError(
            expected="package://NAME/path with NAME one of " + ", ".join(sorted(_PACKAGES)) + " and no '..'",
            got=repr(typed),
            fix="type for example package://skimage/data/retina.jpg",
        )
    try:
        folder = Path(str(importlib.resources.files(package)))
    except ModuleNotFoundError:
        raise MissingExtraError.of({"skimage": "scikit-image"}.get(package, package), "imaging") from None
    return locate(str(folder.joinpath(*parts)), base=folder, root=folder)


def _unreadable(typed: str, got: str) -> InputError:
    return InputError(
        expected="a readable image file", got=f"{typed!r}: {got}", fix="check the path and its permissions"
    )


def _too_large(typed: str) -> InputError:
    return InputError(
        expected="an image file of at most 512 MiB",
        got=f"{typed!r}, which is larger",
        fix="export the one picture or frame the question is about",
    )
