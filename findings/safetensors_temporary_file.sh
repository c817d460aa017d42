#!/usr/bin/env bash
# safetensors 0.8.0: `save_file("a.safetensors")` writes a hidden file `.tmpXXXXXX` beside the target and renames it.  A process that is killed
# meanwhile leaves that file, whatever care the caller took with names of its own; folders that are compared or sized see it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "safetensors==0.8.0" "numpy==2.4.6"
"$work/venv/bin/python" - "$work" <<'PY'
import os
import re
import sys
import tempfile
import threading

import numpy
import safetensors
from safetensors.numpy import save_file

seen, done = set(), False
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:

    def watch():
        while not done:
            seen.update(os.listdir(folder))

    thread = threading.Thread(target=watch)
    thread.start()
    save_file({"x": numpy.zeros(40_000_000)}, f"{folder}/a.safetensors")
    done = True
    thread.join()
    left = os.listdir(folder)
hidden = sorted(name for name in seen if re.fullmatch(r"\.tmp\w{6}", name))
print(f"safetensors {safetensors.__version__}: while writing {hidden}, afterwards {left}")
assert len(hidden) == 1 and left == ["a.safetensors"], "the behaviour has changed"
PY
# Seen (Python 3.11): safetensors 0.8.0: while writing ['.tmpQcjSX4'], afterwards ['a.safetensors']
