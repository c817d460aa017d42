"""What is loaded late leaves everything around it as it was."""

from __future__ import annotations

import subprocess
import sys


def test_back_ends_load_late_and_change_nothing_around_them() -> None:
    """One process, since each import takes seconds: nnsight would put .save on every object and replace the excepthook,
    TransformerLens would silence warnings and the log of transformers."""
    program = """
import logging, sys, warnings
from workbench.models.loading import with_backend
from workbench.models.tiny import tiny_model
model = tiny_model("llama")
model.generate(["a"], max_new_tokens=1)
assert not {"nnsight", "transformer_lens"} & set(sys.modules), "loaded early"
logging.getLogger("transformers").setLevel(logging.WARNING)
before = list(warnings.filters), sys.excepthook
for name in ("nnsight", "transformer_lens"):
    with_backend(model, name).generate(["a"], max_new_tokens=1)
    assert name in sys.modules
assert not hasattr(1, "save"), ".save is on every object"
assert (warnings.filters, sys.excepthook) == before, "warning filters or excepthook"
assert logging.getLogger("transformers").level == logging.WARNING, "log level"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
