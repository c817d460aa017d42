"""What a notebook needs to know before it begins: how large it is to run, where runs are kept, how figures are shown.

One environment variable, ``WORKBENCH_SMALL=1``, makes every notebook small: all steps run, in seconds, and no number
means anything.  It is what the tests set.  ``WORKBENCH_RUNS`` names the folder of runs; without it a notebook uses the
``runs`` of the checkout it lies in, where ``workbench run`` keeps them when it is called from there.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

RENDERER = "plotly_mimetype+notebook"
"""Shows Plotly figures in JupyterLab, Jupyter Notebook, VS Code, and in exported HTML; it asks no network."""


def start() -> tuple[bool, Path]:
    """Whether the notebook is to run small, and the folder of runs; makes Plotly figures appear inline.

    It also silences the progress bars of Hugging Face, which a notebook would keep as text.  In a plain Python process
    figures are shown as Plotly would show them anyway.

    >>> import os
    >>> os.environ |= {"WORKBENCH_SMALL": "1", "WORKBENCH_RUNS": "/tmp/runs"}
    >>> start()
    (True, PosixPath('/tmp/runs'))
    >>> del os.environ["WORKBENCH_SMALL"], os.environ["WORKBENCH_RUNS"]
    >>> start()[0]
    False
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, for lack of ipywidgets
    if _in_a_kernel():
        import plotly.io

        if plotly.io.renderers.default != RENDERER:
            plotly.io.renderers.default = RENDERER
    return os.environ.get("WORKBENCH_SMALL", "0") not in ("", "0"), _runs()


def _runs() -> Path:
    """``WORKBENCH_RUNS``, or ``runs`` beside the folder of notebooks; of any other folder its own."""
    if named := os.environ.get("WORKBENCH_RUNS"):
        return Path(named).expanduser()
    here = Path.cwd()
    return (here.parent if here.name == "notebooks" else here) / "runs"


def _in_a_kernel() -> bool:
    """Whether this process is Jupyter's kernel, which is the only one that can show a figure inline."""
    import sys

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
