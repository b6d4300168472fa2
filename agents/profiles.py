"""What is known about the model families that people serve for medicine (profiles.toml): limits, boxes, how to serve.

A profile holds what a client must know before it asks: how many images of what size, what they cost, what a box means,
how thinking is marked. It calls nobody and knows no engine. What could not be confirmed is None and said in the note.
"""

from __future__ import annotations

import json
import math
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from ..core.errors import InputError, SetupError
from ..core.frozen import Frozen
from .boxes import Convention, Order, Size

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
HubId = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
Pattern = Annotated[str, StringConstraints(pattern=r"^\*[a-z0-9.?*-]*[a-z0-9][a-z0-9.?*-]*\*$")]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

FILE = Path(__file__).parent / "profiles.toml"
GENERIC, GENERIC_VISION = "generic", "generic-vision"
# A case with its images and shared evidence fits well inside; room for more is taken from the cases that run beside it.
WORKING_TOKENS = 32_768
BF16_BYTES = 2
MAX_LORA_RANK = 64  # vLLM refuses an adapter of a higher rank than it was started for; its own default is 16


class Model(Frozen):
    """A published checkpoint: hub id, billions of parameters and, for the KV cache, (layers, KV heads, head size)."""

    id: HubId
    billions: float | None = Field(default=None, gt=0)
    kv_shape: tuple[int, int, int] | None = None


class Boxes(Frozen):
    """How the family writes a place: what the numbers mean (boxes.py), their order and the textual forms it emits."""

    convention: Convention = "none"
    order: Order = "xyxy"
    forms: tuple[Literal["bbox_2d", "box_2d", "ref_box", "box_start", "loc", "bare"], ...] = ()


