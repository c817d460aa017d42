"""``import steering`` loads no controllers, and its names are there when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import steering

LATE = [
    "steering.low_rank",
    "steering.stateful",
    "transformers",
    "gymnasium",
]


@pytest.mark.parametrize("name", steering.__all__)
def test_every_public_name_exists(name: str) -> None:
    value = getattr(steering, name)
    assert getattr(value, "__module__", "steering.").startswith("steering.") and name in dir(steering)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Metacontroler'"):
        steering.Metacontroler  # noqa: B018


def test_no_name_is_that_of_a_module_which_would_hide_it() -> None:
    for home, names in steering._MODULES.items():
        assert home not in names


def test_importing_the_package_loads_no_controllers() -> None:
    program = f"import sys, steering; sys.exit(', '.join(set({LATE}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
