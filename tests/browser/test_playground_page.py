"""The playground in a browser: sliders steer, vectors are made and saved, tabs do not mix."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from steering import SteeringVector
from workbench.sites import Site

pytestmark = pytest.mark.slow

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

SHORT = {"input": "Text", "tokens": "16", "seed": "3"}


@pytest.fixture(scope="module", autouse=True)
def push(runs: Path) -> None:
    """A saved vector, the same whenever the tests are run, of a length that the model feels."""
    direction = torch.randn(128, generator=torch.Generator().manual_seed(0))
    (runs / "vectors").mkdir(exist_ok=True)
    SteeringVector(Site(2), direction / direction.norm(), name="push").save(runs / "vectors" / "push.safetensors")


def pushed(dose: str) -> dict[str, str]:
    """The address of a short text, steered."""
    return SHORT | {"vectors": "push", "dose-push": dose}


def said(tab: Any) -> dict[str, str]:
    """What stands under each heading: unsteered, and steered."""
    column = tab.page.get_by_test_id("stColumn").filter(has=tab.page.get_by_test_id("stHtml"))
    found = {
        each.get_by_role("heading").inner_text(): each.get_by_test_id("stHtml").inner_text() for each in column.all()
    }
    assert found and all(found.values())
    return found


def test_slider_changes_the_steered_text_and_leaves_the_unsteered_one(tab: Any) -> None:
    tab.go("Playground", **pushed("0.6"))
    expect(tab.page.get_by_role("combobox", name="Model")).to_have_value("bandit-agent")
    before = said(tab)
    assert before["steered"] != before["unsteered"]
    tab.slide("Dose of push", "Home")
    after = said(tab)
    assert "dose-push=-1" in tab.page.url and after["steered"] != before["steered"]
    assert after["unsteered"] == before["unsteered"]


def test_dose_zero_is_the_unsteered_model(tab: Any) -> None:
    alone = said(tab.go("Playground", **pushed("0.0")))
    assert alone == said(tab.go("Playground", **SHORT)) and list(alone) == ["unsteered"]


def test_two_tabs_do_not_mix_their_interventions(open_tab: Callable[..., Any], server: Any) -> None:
    one, two = open_tab(server), open_tab(server)
    alone = said(one.go("Playground", **SHORT))
    strong = said(two.go("Playground", **pushed("0.8")))
    assert strong["unsteered"] == alone["unsteered"] != strong["steered"]
    # Both work at once: each slider is moved while the other tab's text is still being written.
    one.page.get_by_role("slider", name="New tokens").press("ArrowRight")
    two.page.get_by_role("slider", name="Dose of push").press("Home")
    one.settle(1.0), two.settle(1.0)
    longer, back = said(one), said(two)
    assert list(longer) == ["unsteered"] and longer["unsteered"].startswith(alone["unsteered"])
    assert back["unsteered"] == alone["unsteered"] and back["steered"] not in (strong["steered"], alone["unsteered"])
    assert "push" not in one.page.url


def test_vector_from_two_lists_is_saved_beside_the_runs_and_loads(tab: Any, runs: Path) -> None:
    tab.go("Playground", **SHORT, **{"view": "Make a vector"})
    tab.fill("Towards", "I am not sure.\nPerhaps the other one.").fill("Away from", "I am sure.\nThis is the best one.")
    tab.fill("Name", "doubt").press("Make the vector")
    tab.shoot("playground made vector")
    assert "doubt: length" in tab.text and not (runs / "vectors" / "doubt.safetensors").exists()
    tab.press("Save doubt")
    assert "Saved as" in tab.text
    vector = SteeringVector.load(runs / "vectors" / "doubt.safetensors")
    assert vector.name == "doubt" and vector.norm > 0 and vector.site.layer == 3
    assert vector.metadata["positive"] == ["I am not sure.", "Perhaps the other one."]
    tab.go("Playground", **SHORT, **{"vectors": "doubt"})
    assert set(said(tab)) == {"unsteered", "steered"}


@pytest.mark.parametrize("view", ["Logit lens", "Attention", "Scores", "Components"])
def test_view_draws_the_inside_of_both_sides(tab: Any, view: str) -> None:
    tab.go("Playground", **pushed("0.6"), **{"view": view})
    names = tab.page.get_by_test_id("stMain").get_by_role("heading", level=3).all_inner_texts()
    if view in ("Logit lens", "Attention"):  # the others have both sides in one figure
        assert names == ["unsteered", "steered"] and len(tab.charts()) == 2
    assert tab.charts()
    tab.shoot(f"playground {view}")


def test_pages_answer_while_the_model_plays_and_the_work_can_be_cancelled(
    open_tab: Callable[..., Any], server: Any
) -> None:
    tab, other = open_tab(server), open_tab(server)
    tab.page.goto(
        f"{server.url}/playground?playground-input=Bandit&playground-steps=50&playground-completions=50&playground-episode=9"
    )
    playing = tab.page.get_by_text("Playing:")
    expect(playing).to_contain_text(re.compile("[1-9][0-9]* of 50 steps"))
    assert other.go("Runs").heading == "Runs"
    expect(playing).to_be_visible()
    tab.page.get_by_test_id("stMain").get_by_role("button", name="Cancel").click()
    expect(tab.page.get_by_text("Playing: cancelled.")).to_be_visible()
    tab.settle()
    tab.page.get_by_role("spinbutton", name="Steps played").fill("1")
    tab.page.get_by_role("spinbutton", name="Steps played").press("Enter")
    expect(tab.page.get_by_text("Best arm chosen")).to_be_visible()
    tab.settle()