class Thinking(Frozen):
    """The tags around what a model thinks before it answers, and vLLM's parser that separates it, where there is one.

    `always`: the model cannot be asked not to; `opened`: its chat template writes the opening tag, so that the reply
    holds only the closing one.
    """

    opening: Line
    closing: Line
    parser: Line | None = None
    always: bool = False
    opened: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Gigabytes (1e9 bytes) in bfloat16: the weights, and the KV cache per 1000 tokens where the shape is known."""

    weights_gb: float
    kv_gb_per_1000_tokens: float | None


class Profile(Frozen):
    """One family.

    An image costs `pixels_per_token` (a square patch, the image resized to whole patches), `tokens_per_image` (always
    resized to `max_side_px` squared) or `tokens_per_tile` (cut into at most `max_tiles` squares of `tile_px`, plus one
    overview). `min_pixels`, `max_pixels`, `max_side_px` and `min_side_px` are what the client should keep to before it
    sends. `serve` are flags of `vllm serve` beyond those every family gets. `vllm` says whether vLLM lists the
    architecture: `converted` needs other weight files than the authors'.
    """

    name: Name
    family: Line
    models: tuple[Model, ...]
    patterns: tuple[Pattern, ...]
    vision: bool
    takes_video: bool = False
    vllm: Literal["yes", "converted", "unconfirmed"]
    max_images: int | None = Field(default=None, ge=1)
    min_pixels: int | None = Field(default=None, ge=1)
    max_pixels: int | None = Field(default=None, ge=1)
    max_side_px: int | None = Field(default=None, ge=1)
    min_side_px: int | None = Field(default=None, ge=1)
    pixels_per_token: int | None = Field(default=None, ge=1)
    tokens_per_image: int | None = Field(default=None, ge=1)
    tile_px: int | None = Field(default=None, ge=1)
    tokens_per_tile: int | None = Field(default=None, ge=1)
    max_tiles: int | None = Field(default=None, ge=1)
    image_placement: Literal["before_text", "in_place"] | None = None
    boxes: Boxes = Boxes()
    context_tokens: int | None = Field(default=None, ge=1024)
    thinking: Thinking | None = None
    system_role: bool | None = None
    serve: tuple[Line, ...] = ()
    licence: Line | None = None
    note: Line

    @model_validator(mode="after")
    def _images_are_counted_one_way(self) -> Profile:
        tiled = [self.tile_px, self.tokens_per_tile, self.max_tiles]
        ways = [self.pixels_per_token, self.tokens_per_image, self.tile_px]
        if any(tiled) and not all(tiled):
            raise ValueError("tile_px, tokens_per_tile and max_tiles come together")
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give one of pixels_per_token, tokens_per_image and tile_px")
        if self.tokens_per_image and not self.max_side_px:
            raise ValueError("tokens_per_image needs max_side_px, the side the image is resized to")
        if self.pixels_per_token and math.isqrt(self.pixels_per_token) ** 2 != self.pixels_per_token:
            raise ValueError("pixels_per_token must be a square patch")
        if self.vision != (self.max_images is not None) or (any(ways) and not self.vision):
            raise ValueError("max_images and image costs are for families that see, and those need max_images")
        return self

    def seen_px(self, width: int, height: int) -> Size:
        """The (width, height) in which the model sees an image: what boxes in `absolute` pixels refer to.

        Sent in this size, an image is not resized again. Where it is one fixed square, send it in its own shape or
        padded: the server stretches it.
        Raises InputError when a side is not positive.
        """
        if width < 1 or height < 1:
            raise InputError(expected="an image with pixels", got=f"{width}×{height}", fix="give its real size")
        if self.tokens_per_image and self.max_side_px:
            return self.max_side_px, self.max_side_px
        if self.pixels_per_token:
            side = math.isqrt(self.pixels_per_token)
            return _whole_patches(width, height, side, self.min_pixels or 1, self.max_pixels or width * height)
        scale = min(1.0, math.sqrt((self.max_pixels or width * height) / (width * height)))
        scale = min(scale, (self.max_side_px or max(width, height)) / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def image_tokens(self, width: int, height: int) -> int | None:
        """About how many tokens an image of this size costs after `seen_px`; None where it is not known.

        The two or so tokens that mark an image's beginning and end are not counted.
        """
        wide, high = self.seen_px(width, height)
        if self.pixels_per_token:
            return wide * high // self.pixels_per_token
        if self.tile_px and self.tokens_per_tile and self.max_tiles:
            tiles = _tiles(wide, high, self.tile_px, self.max_tiles)
            return self.tokens_per_tile * (tiles + (tiles > 1))
        return self.tokens_per_image

    def serve_command(self, model: str, *, loras: Sequence[str] = (), port: int = 8000) -> str:
        """The `vllm serve …` line for `model`, quoted for a POSIX shell; each of `loras` is NAME=PATH.

        Raises InputError for an adapter without a name or a path.
        """
        for one in loras:
            if not all(one.partition("=")):
                raise InputError(expected="an adapter as NAME=PATH", got=repr(one), fix="name it: --lora chest=PATH")
        words = ["vllm", "serve", model, "--port", str(port)]
        if self.context_tokens:
            words += ["--max-model-len", str(min(self.context_tokens, WORKING_TOKENS))]
        words += ["--enable-prefix-caching", "--scheduling-policy", "priority"]
        words += ["--structured-outputs-config", _json({"backend": "xgrammar", "disable_any_whitespace": True})]
        if self.max_images:
            no_video = {"video": 0} if self.takes_video else {}  # or vLLM keeps memory for videos nobody sends
            words += ["--limit-mm-per-prompt", _json({"image": self.max_images, **no_video})]
        if self.thinking and self.thinking.parser:
            words += ["--reasoning-parser", self.thinking.parser]
        words += self.serve
        if loras:
            words += ["--enable-lora", "--max-loras", str(len(loras)), "--max-lora-rank", str(MAX_LORA_RANK)]
            words += ["--lora-modules", *loras]
        return shlex.join(words)

    def memory_gb(self, billions: float) -> Memory:
        """What a model of this many billion parameters takes; the cache of the listed model of that size, if known."""
        shapes = (model.kv_shape for model in self.models if model.kv_shape and model.billions == billions)
        layers, heads, size = next(shapes, (0, 0, 0))
        per_token = 2 * layers * heads * size * BF16_BYTES  # one key and one value per layer and head
        return Memory(
            weights_gb=billions * BF16_BYTES, kv_gb_per_1000_tokens=per_token * 1000 / 1e9 if per_token else None
        )


@cache
def load_profiles() -> tuple[Profile, ...]:
    """The shipped profiles in the file's order, the generic one last. Raises SetupError when the file is damaged."""
    return read_profiles(FILE)


