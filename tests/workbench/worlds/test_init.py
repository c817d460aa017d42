"""``import workbench.worlds`` and its worlds is light, and their names are there when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import workbench.worlds.bandits
import workbench.worlds.grids
import workbench.worlds.pinpad

WORLDS = (workbench.worlds.bandits, workbench.worlds.grids, workbench.worlds.pinpad)
IDS = ("GaussianBandit", "BernoulliBandit", "Grid", "KeyDoor", "KeyNoDoor", "2PathKey", "Pinpad", "AntPinpad")


@pytest.mark.parametrize(("world", "name"), [(world, name) for world in WORLDS for name in world.__all__])
def test_every_public_name_exists(world, name: str) -> None:
    assert getattr(world, name) is not None and name in dir(world)


@pytest.mark.parametrize("world", WORLDS)
def test_an_unknown_name_is_an_attribute_error(world) -> None:
    with pytest.raises(AttributeError, match="no attribute 'play_pinpads'"):
        world.play_pinpads  # noqa: B018


def test_every_structure_of_grids_is_registered_as_an_environment() -> None:
    assert {*workbench.worlds.grids.GOAL_STRUCTURES} < {*IDS}


def test_importing_the_package_registers_every_environment_and_imports_no_heavy_library() -> None:
    heavy = ["torch", "transformers", "minigrid", "pandas", "mujoco"]
    program = (
        "import sys, gymnasium, workbench.worlds, workbench.worlds.bandits, workbench.worlds.grids, "
        f"workbench.worlds.pinpad; [gymnasium.spec(f'workbench/{{name}}-v0') for name in {IDS}]; "
        f"sys.exit(', '.join(set({heavy}) & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
