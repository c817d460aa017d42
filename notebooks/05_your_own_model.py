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
# # Your own model
# Any Hugging Face causal language model, from a hub id or a folder. Below it is a folder, so that the notebook runs
# without a network; put `"Qwen/Qwen3-0.6B"` or the path of your checkpoint into `MODEL` and run it again.

# %%
from workbench.notebook import start

SMALL, RUNS = start()

# %% [markdown]
# A folder as `save_pretrained` writes it (here from the weights of a shipped model) is all that is needed. Nothing is
# ever unpickled: weights are safetensors.

# %%
from workbench.models import load_model

folder = RUNS / "my-model"
shipped = load_model("bandit-agent")
shipped.backend.hf_model.save_pretrained(folder)
shipped.tokenizer.save_pretrained(folder)

MODEL = str(folder)  # or a hub id
model = load_model(MODEL)  # dtype="bfloat16", device_map="auto", backend="transformer_lens"...
print(model.n_layers, "layers of width", model.d_model, "|", model.dtype, "on", model.device, "|", model.fingerprint)

# %% [markdown]
# ## Does the workbench read it right?
# `check_backend` compares activations, steered logits and greedy tokens with plain Hugging Face code. On the command
# line: `workbench models check MODEL`.

# %%
from workbench.models import check_backend

report = check_backend(model)
print(report)
assert report.ok

# %% [markdown]
# ## What it predicts, layer by layer
# The logit lens: the residual stream of each layer through the final norm and the unembedding. Each cell is the
# likeliest next token there; the last row is the model's own prediction.

# %%
from workbench.activations.logit_lens import logit_lens
from workbench.figures.logit_lens import logit_lens_heatmap

PROMPT = "Button 1 paid 92 points. Button 2 paid 117 points. Thought:"
logit_lens_heatmap(logit_lens(model, PROMPT)).show()

# %% [markdown]
# ## A vector from two lists of prompts
# Pairs that differ in one respect: which button is ahead. With `groups` only differences within a pair count, so what
# a pair has in common cannot enter the vector.

# %%
import numpy as np

from steering import Add, SteeringVector, mean_difference, residual_norm
from workbench.activations import capture
from workbench.sites import Site

rng = np.random.default_rng(0)
PAYS = rng.integers(70, 130, (12 if SMALL else 60, 2))
PAYS = PAYS[PAYS[:, 0] != PAYS[:, 1]]


def told(low, high, ahead):
    """A history in which the button ``ahead`` (1 or 2) paid more."""
    one, two = (high, low) if ahead == 1 else (low, high)
    return f"Button 1 paid {one} points. Button 2 paid {two} points. Thought:"


