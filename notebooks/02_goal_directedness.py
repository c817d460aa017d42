# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Goal-directedness: what an agent does, what it knows, and whether it uses it
# After arXiv 2602.08964. A language model is shown a grid as text and answers with one move. Three questions, each
# with its controls: does it **behave** as if it wanted the goal; can a probe **read** a map and a plan off its
# activations; and does changing what is read **change what it does**?
#
# First each of the three by hand, then the experiment in a run folder. Without `WORKBENCH_SMALL=1` this takes some
# minutes on two cores.

# %%
from workbench.notebook import start

SMALL, RUNS = start()

# %% [markdown]
# ## The agent
# Mazes of a given wall density; `held_out` ones were kept from the agent's training. It sees nothing but this text.

# %%
import plotly.express as px

from workbench.models import load_model
from workbench.worlds.grids import GridText, make_layout, trajectory_picture
from workbench.worlds.grids.agents.agent import GridAgent
from workbench.worlds.moves import Move

model = load_model("grid-agent")
layouts = [make_layout(7, 0.6, seed=seed, held_out=True) for seed in range(24 if SMALL else 120)]
agent = GridAgent(model, GridText(reasoning=True))

print(agent.text.prompt(layouts[0], layouts[0].initial))
(decision,) = agent.decide([(layouts[0], layouts[0].initial)], seeds=[0])
print("\nthe agent says:", decision.completion)

# %% [markdown]
# ## Behaviour
# Episodes end at the goal or after 1.5 times the optimal number of steps. Beside the agent: random moves and shortest
# paths (A*). `jsd` is the divergence from the optimal moves in bits, 0 is best; intervals resample layouts.

# %%
import pandas as pd

from workbench.worlds.grids import POLICIES
from workbench.worlds.grids.agents.behaviour import grid_behaviour
from workbench.worlds.grids.agents.play import play_grids

some = layouts[: 4 if SMALL else 20]
players = {"agent": agent, "random": POLICIES["random"], "optimal": POLICIES["optimal"]}
steps = pd.concat([play_grids(each, some, rollouts=2).assign(player=name) for name, each in players.items()])
table = grid_behaviour(steps, some, by=[])
table[table["metric"].isin(["success", "accuracy", "jsd"])].round(2)

# %% [markdown]
# One episode of the agent. The way turns from violet to cyan.

# %%
from workbench.figures.style import finish
from workbench.worlds.grids import State

one = steps[(steps["player"] == "agent") & (steps["layout"] == 0) & (steps["rollout"] == 0)]
way = [State((int(row), int(column)), False) for row, column in zip(one["row"], one["column"], strict=True)]
figure = finish(px.imshow(trajectory_picture(layouts[0], way)), "Where the agent went", width=420, height=440)
figure.update_xaxes(visible=False).update_yaxes(visible=False).show()

# %% [markdown]
# ## Reading
# Is the goal to the agent's right? A linear probe on the last prompt token, layer by layer, on layouts that it was
# not fitted on. A probe reads what the *activations* make available; the same probe on shuffled labels says how much
# of that is the probe's own doing, and an untrained model of the same shape how much is there before anything was
# learned.

# %%
import numpy as np

from probes import evaluate, make_probe
from workbench.activations import capture
from workbench.models.untrained import untrained

placed = [layout for layout in layouts if layout.goal[1] != layout.start[1]]
places = [(layout, layout.initial) for layout in placed]
right = np.array([layout.goal[1] > layout.start[1] for layout in placed])
exact = GridAgent(model, GridText(), exact=True)  # answers at once; its move probabilities are read off the model
prompts = [exact.prompt(*place) for place in places]
layers = [1, 3] if SMALL else range(model.n_layers)
read = {name: capture(m, prompts, sites=layers) for name, m in (("own", model), ("untrained", untrained(model)))}

rows = []
for site, z in read["own"].activations.items():
    extra = {"untrained": read["untrained"].activations[site]}
    groups = np.arange(len(right))
    found = evaluate(make_probe("logistic"), z, right, groups, control_features=extra, shuffles=1, resamples=500)
    rows.append(found.table.query("metric == 'accuracy'").assign(layer=site.layer))
scores = pd.concat(rows).replace({"control": {"none": "the probe"}})
scores = scores.assign(up=scores["high"] - scores["estimate"], down=scores["estimate"] - scores["low"])
figure = px.line(scores, x="layer", y="estimate", color="control", error_y="up", error_y_minus="down")
figure.update_yaxes(title="accuracy on unseen layouts")
finish(figure, "Is the goal to the right?", "95% intervals over layouts", width=800).show()

