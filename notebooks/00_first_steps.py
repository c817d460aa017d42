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
# # First steps: load, capture, probe, steer
# The four things that everything else is made of, in about twenty lines. The model ships with the project; any
# Hugging Face id or folder works in its place (see `05_your_own_model`).
#
# The first cell is the same in every notebook. `SMALL` is true with `WORKBENCH_SMALL=1` in the environment: every
# step then runs in seconds and no number means anything (the tests do this). `RUNS` is the folder where the
# `workbench` command keeps its runs, so notebook and command line open each other's.

# %%
from workbench.notebook import start

SMALL, RUNS = start()

# %% [markdown]
# ## Load

# %%
from workbench.models import load_model

model = load_model("bandit-agent")
print(model.name, "has", model.n_layers, "layers of width", model.d_model, "and the fingerprint", model.fingerprint)

# %% [markdown]
# Two groups of conversations with it: in one, button 2 has paid much more; in the other, both have paid alike. All
# end where the agent is about to think. Half of each group is kept for the steering below.

# %%
import numpy as np

from workbench.worlds.bandits.text import BanditText

text = BanditText()


def history(rewards):
    """Tokens of a conversation in which the buttons were pressed in turn, up to the next thought."""
    messages = [{"role": "user", "content": text.instructions()}]
    for i, reward in enumerate(rewards):
        thought = "Thought: Perhaps Button 1 pays more, but more trials are needed."
        messages.append({"role": "assistant", "content": f"{thought}\n{text.action(i % 2)}"})
        messages.append({"role": "user", "content": text.feedback(i % 2, reward)})
    return model.encode(messages) + model.encode_continuation("Thought:", after=messages)


rng = np.random.default_rng(0)
N = 12 if SMALL else 40
clear = [history(np.where(np.arange(8) % 2, 115, 85) + rng.integers(-9, 10, 8)) for _ in range(N)]
even = [history(100 + rng.integers(-9, 10, 8)) for _ in range(N)]
print(model.decode(clear[0])[-170:])

# %% [markdown]
# ## Capture
# The residual stream after block 3 (`3.resid_post`; blocks count from 0) at the last prompt token, one row a prompt.

# %%
from workbench.activations import capture
from workbench.sites import Site

site = Site.parse("3.resid_post")
z = capture(model, clear + even, sites=site, positions="last").activations[site]
uncertain = np.arange(2 * N) >= N
z.shape

# %% [markdown]
# ## Probe
# Can a linear probe tell the groups apart? `evaluate` predicts every row by a fit that has not seen its group, and
# puts beside the probe (control `none`) what needs no model: the commonest label, and the same probe on shuffled
# labels. `difference` is the probe minus the control, with a 95% interval.

# %%
from probes import evaluate, make_probe

found = evaluate(make_probe("logistic"), z, uncertain, groups=np.arange(2 * N))
found.table[found.table.metric == "accuracy"].round(2)

# %% [markdown]
# ## Steer
# The difference of the two means, from every second row of each group, is a steering vector. It is added at the last
# prompt token and to every token that the model then writes. The prompts are clear ones that the vector has not seen:
# does the agent become less sure of button 2? The same vector with its coordinates shuffled says what a change of
# that size does by itself. A dose is that size: the length of what is added, as a share of the residual stream's.

# %%
from steering import Add, SteeringVector, mean_difference, residual_norm

seen = np.arange(2 * N) % 2 == 0
direction = mean_difference(z[seen], uncertain[seen])
vector = SteeringVector(site, direction, model.fingerprint, name="uncertain", residual_norm=residual_norm(z))
vectors = {"mean difference": vector, "shuffled": vector.shuffled(seed=0)}
prompts = clear[1::2]


def shares(interventions):
    """Share of the completions that press button 1, a number a prompt."""
    drawn = model.generate(prompts, n=8, max_new_tokens=32, interventions=interventions, seeds=1)
    return np.array([np.mean([text.parse("Thought:" + c.text) == 0 for c in of_prompt]) for of_prompt in drawn])


unsteered = shares([])
doses = (0.8,) if SMALL else (0.2, 0.4, 0.6, 0.8)
pressed = {name: [shares([Add(v, dose=dose)]) - unsteered for dose in doses] for name, v in vectors.items()}

# %% [markdown]
# Every condition has the same prompts and seeds, so differences are paired; intervals resample prompts.

# %%
import plotly.graph_objects as go

from workbench.figures.style import finish
from workbench.statistics import cluster_bootstrap

figure = go.Figure()
for name, changes in pressed.items():
    found = [cluster_bootstrap(change, np.arange(len(prompts))) for change in changes]
    bars = {"array": [i.high - i.estimate for i in found], "arrayminus": [i.estimate - i.low for i in found]}
    figure.add_scatter(x=doses, y=[i.estimate for i in found], error_y=bars, name=name)
figure.update_layout(xaxis_title="dose", yaxis_title="change in the share of completions")
finish(figure, f"Pressing button 1, which has paid less (unsteered: {unsteered.mean():.2f})", width=800).show()

# %% [markdown]
# What it says when steered:

# %%
for dose in (0.0, 0.8):
    add = Add(vector, dose=dose)
    (found,) = model.generate(prompts[:1], n=3, max_new_tokens=32, interventions=[add], seeds=1)
    print(
        f"dose {dose:g}:",
        *(each.text.replace("\n", " | ") for each in found),
        sep="\n   ",
    )

# %% [markdown]
# ## Next
# `01_east` makes an experiment of this, with every control; on the command line that is `workbench run east --preset
# demo`. `docs/notebooks.md` lists the notebooks.
