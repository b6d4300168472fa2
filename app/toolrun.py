"""One tool run by hand: picture in, measurements and files out. It prints nothing and reads no option."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import re
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, get_args

from ..core.blobs import Blobs
from ..core.case import Image, Modality
from ..core.errors import InputError, StorageError, ToolBrokenError, ToolRefusedError
from ..tools.card import ComparedImagesArguments, ImageArguments, Tool, ToolOutput, ToolResult
from ..tools.health import examine
from ..tools.imaging.store import ImageStore
from ..tools.registry import BAD_ARGUMENTS, Toolbox

RESULT = "result.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUFFIXES = {b"\x89PNG\r\n\x1a\n": ".png", b"\x93NUMPY": ".npy"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was typed: the tool, its pictures (the earlier one last), its arguments, what is stated of the pictures."""

    name: str
    paths: tuple[str, ...]
    arguments: Mapping[str, Any]
    stated: Mapping[str, Any]
    out: Path | None
    debug: bool = False


def run(box: Toolbox, request: Request) -> dict[str, Any]:
    """The result as `--json` prints it; its files lie in `request.out`.

    Raises InputError for a picture or an argument the tool refuses, SetupError where it cannot work on this machine,
    ToolBrokenError when it fails.
    """
    tool = box.get(request.name)
    examine(tool)
    _check_count(tool, len(request.paths))
    with scratch_blobs() as blobs:
        store = ImageStore(blobs)
        # The secret that moves dates ends with the run: only the days between two pictures mean anything.
        dated = len(request.paths) > 1
        taken = [
            store.take_in(_image(path, request.stated), base=Path.cwd(), root=None, header_dates=dated)
            for path in request.paths
        ]
        images, assumed = with_modality(tool, [one.image for one in taken], store, state="type --modality")
        output = _run(box, request, images, store, fix=_fix(tool, taken[0].image) if assumed else "")
        limitations = [*assumed, *(note for one in taken for note in one.limitations), *output.limitations]
        result = _result(tool, images, output, limitations)
        return result if request.out is None else _written(result, blobs, request.out)


@contextlib.contextmanager
def scratch_blobs() -> Iterator[Blobs]:
    """Blobs in a temporary folder that holds all that is written beside them, the secret that moves dates too.

    SIGTERM ends what runs inside by SystemExit, so the folder is removed then as well.
    """
    with _ended_in_order(), tempfile.TemporaryDirectory(prefix="polyclinic-") as folder:
        yield Blobs(Path(folder) / "blobs")


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not come between the clearing up
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only there may a handler be set
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def parse_spacing(typed: str) -> tuple[float, float]:
    """`0.5` or `0.5,0.4`: mm between rows and between columns."""
    try:
        numbers = [float(part) for part in typed.split(",")]
        row, column = numbers * 2 if len(numbers) == 1 else numbers
    except ValueError:
        row = column = 0.0
    if not (0 < row < 1000 and 0 < column < 1000):
        raise InputError(
            expected="--spacing ROW,COLUMN in mm", got=repr(typed), fix="type for example --spacing 0.5,0.5"
        )
    return row, column


def _check_count(tool: Tool, count: int) -> None:
    """Raises InputError unless there are as many pictures as the tool looks at."""
    looks = issubclass(tool.arguments, ImageArguments)
    wanted = 2 if issubclass(tool.arguments, ComparedImagesArguments) else int(looks)
    if count == wanted:
        return
    name = tool.card.name
    words = {0: "no image", 1: "one image", 2: "two images, the earlier one last"}[wanted]
    fix = {0: f"{name} --set …", 1: f"{name} IMAGE", 2: f"{name} IMAGE EARLIER"}[wanted]
    raise InputError(expected=f"{words} for {name}", got=str(count), fix=f"type polyclinic tools run {fix}")


def _image(path: str, stated: Mapping[str, Any]) -> Image:
    modalities = get_args(Modality)
    typed = str(stated.get("modality", modalities[0]))
    if typed not in modalities:
        near = difflib.get_close_matches(typed.lower(), modalities, n=1)
        raise InputError(
            expected="--modality " + ", ".join(modalities), got=repr(typed),
            fix=f"type --modality {near[0]}" if near else "name one of them",
        )  # fmt: skip
    return Image.model_validate({"path": path, **stated})


def with_modality(tool: Tool, images: list[Image], store: ImageStore, *, state: str) -> tuple[list[Image], list[str]]:
    """The images, each whose modality is not known as one of the tool's; and the sentences that say so.

    Raises InputError where such an image surely looks like a kind the tool is not made for; `state` is how its user
    states a modality.
    """
    if not tool.card.modalities:
        return images, []
    known, notes = [], []
    for image in images:
        if image.modality is None:
            taken, note = _by_its_looks(tool, image, store, state)
            notes.append(note)
            known.append(image.model_copy(update={"modality": taken}))
        else:
            known.append(image)
    return known, list(dict.fromkeys(notes))


