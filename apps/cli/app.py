"""``workbench app``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import apps
from workbench.console import Runs, log, option
from workbench.errors import WorkbenchError
from workbench.runs import check_root

__all__ = ["app", "command"]


def app(runs: Runs = Path("runs"), port: Annotated[int, option("of http://127.0.0.1:PORT")] = 8501) -> int:
    """Look at runs in the browser.  The page is served to this machine only; Ctrl-C ends it."""
    if not 1 <= port <= 65535:
        raise WorkbenchError(f"port {port} does not exist: choose one from 1 to 65535")
    script = Path(apps.__file__).parent / "explorer" / "main.py"
    if not script.exists():
        raise WorkbenchError(f"the app is not part of this installation: {script} is missing")
    root = check_root(runs).resolve()
    log(f"http://127.0.0.1:{port} shows the runs in {root}; Ctrl-C ends it")
    try:
        return subprocess.run(command(script, port), env=os.environ | {"WORKBENCH_RUNS": str(root)}).returncode
    except KeyboardInterrupt:  # how it is meant to end
        return 0


def command(script: Path, port: int) -> list[str]:
    """The command that serves ``script``, to this machine only."""
    server = ["--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true"]
    start = [sys.executable, "-m", "streamlit", "run", str(script)]
    # Otherwise every click ends with a walk over all objects (0.3 s once torch is loaded) and over all modules' files.
    quick = ["--runner.postScriptGC", "false", "--server.fileWatcherType", "none"]
    return [*start, *server, *quick, "--browser.gatherUsageStats", "false"]
