"""Pictures as networks take them, and maps back at the picture's size: scaling and padding. It trains nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .network import Network


MARGIN_PX = 64
"""How far bands overlap: more than small networks see, and a multiple of what they need."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A square of `side` px whose first row and column are `top` and `left`; it may reach beyond the picture."""

    top: int
    left: int
    side: int

    @classmethod
    def around(cls, shape: tuple[int, ...]) -> Frame:
        """The smallest square around a whole picture of `shape` (H, W), in its middle."""
        side = max(shape)
        return cls(top=(shape[0] - side) // 2, left=(shape[1] - side) // 2, side=side)

    def cut(self, maps: NDArray[np.float32], side: int) -> NDArray[np.float32]:
        """What it shows of maps (C, H, W), brought to (C, `side`, `side`); 0 beyond the picture."""
        import numpy as np

        whole = np.zeros((len(maps), self.side, self.side), dtype=np.float32)
        rows, columns = self._inside(maps.shape[1:])
        whole[:, rows.start - self.top : rows.stop - self.top, columns.start - self.left : columns.stop - self.left] = (
            maps[:, rows, columns]
        )
        return resampled(whole, (side, side))

    def put_back(self, maps: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Maps (C, h, w) of what it shows, on a picture of `shape` (H, W); 0 outside."""
        import numpy as np

        large = resampled(maps, (self.side, self.side))
        back = np.zeros((len(maps), *shape), dtype=np.float32)
        rows, columns = self._inside(shape)
        back[:, rows, columns] = large[
            :, rows.start - self.top : rows.stop - self.top, columns.start - self.left : columns.stop - self.left
        ]
        return back

    def _inside(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """The picture's rows and columns that it shows."""
        return (
            slice(max(0, self.top), min(shape[0], self.top + self.side)),
            slice(max(0, self.left), min(shape[1], self.left + self.side)),
        )


def turned_ways(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Square maps (C, s, s) turned by quarters, and their mirror images: (8, C, s, s)."""
    import numpy as np

    return np.stack([np.rot90(m, k, (1, 2)) for m in (x, x[:, :, ::-1]) for k in range(4)])


def turned_back(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean (C, s, s) of maps (8, C, s, s) of what `turned_ways` made, each turned back."""
    import numpy as np

    plain = [np.rot90(maps[k], -k, (1, 2)) for k in range(4)]
    mirrored = [np.rot90(maps[4 + k], -k, (1, 2))[:, :, ::-1] for k in range(4)]
    return np.asarray(np.mean(np.stack(plain + mirrored), axis=0), dtype=np.float32)


def channels_first(picture: NDArray[Any]) -> NDArray[np.float32]:
    """uint8 (H, W) or (H, W, C) as float32 (C, H, W) from 0 to 1."""
    import numpy as np

    array = picture[..., None] if picture.ndim == 2 else picture
    return np.ascontiguousarray(np.moveaxis(array, -1, 0), dtype=np.float32) / np.float32(255.0)


def resampled(maps: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """float32 maps (C, H, W) brought to `shape` (H, W), bilinear, averaged first where they shrink."""
    import numpy as np
    from PIL import Image

    if maps.shape[1:] == shape:
        return maps
    how = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(layer).resize(shape[::-1], how), dtype=np.float32) for layer in maps])


def run_whole(
    network: Network, x: NDArray[np.float32], *, multiple: int, most_pixels: int | None = None
) -> tuple[NDArray[np.float32], ...]:
    """The maps (C, H, W) of a fully convolutional network for one picture (C, H, W).

    The picture is mirrored at its far edges up to sides that `multiple` divides, and the maps are cut back. Beyond
    `most_pixels` it is run in bands that overlap by MARGIN_PX, so that memory is bounded.
    """
    import numpy as np

    height, width = x.shape[1:]
    bands = -(-height * width // most_pixels) if most_pixels else 1
    tall = -(-height // bands)
    tall += -tall % multiple
    parts = []
    for top in range(0, height, tall):
        above = min(top, MARGIN_PX)
        maps = _run_framed(network, x[:, top - above : top + tall + MARGIN_PX], multiple)
        parts.append([layer[:, above : above + tall] for layer in maps])
    return tuple(np.concatenate(layers, axis=1) for layers in zip(*parts, strict=True))


def _run_framed(network: Network, x: NDArray[np.float32], multiple: int) -> list[NDArray[np.float32]]:
    import numpy as np

    height, width = x.shape[1:]
    rows, columns = np.arange(height + -height % multiple), np.arange(width + -width % multiple)
    framed = x[:, _mirrored(rows, height)][:, :, _mirrored(columns, width)]
    return [layer[0, :, :height, :width] for layer in network.run(framed[None])]


def _mirrored(index: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    import numpy as np

    if side == 1:
        return np.zeros_like(index)
    there_and_back = index % (2 * side - 2)
    return np.minimum(there_and_back, 2 * side - 2 - there_and_back)