def _by_its_looks(tool: Tool, image: Image, store: ImageStore, state: str) -> tuple[Modality, str]:
    """The modality an image is taken as, and the sentence that says why. Raises InputError."""
    from ..tools.gate.kind import KINDS, against_stated, look
    from ..tools.pictures import as_picture

    card = tool.card
    seen = look(as_picture(store.open(str(image.blob)))).kind
    fitting = [one for one in card.modalities if against_stated(seen, one, None) != "disagrees"]
    parts = set(KINDS[seen].parts) if seen else set()
    elsewhere = card.body_parts and parts and not image.body_part and parts.isdisjoint(card.body_parts)
    if not fitting or elsewhere:
        domain = f"{' or '.join(card.modalities)}{' of ' + '/'.join(card.body_parts) if card.body_parts else ''}"
        raise InputError(
            expected=f"an image ({domain}) for {card.name}",
            got=f"one that looks like {KINDS[seen].words}, and no modality stated",
            fix=f"{state} {card.modalities[0]} if you know that it is, or choose a tool made for this image",
        )
    taken = next((one for one in fitting if seen and one == KINDS[seen].modality), fitting[0])
    looks = f"it looks like {KINDS[seen].words}" if seen else "its looks do not tell"
    return taken, (
        f"The file does not say what kind of image it is and {looks}; it was taken as {taken} "
        f"({state} {taken} to state it)."
    )


def _fix(tool: Tool, image: Image) -> str:
    """What may mend a refusal of an image taken in without a modality: a NIfTI file is in HU only where stated."""
    lacks = (image.source or "").startswith("NIfTI") and image.modality is None and "ct" in tool.card.modalities
    return "type --modality ct if it is a CT: the file does not say so" if lacks else ""


def _run(box: Toolbox, request: Request, images: list[Image], store: ImageStore, *, fix: str) -> ToolOutput:
    """The tool's output. Where it refuses, `fix` goes before its own words."""
    named = {name: image.blob for name, image in zip(("image", "earlier"), images, strict=False)}
    by_blob = {image.blob: image for image in images if image.blob}
    chosen = Toolbox([box.get(request.name)], apart=not request.debug)
    try:
        return asyncio.run(chosen.run(request.name, {**request.arguments, **named}, by_blob, store))
    except ToolRefusedError as error:
        own = f"type polyclinic tools show {request.name}" if error.fix == BAD_ARGUMENTS else error.fix
        fix = f"{fix}; else {own}" if fix else own
        raise InputError(expected=error.expected, got=error.got, fix=fix) from None
    except ToolBrokenError as error:
        if request.debug and error.__cause__ is not None:
            traceback.print_exception(error.__cause__, file=sys.stderr)
        raise


def _result(tool: Tool, images: list[Image], output: ToolOutput, limitations: list[str]) -> dict[str, Any]:
    result = ToolResult.of(output)
    shown: dict[str, Any] = {"tool": tool.card.name, "version": tool.card.version}
    for name, image in zip(("image", "earlier"), images, strict=False):
        shown[name] = image.model_dump(mode="json", exclude_none=True, exclude={"patient_id"})
    shown |= {
        "measurements": [item.model_dump(mode="json") for item in result.measurements],
        "limitations": limitations,
        "output": result.output,
        "files": {},
    }
    return shown


def _written(result: dict[str, Any], blobs: Blobs, out: Path) -> dict[str, Any]:
    """The result with file names in the place of hashes, after masks, overlays and the result itself were written."""
    names: dict[str, str] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for stem, sha in _pictures(result["output"]):
            if sha not in names and blobs.path(sha).is_file():
                data = blobs.get(sha)
                names[sha] = stem + next((end for magic, end in _SUFFIXES.items() if data.startswith(magic)), ".bin")
                (out / names[sha]).write_bytes(data)
        files = {Path(name).stem: name for name in names.values()} | {"result": RESULT}
        renamed = {
            **result, "files": files, "output": _renamed(result["output"], names),
            "measurements": _renamed(result["measurements"], names),
        }  # fmt: skip
        (out / RESULT).write_text(json.dumps(renamed, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(out, error) from error
    return renamed


def clear(out: Path, *, kept: Iterable[str] = ()) -> None:
    """Remove what an earlier run wrote: its result and the files this lists, but for those at the paths `kept`.

    Called before a run, so that nothing of another is taken for the result of one that was refused.
    Raises StorageError where that cannot be done.
    """
    try:
        earlier = json.loads((out / RESULT).read_text(encoding="utf-8"))
        listed = [*earlier["files"].values(), RESULT] if "tool" in earlier else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    spared = {Path(path).resolve() for path in kept}
    try:
        for name in listed:
            ours = name == RESULT or (isinstance(name, str) and Path(name).suffix in {".png", ".npy", ".bin"})
            if ours and name == Path(name).name and (out / name).resolve() not in spared:
                (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> StorageError:
    return StorageError(
        expected=f"a folder to write in: {out}", got=error.strerror or type(error).__name__,
        fix="name another one with --out",
    )  # fmt: skip


def _pictures(output: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(file stem, sha256) of every mask and picture an output names, the masks numbered in its order."""
    masks = 0
    for owner, key, sha in _hashes(output, "output"):
        if key == "mask":
            masks += 1
            yield f"mask-{masks}-{_plain(owner)}", sha
        else:
            yield _plain(key), sha


def _hashes(value: Any, owner: str) -> Iterator[tuple[str, str, str]]:
    """(name of what holds it, key, hash) of every text in `value` that looks like a blob's name."""
    if isinstance(value, dict):
        own = value.get("name")
        for key, item in value.items():
            if isinstance(item, str) and _SHA256.fullmatch(item):
                yield own if isinstance(own, str) else owner, key, item
            else:
                yield from _hashes(item, key)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, str) and _SHA256.fullmatch(item):
                yield owner, owner, item
            else:
                yield from _hashes(item, owner)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60] or "picture"