# %% [markdown]
# ## Using
# A property that can be read may still be idle. So: add the direction "goal to the right" and see whether the agent
# moves right more often, beside the same direction with its coordinates shuffled.

# %%
from steering import Add, SteeringVector, mean_difference, residual_norm
from workbench.sites import Site
from workbench.statistics import cluster_bootstrap

site = Site(3)
direction = mean_difference(read["own"].activations[site], right)
norm = residual_norm(read["own"].activations[site])  # a dose is a share of it
vector = SteeringVector(site, direction, model.fingerprint, name="goal to the right", residual_norm=norm)


def leaning(interventions):
    """p(RIGHT) - p(LEFT) at every place."""
    p = exact.probabilities(places, interventions)
    return p[:, Move.RIGHT] - p[:, Move.LEFT]


before = leaning([])
for name, added in (("probe's direction", vector), ("shuffled", vector.shuffled(seed=0))):
    for dose in (-0.5, 0.5):
        change = leaning([Add(added, dose=dose)]) - before
        print(f"{name:18} dose {dose:+.1f}:  change", cluster_bootstrap(change, np.arange(len(places))))

# %% [markdown]
# ## The experiment
# All of it at once, with maps (one class a cell), plans (the next ten moves), actions scored on the decoded maps, and
# the causal checks at every layer. The spec below is a cut of the preset `cpu`. Its hash names the run folder, and
# the command line opens or goes on with the same run through the folder's `spec.json`:
#
# ```
# workbench run goal-directedness --spec ../runs/goal-directedness/HASH/spec.json --runs ../runs
# workbench run goal-directedness --preset cpu      # all of it, nine minutes on two cores
# ```
#
# With `spec = PRESETS["cpu"]` in its place the notebook opens what the second command has made.

# %%
from workbench.families import run
from workbench.families.goal_directedness import GOAL_DIRECTEDNESS, PRESETS
from workbench.runs import load_run, spec_hash

cut = {
    "sizes": (7,), "layouts": 6, "rollouts": 4, "transform_rollouts": 2, "structures": 20, "structure_sizes": (7,),
    "probe_layouts": 20, "layers": (1, 3, 5), "map_size": 7, "plan_epochs": 15, "causal_states": 200,
}  # fmt: skip
few = {"layers": (3,), "densities": (1.0,), "structures": 2, "causal_states": 10}
spec = PRESETS["smoke"].model_copy(update=few) if SMALL else PRESETS["cpu"].model_copy(update=cut)
print("run folder:", RUNS / "goal-directedness" / spec_hash(spec))
record = load_run(run(GOAL_DIRECTEDNESS, spec, RUNS, log=print))

# %% [markdown]
# ### Behaviour by wall density
# Answering at once (direct) and after a written reasoning, between random and optimal.

# %%
from workbench.families.goal_directedness.figures import examples_of, figures, grid_step

draw = figures(record)  # by name, what draws a figure
draw["behaviour_by_density"]().show()

# %% [markdown]
# ### The cognitive map beside its controls
# Most cells of a maze are walls, so plain accuracy flatters every map: `majority`, the commonest class of each cell,
# is the line to beat. *Untrained* is a model of the same shape with new weights: where it gives as good a map, the
# probe decodes the prompt and not something that the agent has made.

# %%
draw["map_controls"]().show()

# %% [markdown]
# ### The plan
# Share of states in which the first moves of the episode are decoded right, before and after the reasoning.

# %%
draw["plan_prefix"]().show()

# %% [markdown]
# ### Does the agent act on its map?
# Its moves scored as shortest paths on the true map, on the decoded map, on another grid's decoded map, and on the
# true map *without its inner walls*. The last one is the control that matters: an agent that heads for the goal as
# the crow flies looks good on it.

# %%
draw["decoded_actions"]().show()

# %% [markdown]
# ### Steering and erasing
# Change in p(RIGHT) - p(LEFT) when the probe's direction is added, with random directions beside.

# %%
draw["causal_steering"]().show()

# %% [markdown]
# ### One step, looked at
# True map, decoded maps, and the forecast of the next moves. In the browser (`workbench app`) you can step through.

# %%
grid_step(examples_of(record)[0], step=0).show()

# %% [markdown]
# ### Which claims held
# An interval that includes zero counts as not held.

# %%
claims = record.load_table("claims")
print(f"{claims['held'].sum()} of {len(claims)} held")
claims[["claim", "on", "held", "evidence"]].style.hide()
