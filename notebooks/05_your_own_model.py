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
# Any Hugging Face causal language model or GGUF file: a hub id, a folder, a file. Here it is SmolLM2-135M-Instruct, a
# chat model that is fetched once (94 MB); where there is no network a shipped model takes its place, and its numbers
# mean nothing. Put the path of your model, or `"Qwen/Qwen3-0.6B"`, into `MODEL` and run it again.

# %%
from workbench.errors import ModelError
from workbench.models.fetching import fetch
from workbench.notebook import start

SMALL, RUNS = start()
MODEL = "smollm2-135m"
try:
    fetch(MODEL, print)
except ModelError as error:
    print(f"{error}; bandit-agent takes its place")
    MODEL = "bandit-agent"

# %%
from workbench.models import load_model

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

logit_lens_heatmap(logit_lens(model, "The capital of France is")).show()

# %% [markdown]
# ## A vector from pairs of texts
# Pairs that differ in one respect, here whether something is told as pleasant. With `groups` only differences within a
# pair count, so what a pair has in common cannot enter the vector.

# %%
import numpy as np

from steering import Add, SteeringVector, mean_difference, residual_norm
from workbench.activations import capture
from workbench.families.steer.concept import read_concept
from workbench.sites import Site

concept = read_concept("valence")  # 24 pairs; yours is a YAML file, or two lists
pleased, displeased = ([pair[side] for pair in concept.pairs] for side in (0, 1))
print(*concept.pairs[0], sep="\n")

site = Site(int(0.7 * model.n_layers))
z = capture(model, pleased + displeased, sites=site, positions="last").activations[site]
is_pleased, pairs = np.arange(len(z)) < len(pleased), np.arange(len(z)) % len(pleased)
direction = mean_difference(z, is_pleased, groups=pairs)
vector = SteeringVector(site, direction, model.fingerprint, name="valence", residual_norm=residual_norm(z))
vector

# %% [markdown]
# What it does to the next word of one prompt, beside a shuffled vector. A *dose* is the length of what is added as a
# share of the residual stream's typical norm at that site, so it can be compared between layers and models.

# %%
from workbench.figures.token_probabilities import next_token_bars
from workbench.models.token_probabilities import token_probabilities

DOSE = 0.3
prompt = concept.prompts.test[0]
said = model.encode_continuation(" a", after=prompt)
conditions = {
    "unsteered": [],
    "steered": [Add(vector, dose=DOSE)],
    "against": [Add(vector, dose=-DOSE)],
    "shuffled": [Add(vector.shuffled(seed=0), dose=DOSE)],
}
tables = {name: token_probabilities(model, prompt, said, adds, top=8) for name, adds in conditions.items()}
next_token_bars(tables, {name: len(table) - 1 for name, table in tables.items()}).show()

# %% [markdown]
# One prompt is an anecdote. Over prompts that share nothing with the pairs but the concept: by how much do the log-odds
# of (good, great, nice) and (bad, poor, boring) move? Intervals resample prompts.

# %%
from steering import Condition, word_odds
from workbench.statistics import cluster_bootstrap

prompts = list(concept.prompts.test[: 4 if SMALL else None])
up, down = ([f" {word}" for word in words] for words in (concept.words.up, concept.words.down))
ways = [Condition(name, tuple(adds)) for name, adds in conditions.items()]
odds = word_odds(model, prompts, up, down, ways).log_odds  # [conditions, prompts]
for way, own in zip(ways, odds, strict=True):
    print(f"{way.method:10} {cluster_bootstrap(own - odds[0], np.arange(len(prompts)))} nats")

# %% [markdown]
# One shuffled vector is no control yet: `workbench run steer` has every layer and dose, twenty random directions, a
# sentence in front, and what all of them cost ([docs/steer.md](../docs/steer.md)).
#
# The vector is saved with its site, model and method, and refuses other models.

# %%
folder = RUNS / "my-model"
folder.mkdir(parents=True, exist_ok=True)
vector.save(folder / "valence.safetensors")
SteeringVector.load(folder / "valence.safetensors", model=model)

# %% [markdown]
# ## Chats
# Chats go through the model's own chat template, and positions can be those of a role. A file of them is a source of
# sweeps ([docs/sweeps.md](../docs/sweeps.md)).

# %%
from workbench.activations import GenerationPrompt, Role

chat = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is the sea salty?"},
    {"role": "assistant", "content": "Yes, it is."},
    {"role": "user", "content": "Why?"},
]
if model.tokenizer.chat_template:
    for where in (Role("user", -1, take="last"), Role("assistant", take="mean"), GenerationPrompt("last")):
        found = capture(model, [chat], site, where)
        print(where, found.labels["position"].tolist(), f"norm {float(found[site][0].float().norm()):.0f}")

# %% [markdown]
# ## Probes on your own labels
# A table of texts with labels is enough for a sweep: models x sites x positions x targets x probes. Rows of one group
# (a pair) are never split. As a file it is
#
# ```yaml
# source: {kind: texts, path: texts.csv, text: text, group: pair}
# models: [smollm2-135m]
# targets: [told]
# probes: {logistic: {C: [0.01]}}
# controls: [majority, shuffled, untrained, bag_of_words]
# ```
#
# and `workbench sweep FILE.yaml` does what follows.

# %%
import pandas as pd

from workbench.families.probe_sweep import SweepSpec
from workbench.families.probe_sweep import run as run_sweep
from workbench.runs import load_run

texts = pd.DataFrame(
    {"text": pleased + displeased, "pair": pairs, "told": np.where(is_pleased, "pleased", "displeased")}
)
texts.to_csv(folder / "texts.csv", index=False)
spec = SweepSpec.model_validate({
    "source": {"kind": "texts", "path": "texts.csv", "text": "text", "group": "pair"},
    "models": [{"model": MODEL}],
    "sites": [str(int(share * model.n_layers)) for share in ((0.3, 0.7) if SMALL else (0.1, 0.3, 0.5, 0.7, 0.9))],
    "targets": ["told"],
    "probes": {"logistic": {"C": [0.01]}},
    "controls": ["majority", "shuffled", "bag_of_words"] + ["untrained"] * (not SMALL),
    "folds": 3 if SMALL else 5, "shuffles": 1, "resamples": 200 if SMALL else 2000,
})  # fmt: skip
swept = load_run(run_sweep(spec, RUNS, base=folder, jobs=1, log=print))
print(swept.status.state)  # "failed" when a cell did: its row says why, and the rest is there all the same

# %% [markdown]
# Score by layer, every control in its probe's colour. Where the words alone or the untrained model do as well, the
# probe reads the wording and not what the model makes of it.

# %%
from workbench.families import figures_of

for name, figure in figures_of(swept).items():
    if name.startswith("layers"):
        figure.show()

# %% [markdown]
# ## The experiments on it
# Every family takes your model by `--model`, and `--dry-run` says beforehand how long it will take.
#
# ```
# workbench run steer --model MODEL --preset demo
# workbench run east --model MODEL --preset laptop --dry-run
# workbench run introspection concept-injection --model MODEL --preset laptop      # needs a chat template
# ```

# %%
from workbench.families import plan
from workbench.families.steer import PRESETS, STEER

for step in plan(STEER, PRESETS["demo"].model_copy(update={"model": MODEL})):
    print(f"{step.name:20} {step.what:60} {step.tokens:>7,} tokens")
