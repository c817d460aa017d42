"""Figures of an internal-RL run: they show the tables' numbers beside their controls, and label episodes honestly."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.workbench.families.internal_rl.figures import internal_rl_run as made
from workbench.errors import DataError
from workbench.families import figures_of
from workbench.families.internal_rl import figures as drawn
from workbench.families.internal_rl.figures.player import HUES, TILES, caption
from workbench.runs import load_run

TABLES = made.tables()
FIGURES = {"gates", "claims", "learning_curves", "final_success", "switches", "codes", "rate_distortion",
           "base_model", "beliefs", "belief_history", "controllers"}  # fmt: skip
EPISODES = {f"episode-{task}-{chosen}" for task in ("held-out", "seen-transitions") for chosen in ("first", "farthest")}


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    return figures_of(load_run(made.write_run(tmp_path_factory.mktemp("runs"))))


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def middle(values):
    return pytest.approx((min(values) + max(values)) / 2)


def test_a_whole_run_gives_every_figure_with_a_title(figures):
    assert set(figures) == FIGURES | EPISODES
    assert all(figure.layout.title.text for figure in figures.values())


def test_drawing_changes_no_table(figures):
    for name, table in made.tables().items():
        pd.testing.assert_frame_equal(table, TABLES[name])


@pytest.mark.parametrize("missing", [*TABLES])
def test_a_missing_table_costs_its_own_figures_only(tmp_path, missing):
    record = load_run(made.write_run(tmp_path, leave_out=[missing]))
    needed = {"curves": {"learning_curves"}, "final": {"final_success"}, "discovery": {"switches", "codes"},
              "beliefs": {"beliefs", "belief_history"}, "base": {"base_model"}}  # fmt: skip
    found = {name for name in drawn.figures(record) if not name.startswith("episode-")}
    assert found == FIGURES - needed.get(missing, {missing})
    episodes, rates = drawn.shown_episodes(record)
    assert len(episodes) == (0 if missing == "episodes" else 4)
    assert set(rates) == (set() if missing in ("episodes", "final") else set(made.TASKS))


def test_a_broken_table_and_an_older_one_cost_their_figures_only(tmp_path):
    older = TABLES["discovery"][~TABLES["discovery"]["measure"].str.contains("window|precision|recall")]
    path = made.write_run(tmp_path, discovery=older, curves=TABLES["curves"].drop(columns="progress"))
    (path / "artifacts" / "beliefs.parquet").write_bytes(b"cut off")
    found = figures_of(load_run(path))
    assert (FIGURES | EPISODES) - set(found) == {"beliefs", "belief_history", "learning_curves"}
    assert [note.text for note in found["switches"].layout.annotations] == ["F1, exact step"]


def test_a_run_without_tables_has_no_figures(tmp_path):
    assert figures_of(load_run(made.write_run(tmp_path, leave_out=[*TABLES]))) == {}


def test_learning_curves_are_the_median_over_seeds_in_a_band_of_the_middle_half(figures):
    line = traces(figures["learning_curves"], "internal RL")[0]
    assert list(line.x) == [100, 200, 300] and list(line.y) == pytest.approx([0.3 * k / 4 for k in (1, 2, 3)])
    low, high = zip(*line.customdata, strict=True)
    assert low == pytest.approx([0.3 * k / 4 for k in (0.5, 1.5, 2.5)])  # quartiles of seeds 0, 1, 2
    assert high == pytest.approx([0.3 * k / 4 for k in (1.5, 2.5, 3.5)])
    bands = [trace for trace in figures["learning_curves"].data if trace.fill == "toself"]
    assert len(bands) == 2 * 2 * 2  # methods with several seeds, tasks, measures
    assert "internal RL 3; random codes 3; forced switching 1" in figures["learning_curves"].layout.title.text


def test_every_panel_of_learning_curves_has_the_experts_ceiling_and_every_baseline(figures):
    figure = figures["learning_curves"]
    ceilings = [trace.y[0] for trace in traces(figure, "expert (ceiling)")]
    assert ceilings == pytest.approx([0.9, 0.45, 4 * 0.9, 6 * 0.45])
    for method in set(made.METHODS) - {"expert"}:
        assert len(traces(figure, method)) == 4, method
    without = drawn.learning_curves(TABLES["curves"])
    assert not traces(without, "expert (ceiling)") and len(traces(without, "internal RL")) == 4


def test_final_success_has_intervals_numbers_and_single_seeds(figures):
    figure = figures["final_success"]
    point = traces(figure, "internal RL")[0]
    assert point.x[0] == pytest.approx(0.3) and point.error_x.array[0] == pytest.approx(0.02)
    texts = [text for trace in figure.data if trace.mode == "text" for text in trace.text]
    assert any("0.300 [0.280, 0.320]" in text for text in texts)
    ticks = list(figure.layout.yaxis.ticktext)
    assert ticks[0] == "expert (ceiling)" and ticks[1] == "internal RL, 3 seeds" and "raw actions, 1 seed" in ticks
    seeds = [list(trace.x) for trace in figure.data if trace.marker.symbol == "line-ns"]
    assert [0.3, 0.31, 0.32] in seeds and len(seeds) == 2 * 2  # two methods of several seeds on two tasks


def test_beliefs_stand_beside_controls_and_the_bayes_filter(figures):
    figure = figures["beliefs"]
    assert list(figure.layout.xaxis.ticktext) == ["embedding", "layer 0", "layer 1"]
    assert list(traces(figure, "probe")[0].y) == pytest.approx([0.3, 0.5, 0.7])
    assert list(traces(figure, "exact Bayes filter (best possible)")[0].y) == [0.8] * 3
    assert {trace.name for trace in figure.data if trace.name} > {
        "untrained model", "shuffled labels", "commonest subgoal",
    }  # fmt: skip
    history = figures["belief_history"]
    assert list(traces(history, "after layer 1")[0].y) == pytest.approx([0.25, 0.35, 0.45])
    assert len(traces(history, "exact Bayes filter (best possible)")) == 1


def test_controllers_stand_beside_random_ones_none_and_the_ceiling_in_every_panel(figures):
    figure = figures["controllers"]
    assert [note.text for note in figure.layout.annotations][2] == "held-out task"
    assert list(traces(figure, "supervised controllers")[2].y) == pytest.approx([0.0, 0.5, 0.0])
    for name in ("random controllers of the same norm", "no controller", "worlds that can be solved (ceiling)"):
        assert len(traces(figure, name)) == 4, name


def test_switches_show_each_seed_beside_its_random_gate(figures):
    figure = figures["switches"]
    own, random = traces(figure, "learned gate")[0], traces(figure, "random gate of the same rate")[0]
    names = list(figure.layout.yaxis.ticktext)
    assert names[:2] == ["frozen base, seed 0 (4.0 switches)", "frozen base, seed 1 (5.0 switches)"]
    at = {round(place): x for place, x in zip(own.y, own.x, strict=True)}
    assert at[0] == pytest.approx(0.9) and at[1] == pytest.approx(0.8) and set(random.x) == {0.1}
    assert [note.text for note in figure.layout.annotations][1] == "F1, within one step"


def test_codes_show_decoding_over_chance_and_composition_and_leave_out_what_is_not_there(figures):
    figure = figures["codes"]
    frozen, compiled = traces(figure, "frozen base"), traces(figure, "CompILE")
    assert list(frozen[0].y) == pytest.approx([0.7, 0.6, 0.5]) and list(compiled[0].y) == pytest.approx([0.7, 0.6])
    assert list(frozen[2].y) == pytest.approx([0.3, 0.2, 0.1])  # two seeds in the first panel, then the second
    assert list(frozen[4].y) == pytest.approx([0.3, 0.04, 0.2, 0.06])
    older = TABLES["discovery"][~TABLES["discovery"]["measure"].str.endswith("_scaled")]
    assert list(traces(drawn.codes(older), "frozen base")[4].y) == pytest.approx([0.3, 0.04])
    assert sum(bool(trace.showlegend) for trace in figure.data) == 4


def test_rate_distortion_has_both_gates_switches_as_numbers_and_the_base(figures):
    figure = figures["rate_distortion"]
    hard, soft = traces(figure, "frozen base, seed 0")
    assert list(soft.x) == [1.0, 1.5, 2.0] and list(soft.y) == pytest.approx([0.5, 0.45, 0.4])
    assert list(soft.text) == ["1.5", "2.5", "3.5"] and hard.marker.symbol.endswith("-open")
    assert traces(figure, "exact Bayes filter")[0].y[0] == 0.46
    alone = drawn.rate_distortion(TABLES["rate_distortion"])
    assert not traces(alone, "exact Bayes filter") and len(alone.data) == 4


def test_gates_name_the_first_that_failed_and_claims_say_what_held(figures):
    assert (
        "first that failed: discovery, held-out success with composed codes, scaled"
        in figures["gates"].layout.title.text
    )
    cells = figures["gates"].data[0].cells.values
    assert [("✓" in verdict) for verdict in cells[0]] == [True] * 5 + [False]
    assert cells[3][0] == "0.015 [0.005, 0.025]" and cells[4][0] == "at most 0.02"
    held, failed = figures["claims"].data[:2]
    assert "1 of 2 held" in figures["claims"].layout.title.text
    names = figures["claims"].layout.yaxis.ticktext
    assert [names[k] for k in held.y] == ["switches: aligned above a random gate of the same rate"]
    assert [names[k] for k in failed.y] == ["internal RL above raw actions (held-out)"]


def test_an_episode_says_how_it_was_chosen_how_it_ended_and_the_overall_rate(figures):
    picked, usual = (figures[f"episode-held-out-{kind}"].layout.title.text for kind in ("farthest", "first"))
    assert "Picked: among those that got farthest of 256 played" in picked
    assert "colours reached: 1 of 4, ended by entering colour 2 when 1 was next" in picked
    assert "Internal RL succeeds in 0.300 [0.280, 0.320] of all episodes of the held-out task (3 seeds)" in picked
    assert "Not picked: among the first of 256 played" in usual and "Picked: among" not in usual


def test_an_older_run_does_not_claim_to_know_how_episodes_were_chosen(tmp_path):
    older = TABLES["episodes"].drop(columns=["chosen", "played", "sequence"])
    found = figures_of(load_run(made.write_run(tmp_path, leave_out=["final"], episodes=older)))
    text = found["episode-held-out-shown"].layout.title.text
    assert "How it was chosen was not recorded" in text and "colours reached: 0," in text and "succeeds" not in text


def test_a_step_shows_the_way_so_far_in_the_hue_of_each_code():
    episode = drawn.episodes_of(made.episode("held-out", 0, "farthest"))[0]
    figure = drawn.episode_step(episode, 6)
    lines = [trace for trace in figure.data if trace.type == "scatter" and trace.mode == "lines"]
    hues = {line.line.color: line for line in lines if line.line.color in HUES and line.x[0] is not None}
    assert set(hues) == {HUES[0], HUES[1]}  # the third code is drawn later
    assert max(x for x in hues[HUES[0]].x if x is not None) == pytest.approx(4, abs=0.2)
    agent = traces(figure, "agent")[-1]  # after its entry in the legend
    assert (middle(agent.x), middle(agent.y)) == (
        4,
        2,
    ) and "Move 6 of 8: code 1, colour 1 is next" in figure.layout.title.text
    draws = traces(figure, "a new code is drawn (its number)")[0]
    assert list(draws.text) == ["0", "1"] and list(draws.customdata) == [1, 5]
    frame = traces(figure, "colour that is next (never shown to the agent)")[-1]
    assert (middle(frame.x), middle(frame.y)) == (0, 4)  # colour 1 lies in cell 20
    changes = traces(figure, "subgoal really changes")[0]
    assert list(changes.x) == [5] and list(changes.customdata) == [1]
    gate = next(trace for trace in figure.data if trace.type == "bar")
    assert list(gate.y) == made.GATE and list(gate.x) == list(range(1, 9))
    codes = next(trace for trace in figure.data if trace.type == "heatmap")
    assert np.asarray(codes.z).tolist() == [[-1, -1, -1, -1, 0, 0, 0, 1], [0, 0, 0, 0, 0.5, 0.5, 0.5, 1]]


def test_the_board_has_each_colour_and_the_wall_where_the_table_says():
    episode = drawn.episodes_of(made.episode("held-out", 0, "first"))[0]
    pixels = np.asarray(next(trace for trace in drawn.episode_step(episode).data if trace.type == "image").z)
    assert pixels.shape == (5, 5, 3)
    for number, cell in enumerate(made.COLOURS):
        assert "#" + "".join(f"{v:02x}" for v in pixels[cell // 5, cell % 5]) == TILES[number]
    assert tuple(pixels[1, 1]) == (70, 70, 75) and tuple(pixels[0, 0]) == (250, 250, 250)


def test_hues_are_those_of_the_animations():
    from workbench.worlds.pinpad.pictures import SEGMENT_HUES, TILE_HUES

    for hues, ours in ((SEGMENT_HUES, HUES), (TILE_HUES, TILES)):
        assert tuple("#" + "".join(f"{v:02x}" for v in hue) for hue in hues) == ours


def test_frames_of_the_animation_equal_the_single_steps():
    episode = drawn.episodes_of(made.episode("held-out", 0, "farthest"))[0]
    moving = drawn.episode_steps(episode)
    assert [frame.name for frame in moving.frames] == [str(k) for k in range(1, 9)]
    for k in (1, 5):
        step, frame = drawn.episode_step(episode, k), moving.frames[k - 1]
        axes = {"xaxis", "yaxis"}  # which frames take from the traces that they replace
        shown = [json.loads(step.data[i].to_json()) for i in frame.traces]
        assert [{k: v for k, v in trace.items() if k not in axes} for trace in shown] == [
            json.loads(trace.to_json()) for trace in frame.data
        ]
        assert frame.layout.title.text == step.layout.title.text
    assert len(moving.layout.sliders[0].steps) == 8 and moving.layout.sliders[0].active == 7
    assert "Move 8 of 8" in moving.layout.title.text  # a still picture of it shows the whole way


def test_a_success_and_a_timeout_end_as_such():
    table = made.episode("held-out", 0, "first", moves=4)
    done = drawn.episodes_of(table.assign(success=True, sequence="0"))[0]
    assert done.ending == "colours reached: 1 of 1, task done"
    late = drawn.episodes_of(table[:2])[0]
    assert late.ending == "colours reached: 1 of 4, ended when time ran out"
    assert caption(late) == [
        "Held-out task 0-1-2-3, episode 0; colours reached: 1 of 4, ended when time ran out. "
        "<b>Not picked: among the first of 256 played.</b>"
    ]


def test_one_episode_of_each_kind_becomes_files():
    table = pd.concat([TABLES["episodes"], made.episode("held-out", 2, "farthest", 2)])
    found = drawn.picked(drawn.episodes_of(table))
    assert set(found) == EPISODES and len(found["episode-held-out-farthest"]) == 8


def test_what_cannot_be_is_one_clear_error():
    table = made.episode("held-out", 0, "first")
    with pytest.raises(DataError, match="episodes needs the column 'gate'"):
        drawn.episodes_of(table.drop(columns="gate"))
    with pytest.raises(DataError, match="a cell outside of its grid"):
        drawn.episodes_of(table.assign(agent=99))
    with pytest.raises(DataError, match="names a colour that is not in its grid"):
        drawn.episodes_of(table.assign(target=4))
    with pytest.raises(DataError, match="is not a list of numbers"):
        drawn.episodes_of(table.assign(colours="4,x"))
    with pytest.raises(DataError, match="move 9 is not in this episode: its 8 moves count from 1"):
        drawn.episode_step(drawn.episodes_of(table)[0], 9)
    with pytest.raises(DataError, match="switches needs the column 'condition'"):
        drawn.switches(TABLES["discovery"].drop(columns="condition"))
    with pytest.raises(DataError, match="nothing to draw"):
        drawn.beliefs(TABLES["beliefs"][:0])
