"""Animations of episodes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.files import write_bytes

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8


def write_gif(path: Path | str, pictures: Sequence[UInt8[np.ndarray, "height width 3"]], seconds: float) -> None:
    """Write pictures as an animated GIF, each shown for ``seconds``, the last 1 s longer."""
    from PIL import Image

    frames = [Image.fromarray(each) for each in pictures]
    times = [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * seconds) + 1000]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    write_bytes(Path(path), data.getvalue())
