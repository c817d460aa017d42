"""What the wheel holds, what importing costs, and that the measured versions cover what is asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("workbench", "probes", "steering", "apps")
HEAVY = ("torch", "transformers", "transformer_lens", "nnsight", "sklearn", "pandas", "streamlit", "plotly")
SHIPPED = ("config.json", "model.safetensors", "README.md", "chat_template.jinja", "merges.txt")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is built from, with a shipped model planted: the repository gets no build folder."""
    copy = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    planted = copy / "workbench" / "models" / "shipped" / "planted"
    planted.mkdir(parents=True)
    for name in SHIPPED:
        (planted / name).write_text("{}")
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    # build puts its own progress on stdout; cwd is elsewhere so that a folder named build is never imported.
    done = subprocess.run(command, cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(out.glob("activation_workbench-*.whl")))


def test_importing_workbench_loads_nothing_heavy() -> None:
    code = f"import sys, workbench; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_wheel_holds_every_module_of_every_package(wheel: zipfile.ZipFile, source: Path) -> None:
    modules = {str(p.relative_to(source)) for name in PACKAGES for p in (source / name).rglob("*.py")}
    assert modules and modules - set(wheel.namelist()) == set()


def test_wheel_holds_the_shipped_models(wheel: zipfile.ZipFile, source: Path) -> None:
    shipped = source / "workbench" / "models" / "shipped"
    files = {str(p.relative_to(source)) for p in shipped.rglob("*") if p.is_file()}
    assert len(files) >= len(SHIPPED) and files - set(wheel.namelist()) == set()


def test_wheel_holds_the_examples_of_the_explorer(wheel: zipfile.ZipFile, source: Path) -> None:
    examples = source / "workbench" / "views" / "examples"
    files = {str(p.relative_to(source)) for p in examples.rglob("*") if p.is_file()}
    assert any(name.endswith(".parquet") for name in files) and files - set(wheel.namelist()) == set()


def test_wheel_holds_only_the_four_packages_and_its_metadata(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_wheel_has_the_command_the_licence_and_the_version_of_the_package(wheel: zipfile.ZipFile) -> None:
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "workbench" / "__init__.py").read_text(), re.MULTILINE)
    assert found
    folder = f"activation_workbench-{found[1]}.dist-info"
    assert "workbench = apps.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode().splitlines()
    assert b"Apache License" in wheel.read(f"{folder}/licenses/LICENSE")


def _pins() -> dict[str, str]:
    """Distribution -> its exact version in constraints.txt; anything but ``name==version`` fails."""
    lines = (line.strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    pins = {}
    for line in lines:
        if line and not line.startswith("#"):
            found = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", line)
            assert found, f"constraints.txt: {line!r} is not name==version"
            pins[canonicalize_name(found[1])] = found[2]
    return pins


def test_constraints_pin_each_dependency_of_the_core_and_of_dev_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [Requirement(line) for line in project["dependencies"] + extras["dev"] + extras["quantized"]]
    pins = _pins()
    wrong = [
        f"{r} (pinned: {pins.get(canonicalize_name(r.name))})"
        for r in asked
        if r.name != project["name"] and not r.specifier.contains(pins.get(canonicalize_name(r.name), "0"))
    ]
    assert wrong == []


def test_torch_is_pinned_without_a_local_build_tag() -> None:
    assert _pins()["torch"] == "2.13.0"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_without_a_target_lists_the_targets_and_installs_nothing() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, env=env)
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"demo", "test", "check", "bench", "app", "clean"} <= listed and "pip" not in done.stdout
