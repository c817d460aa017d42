"""Packages whose names load when they are first used."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from workbench.lazy import lazy_exports

PACKAGES = (
    "steering",
    "workbench.families.internal_rl.control",
    "workbench.models",
    "workbench.worlds.bandits",
    "workbench.worlds.grids",
    "workbench.worlds.pinpad",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_of_a_package_is_found_and_listed(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_a_module_is_imported_when_its_name_is_asked_for_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "heavy_package"
    folder.mkdir()
    text = (
        "from workbench.lazy import lazy_exports\n__getattr__, __dir__ = lazy_exports(__name__, {'part': ('thing',)})\n"
    )
    (folder / "__init__.py").write_text(text)
    (folder / "part.py").write_text("thing = [1, 2]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    package = importlib.import_module("heavy_package")
    assert "heavy_package.part" not in sys.modules and "thing" in dir(package) and "thing" not in vars(package)
    assert package.thing == [1, 2] and "heavy_package.part" in sys.modules
    assert vars(package)["thing"] is package.thing  # its own from then on


def test_an_unknown_name_is_an_attribute_error_that_names_the_package() -> None:
    get, _ = lazy_exports("workbench", {"sites": ("Site",)})
    with pytest.raises(AttributeError, match="module 'workbench' has no attribute 'Sight'"):
        get("Sight")
