"""Measures the image gate on real and altered pictures: python bench/figures_gate.py --data PATH [--every N].

PATH holds the public sets (see bench/tool_figures.py). First the pictures as they are: how many are stopped, and how
often each fault is named; then copies of them that were turned, inverted, blurred, made noisy, written on, or copied.
Shares with Wilson intervals. The kinds of pictures the shipped model was trained on are measured by its recipe, on
pictures unseen: `polyclinic train kind_of_picture`.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from tool_figures import GATE_SETS, _print_share

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image as CaseImage
from polyclinic.core.errors import InputError
from polyclinic.tools.gate.duplicate import duplicates
from polyclinic.tools.gate.quality import GATE, GateArguments, Quality
from polyclinic.tools.imaging.store import ImageStore

CHESTS = ("cxr_covid_boxes_permissive", "cxr_nih_pneumonia_normal", "cxr_nih1000_64px")
FAULTS = {"inverted": "is inverted", "rotated": "The patient's chest", "text": "Text seems", "noise": "very noisy",
          "blur": "looks blurred", "over-exposed": "over-exposed", "under-exposed": "under-exposed",
          "contrast": "low contrast", "size": "very small"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--every", type=int, default=1, help="only every Nth picture of each set")
    parser.add_argument("--only-altered", action="store_true", help="only the altered copies")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gate = Gate(ImageStore(Blobs(Path(folder) / "blobs")), Path(folder))
        if not chosen.only_altered:
            as_they_are(chosen.data, gate, chosen.every)
        altered(chosen.data, gate, max(chosen.every, 5))


class Gate:
    """The gate on files and on pictures; it counts its seconds."""

    def __init__(self, store: ImageStore, folder: Path) -> None:
        self._store, self._file = store, folder / "altered.png"
        self.seconds: list[float] = []

    def file(self, path: Path) -> Quality:
        """Raises InputError for what is no picture."""
        taken = self._store.take_in(CaseImage(path=str(path)), base=Path(), root=None)
        started = time.perf_counter()
        found = GATE.run(GateArguments(image=str(taken.image.blob)), self._store)
        self.seconds.append(time.perf_counter() - started)
        if not isinstance(found, Quality):
            raise TypeError(type(found).__name__)
        return found

    def picture(self, picture: Image.Image) -> Quality:
        picture.save(self._file)
        return self.file(self._file)


def as_they_are(data: Path, gate: Gate, every: int) -> None:
    """Stops and named faults by set, and what the pictures are taken for."""
    everything: list[Quality] = []
    for pattern in GATE_SETS:
        found = []
        for path in sorted(data.glob(pattern))[::every]:
            try:
                found.append(gate.file(path))
            except InputError:
                continue  # plans, reports and damaged files are no pictures
        name = pattern.split("/")[0]
        _print_share("image_quality", "stopped", name, [float(one.verdict == "stop") for one in found])
        for fault, words in FAULTS.items():
            shares = [float(_names(one, words)) for one in found]
            if any(shares):
                _print_share("image_quality", f"said: {fault}", name, shares)
        print("    seen:", dict(Counter(one.seen or "unknown" for one in found).most_common()))
        everything += found
    for fault, words in {"stopped": "", **FAULTS}.items():
        shares = [float(_names(one, words) if words else one.verdict == "stop") for one in everything]
        _print_share("image_quality", f"said: {fault}", "all sets", shares)
    print(f"    {np.mean(gate.seconds):.3f} s per picture, at most {max(gate.seconds):.2f} s")


def altered(data: Path, gate: Gate, every: int) -> None:
    """How often a fault that was made is named."""
    for name, (sets, words, alter) in ALTERED.items():
        shares = [float(_names(gate.picture(alter(picture)), words)) for picture in _pictures(data, sets, every)]
        _print_share("image_quality", f"{words!r} named", f"{name} copies", shares)
    copies = []
    for picture in _pictures(data, (), every):
        prints = {"one": gate.picture(picture).fingerprint, "other": gate.picture(_copied(picture)).fingerprint}
        copies.append(float(bool(duplicates(prints))))
    _print_share("image_quality", "copies found", "mirrored, 2/3 of the size, JPEG 40", copies)


def _pictures(data: Path, sets: tuple[str, ...], every: int) -> list[Image.Image]:
    patterns = [pattern for pattern in GATE_SETS if pattern.endswith(("g", "images/*"))]
    patterns = [pattern for pattern in patterns if not sets or pattern.split("/")[0] in sets]
    paths = [path for pattern in patterns for path in sorted(data.glob(pattern))[::every]]
    pictures = [one if one.mode in {"L", "RGB"} else one.convert("RGB") for one in map(Image.open, paths)]
    return [one for one in pictures if min(one.size) >= 128]  # smaller ones are named as too small to judge


def _names(quality: Quality, words: str) -> bool:
    return any(words in sentence for sentence in quality.observations)


def _inverted(picture: Image.Image) -> Image.Image:
    return ImageOps.invert(picture.convert("L"))


def _blurred(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 60))


def _noisy(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture.convert("L"), dtype=np.float32)
    grain = np.random.default_rng(0).normal(0.0, 40.0, values.shape)
    return Image.fromarray(np.clip(values + grain, 0, 255).astype(np.uint8))


def _written_on(picture: Image.Image) -> Image.Image:
    written = picture.convert("RGB")
    pen = ImageDraw.Draw(written)
    size = max(10, round(max(written.size) / 40))
    box = pen.textbbox((4, 4), "MUSTER, ANNA 1961-04-03", font_size=size)
    pen.rectangle(box, fill="black")
    pen.text((4, 4), "MUSTER, ANNA 1961-04-03", fill="white", font_size=size)
    return written


def _copied(picture: Image.Image) -> Image.Image:
    small = picture.convert("RGB").resize((max(1, picture.width * 2 // 3), max(1, picture.height * 2 // 3)))
    buffer = io.BytesIO()
    ImageOps.mirror(small).save(buffer, "JPEG", quality=40)
    return Image.open(io.BytesIO(buffer.getvalue()))


ALTERED: dict[str, tuple[tuple[str, ...], str, Callable[[Image.Image], Image.Image]]] = {
    "inverted chest": (CHESTS, "is inverted", _inverted),
    "chest upside down": (CHESTS, "upside down", lambda picture: picture.transpose(Image.Transpose.ROTATE_180)),
    "chest turned left": (CHESTS, "to the left", lambda picture: picture.transpose(Image.Transpose.ROTATE_90)),
    "chest turned right": (CHESTS, "to the right", lambda picture: picture.transpose(Image.Transpose.ROTATE_270)),
    "blurred": ((), "looks blurred", _blurred),
    "noisy": ((), "very noisy", _noisy),
    "written on": ((), "Text seems", _written_on),
}


if __name__ == "__main__":
    main()
