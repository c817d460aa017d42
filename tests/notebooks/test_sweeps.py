"""Every shipped sweep file is valid, and what comes of one is a table in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from apps.cli.main import main
from workbench.runs import load_results

pytestmark = pytest.mark.slow

SWEEPS = sorted((Path(__file__).parents[2] / "notebooks" / "sweeps").glob("*.yaml"))
TINY = {
    "bandit-entropy": {"source": {"episodes": 2, "horizon": 5, "completions": 2}, "sites": [1]},
    "cognitive-map": {"source": {"sizes": [7], "layouts": 8, "densities": [0.4]}, "sites": [1]},
}


def test_there_is_a_sweep_for_each_table() -> None:
    names = {"cognitive-map", "cognitive-map-by-size", "plan", "distance", "directions", "bandit-entropy", "truth"}
    assert {path.stem for path in SWEEPS} == names


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_file_is_valid_and_says_what_it_remakes(
    path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    if yaml.safe_load(path.read_text())["models"] == ["smollm2-135m"]:
        request.getfixturevalue("smollm2_folder")
    assert main(["sweep", str(path), "--dry-run"]) == 0
    assert "1 captures, " in capsys.readouterr().out
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(f"workbench sweep notebooks/sweeps/{path.name}  " in line and "two cores)" in line for line in head)


@pytest.mark.parametrize("name", TINY)
def test_a_small_run_of_the_file_is_a_tidy_table(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.figures.saving._pictures", lambda figures, say: {})
    (path,) = (path for path in SWEEPS if path.stem == name)
    fields = yaml.safe_load(path.read_text())
    fields["source"] |= TINY[name]["source"]
    fields |= {"sites": TINY[name]["sites"], "resamples": 20, "device": "cpu", "holdout": 0.4}
    for params in fields["probes"].values():
        if params and "epochs" in params:
            params |= {"epochs": 2, "hidden": [[8]]}
    file = tmp_path / path.name
    file.write_text(yaml.safe_dump(fields))
    assert main(["sweep", str(file), "--runs", str(tmp_path), "--name", "first", "--jobs", "1", "--no-progress"]) == 0

    rows = load_results(tmp_path / "sweep" / "first")
    assert set(rows["status"]) == {"ok"} and set(rows["target"]) == set(fields["targets"])
    assert {"none", *fields["controls"]} <= set(rows["control"])
    metric = "balanced_accuracy" if name == "cognitive-map" else "r2"
    probe = rows[(rows["control"] == "none") & (rows["metric"] == metric) & (rows["label"] == "")]
    scores = probe.pivot_table(index="position", columns=["probe", "params"], values="estimate")
    assert scores.shape == (len(set(rows["position"])), 2) and scores.notna().all(axis=None)


def test_every_word_of_the_truth_set_is_said_as_often_truly_as_falsely_within_what_is_never_split() -> None:
    import pandas as pd

    table = pd.read_csv(Path(__file__).parents[2] / "notebooks" / "sweeps" / "truth.csv", dtype=str)
    assert len(table) >= 200 and not table["statement"].duplicated().any()
    assert table["truth"].isin(["true", "false"]).all() and (table.groupby("pair")["truth"].nunique() == 2).all()
    for _, four in table.groupby("pair"):
        counts = [
            sorted(" ".join(four.loc[four["truth"] == truth, "statement"]).split()) for truth in ("true", "false")
        ]
        assert counts[0] == counts[1] and len(four) == 4
