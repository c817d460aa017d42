"""Writing figures as HTML that works offline and, where a browser is found, as PNG.

All HTML files of a folder share one ``plotly.min.js`` beside them.  PNG needs Chrome or Chromium (kaleido drives it;
the environment variable BROWSER_PATH names one that is not on the PATH).  Without it a run still has its HTML.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import SpecError
from workbench.figures.style import own_tags_only
from workbench.files import make_folder, write_bytes

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY_JS = "plotly.min.js"  # the name that plotly's include_plotlyjs="directory" asks for
_TIMEOUT_S = 60

Say = Callable[[str], None]


def save_figures(
    figures: Mapping[str, go.Figure], folder: str | os.PathLike[str], png: bool = True, say: Say | None = None
) -> list[Path]:
    """Write each figure as ``name.html`` and ``name.png`` (two pixels a point); return the files, in order.

    Each file is there whole or not at all.  When no PNG can be made, ``say`` gets one line that tells why (default: a
    logged warning) and the HTML files are returned.  Raises :class:`RunError` when the folder cannot be written.
    """
    say = say or logging.getLogger(__name__).warning
    target = Path(folder)
    for name in figures:
        if not name or Path(name).name != name or name.startswith("."):
            raise SpecError(f"{name!r} is not a figure's name: it must be usable as a file name")
    if not figures:
        return []
    make_folder(target)
    _write_script(target)
    figures = {name: own_tags_only(figure) for name, figure in figures.items()}
    written = []
    pictures = _pictures(figures, say) if png else {}
    for name, figure in figures.items():
        written.append(target / f"{name}.html")
        write_bytes(written[-1], _html(name, figure))
        if name in pictures:
            written.append(target / f"{name}.png")
            write_bytes(written[-1], pictures[name])
    return written


def _html(name: str, figure: go.Figure) -> bytes:
    # A fixed id: the same figure gives the same bytes.  A name may hold what a table says.
    own = "figure-" + re.sub(r"[^\w.-]", "-", name)
    options: dict[str, Any] = {"include_plotlyjs": "directory", "div_id": own, "default_height": "100vh"}
    page = figure.to_html(full_html=True, auto_play=False, **options)
    return str(page).encode()


def _write_script(folder: Path) -> None:
    from plotly.offline import get_plotlyjs

    script, path = get_plotlyjs().encode(), folder / PLOTLY_JS
    if not path.exists() or path.stat().st_size != len(script):
        write_bytes(path, script)


def _pictures(figures: Mapping[str, go.Figure], say: Say) -> dict[str, bytes]:
    """PNG bytes by name; what fails is left out and said once."""
    found: dict[str, bytes] = {}

    def work() -> None:
        try:
            asyncio.run(_draw(figures, found))
        except Exception as error:  # whatever a browser may do, the run must not fail for a picture
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            reason = _advice() if type(error).__name__ == "ChromeNotFoundError" else f"{type(error).__name__}: {line}"
            say(f"{len(figures) - len(found)} of {len(figures)} figures have no PNG, their HTML is complete: {reason}")

    thread = threading.Thread(target=work, name="figures-png", daemon=True)  # a notebook's own event loop is in the way
    thread.start()
    thread.join()
    return dict(found)


async def _draw(figures: Mapping[str, go.Figure], found: dict[str, bytes]) -> None:
    from kaleido import Kaleido

    async with Kaleido(n=1, timeout=_TIMEOUT_S, mathjax=False) as browser:
        for name, figure in figures.items():
            found[name] = await browser.calc_fig(figure, opts={"format": "png", "scale": 2})


def _advice() -> str:
    return "no Chrome or Chromium was found (install chromium, or set BROWSER_PATH to it)"