def read_profiles(path: Path) -> tuple[Profile, ...]:
    """The profiles of one TOML file, in its order. Raises SetupError naming the file and the entry."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refused(path, "valid TOML", str(error)) from error
    profiles = tuple(_profile(path, name, entry) for name, entry in table.items())
    if not profiles or profiles[-1].name != GENERIC or profiles[-1].patterns:
        raise _refused(path, f"[{GENERIC}] as the last entry, without patterns", "no such entry")
    for kind, values in (
        ("pattern", [pattern for one in profiles for pattern in one.patterns]),
        ("model", [model.id.lower() for one in profiles for model in one.models]),
    ):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise _refused(path, f"each {kind} in one entry", f"{', '.join(twice)} twice")
    return profiles


def profile_for(model_name: str) -> Profile:
    """The profile of a served name, a hub id or a path: a listed model, else the longest pattern, else generic."""
    return choose(load_profiles(), model_name)


def choose(profiles: Sequence[Profile], model_name: str) -> Profile:
    """The one of `profiles` that fits `model_name`, whatever its case; the last when none does."""
    wanted = model_name.strip().lower().replace("_", "-")
    for one in profiles:
        if any(model.id.lower().replace("_", "-") == wanted for model in one.models):
            return one
    fits = [(pattern, one) for one in profiles for pattern in one.patterns if fnmatchcase(wanted, pattern)]
    return max(fits, key=lambda fit: _letters(fit[0]))[1] if fits else profiles[-1]


def _letters(pattern: str) -> int:
    """How specific a pattern is: the characters that it fixes."""
    return len(pattern.replace("*", "").replace("?", ""))


def _profile(path: Path, name: str, entry: object) -> Profile:
    if not isinstance(entry, dict):
        raise _refused(path, f"a table [{name}]", repr(entry))
    try:
        return Profile.model_validate({**entry, "name": name})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "entry"
        raise _refused(path, f"a usable {where} in [{name}]", first["msg"]) from error


def _whole_patches(width: int, height: int, side: int, min_pixels: int, max_pixels: int) -> Size:
    """The size in whole patches nearest to the image's, within both limits (Qwen2-VL, arXiv 2409.12191).

    The limits win over the shape: of a strip thinner than a patch, length is given up.
    """
    wide, high = max(side, round(width / side) * side), max(side, round(height / side) * side)
    if wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide, high = (max(side, math.floor(edge / shrink / side) * side) for edge in (width, height))
    elif wide * high < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        wide, high = (math.ceil(edge * grow / side) * side for edge in (width, height))
    longest = max(side, max_pixels // min(wide, high) // side * side)
    return min(wide, longest), min(high, longest)


def _tiles(width: int, height: int, tile_px: int, max_tiles: int) -> int:
    """In how many tiles an image is cut: the grid nearest to its shape, the finer of two where its pixels fill it.

    The rule of InternVL 1.5 and later (arXiv 2404.16821).
    """
    grids = sorted(
        ((across, down) for across in range(1, max_tiles + 1) for down in range(1, max_tiles // across + 1)),
        key=lambda grid: grid[0] * grid[1],
    )
    best, nearest = (1, 1), math.inf
    for across, down in grids:
        away = abs(width / height - across / down)
        fills = width * height > 0.5 * tile_px**2 * across * down
        if away < nearest or (away == nearest and fills):
            best, nearest = (across, down), away
    return best[0] * best[1]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _refused(path: Path, expected: str, got: str) -> SetupError:
    return SetupError(expected=expected, got=got, fix=f"mend {path} or install polyclinic again")
