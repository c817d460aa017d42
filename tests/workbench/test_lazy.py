"""Packages whose names load when they are first used."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.lazy import lazy_exports

PACKAGES = (
    "probes",
    "steering",
    "workbench",
    "workbench.activations",
    "workbench.families",
    "workbench.models",
    "workbench.runs",
    "workbench.worlds.bandits",
    "workbench.worlds.grids",
    "workbench.worlds.pinpad",
)


HEAVY = ("torch", "numpy", "pandas", "sklearn", "transformers", "transformer_lens", "nnsight")
every_package = pytest.mark.parametrize("package", PACKAGES)


@every_package
def test_every_public_name_of_a_package_is_found_and_listed(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None


@every_package
def test_a_star_import_brings_every_public_name(package: str) -> None:
    found: dict[str, Any] = {}
    exec(f"from {package} import *", found)  # noqa: S102
    module = importlib.import_module(package)
    assert {name: found[name] for name in module.__all__} == {name: getattr(module, name) for name in module.__all__}


@every_package
def test_no_name_is_that_of_a_module_which_would_hide_it(package: str) -> None:
    module = importlib.import_module(package)
    assert not {found.name for found in pkgutil.iter_modules(module.__path__)} & set(module.__all__)


@pytest.mark.parametrize("package", ["probes", "steering", "workbench", "workbench.activations", "workbench.models"])
def test_importing_a_package_imports_no_heavy_library(package: str) -> None:
    program = f"import sys, {package}; sys.exit(', '.join(set({HEAVY}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_workbench_is_imported_in_under_a_third_of_a_second() -> None:
    program = "import time; start = time.perf_counter(); import workbench; print(time.perf_counter() - start)"
    times = [float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(3)]
    assert min(times) < 0.3


def test_the_names_of_a_first_script_are_those_of_their_packages() -> None:
    import probes
    import steering
    import workbench
    import workbench.models

    assert workbench.load_model is workbench.models.load_model
    assert workbench.evaluate is probes.evaluate and workbench.Add is steering.Add


def test_a_module_is_imported_when_its_name_is_asked_for_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "heavy_package"
    folder.mkdir()
    text = (
        "from typing import TYPE_CHECKING\nfrom workbench.lazy import lazy_exports\n"
        "if TYPE_CHECKING:\n    from heavy_package.part import thing\n"
        "__getattr__, __dir__, __all__ = lazy_exports(__name__, 'own')\nown = 3\n"
    )
    (folder / "__init__.py").write_text(text)
    (folder / "part.py").write_text("thing = [1, 2]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    package = importlib.import_module("heavy_package")
    assert "heavy_package.part" not in sys.modules and "thing" in dir(package) and "thing" not in vars(package)
    assert package.thing == [1, 2] and "heavy_package.part" in sys.modules
    assert vars(package)["thing"] is package.thing  # its own from then on
    assert package.__all__ == ["own", "thing"]


def test_an_unknown_name_is_an_attribute_error_that_names_the_package() -> None:
    get, _, _ = lazy_exports("workbench")
    with pytest.raises(AttributeError, match="module 'workbench' has no attribute 'Sight'"):
        get("Sight")
