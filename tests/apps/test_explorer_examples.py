"""The runs that ship with the app: shown, marked as examples, in every view of their pages."""

import pytest

from workbench.runs import list_runs
from workbench.views.choices import path_of
from workbench.views.run_list import EXAMPLES

pytestmark = pytest.mark.slow

PAGES = {"east": "EAST", "goal-directedness": "Goal-directedness", "sweep": "Sweeps", "internal-rl": "Internal RL",
         "self-prediction": "Introspection", "concept-injection": "Introspection", "steer": "Steering"}  # fmt: skip


def test_empty_folder_shows_the_examples_and_says_that_they_are(open_with_examples, tmp_path):
    app = open_with_examples(tmp_path)
    names = app.dataframe[0].value["name"].tolist()
    assert len(names) == len(list_runs(EXAMPLES)) and all(name.endswith(" (example)") for name in names)
    assert "small examples that ship with the app" in app.info[0].value and "workbench run east" in app.code[0].value
    assert not [toggle for toggle in app.toggle if toggle.key == "examples"]


def test_beside_own_runs_the_examples_are_shown_on_demand(open_with_examples, tmp_path, write_east_run):
    write_east_run(tmp_path, "mine")
    app = open_with_examples(tmp_path)
    assert app.dataframe[0].value["name"].tolist() == ["mine"] and not app.info
    app.toggle(key="examples").set_value(True).run()
    assert len(app.dataframe[0].value) == 1 + len(list_runs(EXAMPLES))
    app.turn_to("EAST")
    box = app.selectbox(key="east-run")
    assert box.value == "east/mine" and "east/demo (example)" in box.options


@pytest.mark.parametrize("experiment", sorted(set(list_runs(EXAMPLES)["experiment"])))
def test_every_view_of_a_page_shows_the_example(open_with_examples, tmp_path, experiment):
    address = {"page": PAGES[experiment]}
    if address["page"] == "Introspection":
        address["protocol"] = experiment.replace("-", " ").capitalize()
    app = open_with_examples(tmp_path, **address, **({"view": "Results"} if experiment == "sweep" else {}))
    assert app.selectbox(key=f"{path_of(PAGES[experiment])}-run").value.endswith("(example)")
    for tab in [tab.label for tab in app.tabs]:
        if tab not in ("Start", "Watch"):
            shown = open_with_examples(tmp_path, **(address | {"view": tab}))
            assert not shown.error and not [note for note in shown.info if note.value.startswith("This run")], tab
