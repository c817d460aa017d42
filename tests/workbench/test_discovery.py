"""Objects found in the folders of a package and in entry points."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from workbench import discovery


@dataclass(frozen=True)
class Thing:
    name: str


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package ``found_here`` of which one subpackage brings two things and one nothing."""
    for folder, text in (("a", "from workbench_things import Thing\nTHINGS = (Thing('x'), Thing('y'))"), ("b", "")):
        (tmp_path / "found_here" / folder).mkdir(parents=True)
        (tmp_path / "found_here" / folder / "__init__.py").write_text(text)
    (tmp_path / "found_here" / "__init__.py").write_text("")
    monkeypatch.setitem(sys.modules, "workbench_things", SimpleNamespace(Thing=Thing))
    monkeypatch.syspath_prepend(tmp_path)
    yield "found_here"
    for name in [name for name in sys.modules if name.startswith("found_here")]:
        del sys.modules[name]


def _points(monkeypatch, **brought):
    points = [SimpleNamespace(name=name, load=load) for name, load in brought.items()]
    monkeypatch.setattr(discovery, "entry_points", lambda group: points)


def test_subpackages_and_entry_points_bring_things(package, monkeypatch):
    _points(monkeypatch, other=lambda: Thing("z"))
    assert list(discovery.discover(package, "THINGS", Thing, "things")) == ["x", "y", "z"]


def test_an_entry_point_that_fails_or_takes_a_name_is_logged_and_left_out(package, monkeypatch, caplog):
    def broken():
        raise ImportError("no module named 'gone'")

    _points(monkeypatch, broken=broken, wrong=lambda: 3, twice=lambda: Thing("x"))
    found = discovery.discover(package, "THINGS", Thing, "things")
    assert list(found) == ["x", "y"]
    assert all(said in caplog.text for said in ("'broken' cannot be loaded", "expected Thing, got int", "brings 'x'"))
