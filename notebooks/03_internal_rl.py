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
# # Internal RL: controllers in the residual stream
# After arXiv 2512.20605. A small sequence model watches an expert walk between coloured cells and learns to predict
# its moves; which colours the expert is after is never said. Then, in the frozen model's residual stream: can the
# hidden subgoal be **read**, can low-rank matrices **control** the model, can a metacontroller **discover** by itself
# when to switch between controllers, and does **RL over its codes** beat RL over raw moves?
#
# The model by hand first, then the experiment in a run folder. Without `WORKBENCH_SMALL=1` this takes some minutes on
# two cores, which is too little for the last two questions: the preset `cpu` is many times as long
# (`docs/internal_rl.md`).

# %%
from workbench.notebook import start

SMALL, RUNS = start()

# %% [markdown]
# ## The world and the expert
# The task is a sequence of colours. Entering the next one makes progress, entering another ends the episode.

# %%
import plotly.express as px
import torch

from workbench.figures.style import finish
from workbench.models import load_model
from workbench.worlds.pinpad import Pinpad, expert_episodes, pinpad_trajectory_picture, pretraining_tasks

model = load_model("pinpad-base")
world = Pinpad.of(model.world)
tasks = pretraining_tasks(world)
episodes = expert_episodes(world, tasks, 100 if SMALL else 400, torch.Generator().manual_seed(0))

length = int(episodes.lengths[0])
agents, objects = episodes.agents[0, : length + 1].tolist(), episodes.objects[0].tolist()
picture = pinpad_trajectory_picture(world, objects, agents, segments=episodes.targets[0, :length].tolist())
title = f"The expert on the task {episodes.tasks[0].tolist()}"
figure = finish(px.imshow(picture), title, "A hue for each subgoal", width=460, height=500)
figure.update_xaxes(visible=False).update_yaxes(visible=False).show()

# %% [markdown]
# ## The base model beside the exact Bayes filter
# Who knows the expert's policy under every task can compute how likely each task is after every move. No model can
# predict the expert's moves better than this filter, so the gap between the two says how much is left to learn.

# %%

from workbench.statistics import cluster_bootstrap
from workbench.worlds.pinpad import bayes_filter

beliefs = bayes_filter(episodes, tasks)
observations = episodes.observations[:, :-1]  # before each move
forward = model.forward([o[:n] for o, n in zip(observations, episodes.lengths, strict=True)], logits=True)
logprobs = forward.logits.log_softmax(-1).gather(2, episodes.moves[..., None])[..., 0]
mask = episodes.mask
of_episode = torch.arange(len(episodes))[:, None].expand_as(mask)[mask].numpy()
for name, nll in (("base model", -logprobs), ("Bayes filter", beliefs.nll)):
    print(f"{name:12} nats a move", cluster_bootstrap(nll[mask].numpy(), of_episode))

# %% [markdown]
# What can be known of the next colour, along the episode above: the filter begins with what the layout allows, and is
# sure once the expert has turned towards one colour only.

# %%
panel = beliefs.colours[0, :length].T.numpy()
labels = {"x": "step", "y": "colour", "color": "probability"}
figure = px.imshow(panel, labels=labels, zmin=0, zmax=1, aspect="auto", color_continuous_scale="Blues")
finish(figure, "Bayes filter: which colour is next?", width=800, height=320).show()

# %% [markdown]
# ## Reading the subgoal
# A linear probe of the next colour at the embedding and after every block; episodes are never split between fitting
# and testing. It cannot beat the filter, so that is its ceiling; shuffled labels are its floor.

# %%
import pandas as pd

from probes import evaluate, make_probe
from workbench.sites import Site

sites = [Site(0, "resid_pre"), *(Site(layer) for layer in range(model.n_layers))]
read = model.forward([o[:n] for o, n in zip(observations, episodes.lengths, strict=True)], sites=sites)
subgoal = episodes.targets[mask].numpy()
rows = []
for depth, site in enumerate(sites):
    z = read.activations[site][mask]
    found = evaluate(make_probe("ridge"), z, subgoal, of_episode, folds=3, shuffles=1, resamples=500)
    rows.append(found.table.query("metric == 'accuracy'").assign(depth=depth))
