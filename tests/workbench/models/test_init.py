"""``import workbench.models`` is light, and its names are there when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import workbench.models


@pytest.mark.parametrize("name", workbench.models.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(workbench.models, name) is not None and name in dir(workbench.models)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        workbench.models.load_modle  # noqa: B018


def test_importing_the_package_imports_no_heavy_library() -> None:
    heavy = ["torch", "transformers", "transformer_lens", "nnsight", "numpy"]
    program = f"import sys, workbench.models; sys.exit(', '.join(set({heavy}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
