"""``import workbench.agents`` is light, and its names are there when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import workbench.agents


@pytest.mark.parametrize("name", workbench.agents.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(workbench.agents, name).__module__.startswith("workbench.agents.") and name in dir(workbench.agents)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'play_pinpads'"):
        workbench.agents.play_pinpads  # noqa: B018


def test_importing_the_package_imports_no_heavy_library() -> None:
    heavy = ["torch", "transformers", "numpy", "pandas"]
    program = f"import sys, workbench.agents; sys.exit(', '.join(set({heavy}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