scores = pd.concat(rows).replace({"control": {"none": "probe"}})
scores = scores.assign(up=scores["high"] - scores["estimate"], down=scores["estimate"] - scores["low"])
best = (beliefs.colours.argmax(-1) == episodes.targets)[mask].float().mean().item()
figure = px.line(scores, x="depth", y="estimate", color="control", error_y="up", error_y_minus="down")
figure.add_hline(y=best, line_dash="dot", annotation_text="Bayes filter")
figure.update_yaxes(title="accuracy on unseen episodes").update_xaxes(dtick=1)
finish(figure, "Which colour is next?", "Depth 0 is the embedding; 95% intervals over episodes", width=800).show()

# %% [markdown]
# ## The experiment
# Everything in its order: base model, beliefs, supervised controllers at every depth, discovery, reinforcement.
# Between the stages stand *gates*: bars that a stage must pass before the next can mean anything. The spec below is a
# cut of the preset `cpu`; the whole is
#
# ```
# workbench run internal-rl --preset cpu      # --preset gpu on a GPU
# ```
#
# With `spec = PRESETS["cpu"]` the notebook opens what that command has made, and `workbench run internal-rl --spec
# RUNFOLDER/spec.json --runs ../runs` opens what the notebook has made.

# %%
from workbench.families import read_claims, run
from workbench.families.internal_rl import INTERNAL_RL, PRESETS
from workbench.runs import load_run, spec_hash

fewer = {"methods": ("internal RL", "raw actions"), "alphas": (), "history": (), "seeds": 1, "baseline_seeds": 1}
if SMALL:
    cut = {"base": "pinpad-base", "episodes": 32, "held_out_episodes": 32, "controller_tokens": 2_000, "tokens": 4_000}
    spec = PRESETS["smoke"].model_copy(update=fewer | cut)
else:
    cut = {"episodes": 300, "held_out_episodes": 500, "probe_episodes": 200, "controller_tokens": 100_000}
    learning = {"tokens": 600_000, "updates": 10, "rl_batch": 512}
    spec = PRESETS["cpu"].model_copy(update=fewer | cut | learning)
print("run folder:", RUNS / "internal-rl" / spec_hash(spec))
record = load_run(run(INTERNAL_RL, spec, RUNS, log=print))

# %% [markdown]
# ### Gates
# Read these first. Everything after a gate that failed is a report of what happened, not evidence for the method.

# %%
record.load_table("gates")[["stage", "measure", "value", "low", "high", "bar", "passed"]].style.hide().format(
    precision=3
)

# %% [markdown]
# ### Beliefs, with their controls
# The run's own probes, on fresh episodes: beside them shuffled labels, an untrained model and the Bayes filter.

# %%
from workbench.families.internal_rl.figures import episode_steps, figures, picked, shown_episodes

draw = figures(record)  # by name, what draws a figure
draw["beliefs"]().show()

# %% [markdown]
# ### Control
# One low-rank matrix for each subgoal, fitted to the expert's moves, is applied at one depth while an oracle says
# which subgoal is next. Random matrices of the same size beside. The held-out task has transitions that the model
# never saw.

# %%
draw["controllers"]().show()

# %% [markdown]
# ### Discovery
# The metacontroller is not told about subgoals. Do its switches fall on their changes? The gate to compare with opens
# at random, equally often.

# %%
draw["switches"]().show()

# %% [markdown]
# ### Reinforcement
# Reward only for a completed task. After learning: the share of episodes that complete it, and how many colours they
# reach; the expert is the ceiling.

# %%
draw["final_success"]().show()

# %% [markdown]
# ### An episode, looked at
# The way of the agent, when the gate opened, and the code that was in force. Its title says how it came to be shown
# and how often the method succeeds overall.

# %%
episodes_shown, rates = shown_episodes(record)
episode = next(iter(picked(episodes_shown).values()))
episode_steps(episode, rates.get(episode.task, "")).show()

# %% [markdown]
# ### Which claims held

# %%
read_claims(record)[["claim", "on", "held", "evidence"]].style.hide()