first = [told(*sorted(pair), ahead=1) for pair in PAYS.tolist()]
second = [told(*sorted(pair), ahead=2) for pair in PAYS.tolist()]
site = Site(model.n_layers // 2)
z = capture(model, second + first, sites=site, positions="last").activations[site]
is_second, pairs = np.arange(len(z)) < len(second), np.arange(len(z)) % len(second)
vector = SteeringVector(
    site,
    mean_difference(z, is_second, groups=pairs),
    model.fingerprint,
    name="button 2 is ahead",
    residual_norm=residual_norm(z),
)
vector

# %% [markdown]
# Its effect on one prompt that says the opposite, beside a shuffled vector of the same length. A dose is
# the length of what is added as a share of the residual stream's, a number that can be compared between models.

# %%
from steering import strengths
from workbench.figures.token_probabilities import next_token_bars
from workbench.models.token_probabilities import token_probabilities

prompt = told(82, 118, ahead=1)
said = model.encode_continuation(" Button", after=prompt)
(strength,) = strengths(vector, multipliers=[1.0])
conditions = {
    "unsteered": [],
    "steered": [Add(vector, dose=strength.dose)],
    "shuffled": [Add(vector.shuffled(seed=0), dose=strength.dose)],
}
tables = {name: token_probabilities(model, prompt, said, adds, top=8) for name, adds in conditions.items()}
print(f"multiplier {strength.multiplier:g} is dose {strength.dose:.2f}")
next_token_bars(tables, {name: len(table) - 1 for name, table in tables.items()}).show()

# %% [markdown]
# One prompt is an anecdote. Over all pairs: by how much does the probability ratio of "2" and "1" move? Intervals
# resample pairs. (The vector was made from these pairs, so this says that it works, not how far it carries.)

# %%
from workbench.statistics import cluster_bootstrap


def leaning(adds):
    """log p(2) - log p(1) after "Button", for every prompt in which button 1 is ahead."""
    heads = [model.encode(text) + said for text in first]
    scores = model.score(heads, [[" 2", " 1"]] * len(heads), adds)
    return np.array([two.logprob - one.logprob for two, one in scores])


for name, adds in conditions.items():
    change = leaning(adds) - leaning([])
    print(f"{name:10} {cluster_bootstrap(change, np.arange(len(change)))} nats")

# %% [markdown]
# The vector is saved with its site, model and method, and refuses other models.

# %%
vector.save(RUNS / "my-model" / "ahead.safetensors")
SteeringVector.load(RUNS / "my-model" / "ahead.safetensors", model=model)

# %% [markdown]
# ## Probes on your own labels
# A table of texts with labels is enough for a sweep: models x sites x positions x targets x probes. Rows of one group
# (a pair) are never split. As a file it is
#
# ```yaml
# source: {kind: texts, path: texts.csv, text: text, group: pair}
# models: [my-model]
# targets: [ahead, {column: gap, task: regression}]
# probes: {logistic: {C: [0.1]}, ridge-regression: {}}
# controls: [majority, shuffled, untrained]
# ```
#
# and `workbench sweep FILE.yaml` does what follows.

# %%
import pandas as pd

from workbench.families.probe_sweep import SweepSpec
from workbench.families.probe_sweep import run as run_sweep
from workbench.runs import load_run

gap = np.tile(np.abs(PAYS[:, 1] - PAYS[:, 0]), 2)
texts = pd.DataFrame({"text": second + first, "pair": pairs, "ahead": np.where(is_second, "two", "one"), "gap": gap})
texts.to_csv(folder / "texts.csv", index=False)
spec = SweepSpec.model_validate({
    "source": {"kind": "texts", "path": "texts.csv", "text": "text", "group": "pair"},
    "models": [{"model": MODEL}],
    "sites": ["1", "3"] if SMALL else ["all"],
    "targets": ["ahead", {"column": "gap", "task": "regression"}],
    "probes": {"logistic": {"C": [0.1]}, "ridge-regression": {}},
    "controls": ["majority", "shuffled", "untrained"],
    "folds": 3 if SMALL else 5, "shuffles": 1, "resamples": 200 if SMALL else 2000,
})  # fmt: skip
swept = load_run(run_sweep(spec, RUNS, base=folder, jobs=1, log=print))
print(swept.status.state)  # "failed" when a cell did: its row says why, and the rest is there all the same

# %% [markdown]
# Score by layer, every control in its probe's colour. Where the untrained model does as well, the probe reads the
# words and not what the model makes of them.

# %%
from workbench.families import figures_of

for name, figure in figures_of(swept).items():
    if name.startswith("layers"):
        figure.show()

# %% [markdown]
# ## The experiments on it
# Every family takes your model by `--model`, and its `plan` says beforehand what it will cost.
#
# ```
# workbench run east --model MODEL --preset cpu --dry-run
# workbench run introspection concept-injection --model MODEL --preset cpu      # needs a chat template
# ```

# %%
from workbench.families import plan
from workbench.families.east import EAST, PRESETS

for step in plan(EAST, PRESETS["cpu"].model_copy(update={"model": MODEL}))[:6]:
    print(f"{step.name:24} {step.what:40} {step.completions:>7,} completions")
