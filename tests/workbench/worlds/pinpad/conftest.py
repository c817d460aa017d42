"""What the tests of the environments share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    """The pinpad in plain Python (plain_pinpad.py)."""
    spec = importlib.util.spec_from_file_location("plain_pinpad", Path(__file__).with_name("plain_pinpad.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
