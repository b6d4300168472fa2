"""Images as data URLs, scaled to what a model will look at and encoded once."""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from typing import Any

from ...core.errors import InputError, ModelError, TraceError
from ..profiles import Profile
from ..tasks import Task
from .wire import images_to_send

MOST_PIXELS = 1_003_520
"""Pixels an image is sent with when the profile states no limit: about 1280 patches of 28 × 28."""

KEPT_BYTES = 256_000_000
"""Encoded images that stay in memory, so that the agents of a case do not encode the same one again."""


class Pictures:
    """Data URLs by blob; the most recently used ones stay."""

    def __init__(self) -> None:
        self._urls: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._size = 0
        self._under_way: dict[tuple[str, int], asyncio.Task[str]] = {}

    async def shown(self, task: Task[Any], profile: Profile) -> dict[str, str]:
        """The data URL of each image that a model of this profile is shown, by blob."""
        sizes = {image.blob: image.size_px for image in task.case.all_images() if image.blob}
        return {blob: await self._url(task, blob, sizes[blob], profile) for blob in images_to_send(task, profile)}

    async def _url(self, task: Task[Any], blob: str, size_px: tuple[int, int] | None, profile: Profile) -> str:
        key = (blob, _most_pixels(size_px, profile))
        if key in self._urls:
            self._urls.move_to_end(key)
            return self._urls[key]
        if key not in self._under_way:  # agents that start together wait for the same encoding
            self._under_way[key] = asyncio.ensure_future(_encoded(task, *key))
            self._under_way[key].add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(self._under_way[key])

    def _keep(self, key: tuple[str, int], done: asyncio.Task[str]) -> None:
        del self._under_way[key]
        if done.cancelled() or done.exception() is not None:
            return
        self._urls[key] = done.result()
        self._size += len(done.result())
        while self._size > KEPT_BYTES and len(self._urls) > 1:
            self._size -= len(self._urls.popitem(last=False)[1])


async def _encoded(task: Task[Any], blob: str, most_pixels: int) -> str:
    """A data URL. Raises ModelError when the pixels cannot be had."""
    if task.call.images is None:
        raise ModelError(expected="the pixels of the case", got="none", fix="ask through a Clinic")
    try:
        png = await asyncio.to_thread(task.call.images.png, blob, most_pixels=most_pixels)
    except (InputError, TraceError) as error:
        raise ModelError(expected=error.expected, got=error.got, fix=error.fix) from error
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _most_pixels(size_px: tuple[int, int] | None, profile: Profile) -> int:
    """As many pixels as the model will look at: more would only travel."""
    if size_px is None:
        return profile.max_pixels or MOST_PIXELS
    width, height = profile.seen_px(*size_px)
    stated = profile.max_pixels or profile.max_side_px or profile.tile_px
    return width * height if stated else MOST_PIXELS
