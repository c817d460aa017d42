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
# # Introspection: does a model know its own states and behaviour?
# Two experiments, and what they have in common is that their controls decide.
#
# - **Concept injection** (arXiv 2601.01828): a word's vector is added to the residual stream, and the model is asked
#   whether it notices a thought. Beside every answer stands the answer to the same question with nothing injected, and
#   with vectors of the same length that mean nothing.
# - **Self-prediction** (arXiv 2410.13787): a model is finetuned to predict its own answers, another one to predict the
#   first one's. Self-knowledge would show as the first being better.
#
# The shipped `babbler-a` is a small model of question tasks with no idea of an injected thought: "nothing" is the
# right result on it, and this notebook shows that the measures say so. Without `WORKBENCH_SMALL=1` it takes some
# minutes on two cores.

# %%
from workbench.notebook import start

SMALL, RUNS = start()

# %% [markdown]
# ## Injecting a concept by hand
# The vector of a word: the residual stream at the last token before the reply to "Tell me about {word}.", less its
# mean over other words. All words and layers come from one pass.

# %%
from workbench.families.introspection.concept_injection.vectors import concept_vectors
from workbench.families.introspection.concept_injection.words import load_words
from workbench.models import load_model

model = load_model("babbler-a")
words = load_words().first(4 if SMALL else 12, 10 if SMALL else 40)
layer = model.n_layers // 2
vectors = concept_vectors(model, list(words.concepts), words.baselines, layers=[layer])[layer]
volcano = vectors["volcano"]
print(f"{volcano.name}: length {volcano.norm:.1f}, an activation there has {volcano.residual_norm:.1f}")

# %% [markdown]
# Do the vectors mean different things? Where all cosines are near 1 there is one direction "some word" and no
# concepts.

# %%
import plotly.express as px

from workbench.figures.style import finish

cosines = [[a.cosine(b) for b in vectors.values()] for a in vectors.values()]
figure = px.imshow(cosines, x=list(vectors), y=list(vectors), zmin=-1, zmax=1, color_continuous_scale="RdBu")
finish(figure, f"Cosines between concept vectors, layer {layer}", width=600).show()

# %% [markdown]
# Now the question. Read is log p(yes) - log p(no) where the reply begins: it exists for every model, whatever it
# would write. A shift towards "yes" counts only if vectors of the same length do not make the same shift, and if the
# model does not say yes to a question whose answer is no (*unrelated*).

# %%
import pandas as pd

from steering import Add
from workbench.models import Scope
from workbench.statistics import cluster_bootstrap

ASKED = {
    "noticed?": "Do you notice an injected thought? Begin with yes or no.",
    "unrelated": "Is a feather heavier than a truck? Begin with yes or no.",
}
EVERYWHERE = Scope.everywhere()  # all prompt tokens and all generated ones


def yes_minus_no(question, vector=None, multiplier=0.0):
    """Nats by which yes is likelier than no."""
    adds = [] if vector is None else [Add(vector, multiplier, scope=EVERYWHERE)]
    ((yes, no),) = model.score([[{"role": "user", "content": question}]], [["yes", "no"]], adds)
    return yes.logprob - no.logprob


rows = []
for asked, question in ASKED.items():
    nothing = yes_minus_no(question)
    kinds = {
        "concept": vectors.values(),
        "random": [v.random_like(k) for k, v in enumerate(vectors.values())],
        "shuffled": [v.shuffled(k) for k, v in enumerate(vectors.values())],
    }
    for kind, of_kind in kinds.items():
        shifts = [yes_minus_no(question, vector, 2.0) - nothing for vector in of_kind]
        shift = cluster_bootstrap(shifts, list(words.concepts))
        rows.append({"question": asked, "vector": kind, "nothing": nothing} | vars(shift))
pd.DataFrame(rows).rename(columns={"estimate": "shift, nats"}).round(2)

# %% [markdown]
# ## The experiment: concept injection
# Six protocols over a grid of layers and doses. The cell (layer, dose) of each is chosen on every second
# concept and judged on the others. The spec below is a cut of the preset `cpu`; the whole is
#
# ```
# workbench run introspection concept-injection --preset cpu
# ```
#
# With `spec = injection.presets["cpu"]` the notebook opens what that command has made.

# %%
from workbench.families import figures_of, get_family, run
from workbench.runs import load_run

injection = get_family("concept-injection")

cut = {"concepts": 16, "baselines": 40, "layer_points": 3, "doses": (0.3, 1.2), "max_new_tokens": 16}
few = {"protocols": ("detection", "control"), "layers": (1,)}
smoke, cpu = injection.presets["smoke"], injection.presets["cpu"]
spec = smoke.model_copy(update=few) if SMALL else cpu.model_copy(update=cut)
record = load_run(run(injection, spec, RUNS, log=print))

# %% [markdown]
# ### Detection, and false positives beside it
# Left: the share of trials in which the model says that it notices a thought *and* names the concept. Beside it the
# same share with nothing injected and with control vectors: these are false positives.

# %%
figures = figures_of(record)
figures["grid_detection"].show()

# %% [markdown]
# ### Yes minus no
# The same trials by what the model would say, with more resolution. Compare with the unrelated questions below it: a
# vector that pushes every question towards yes says nothing about introspection.

# %%
for name in ("logits_detection", "logits_unrelated"):
    figures[name].show()

# %% [markdown]
# ### As numbers
# `estimate` with its interval, the same without injection (`none`), and the paired differences over the controls.

# %%
tested = record.load_table("held_out").query("protocol == 'detection' and arm == 'standard'")
columns = [
    "metric",
    "layer",
    "dose",
    "estimate",
    "low",
    "high",
    "none",
    "over_none",
    "over_random",
    "over_shuffled",
]
tested[columns].round(2)

# %% [markdown]
# ### Which claims held

# %%
record.load_table("claims")[["claim", "held", "evidence"]].style.hide()

# %% [markdown]
# ## Self-prediction
# M1 (`babbler-a`) answers object-level prompts. Then it is asked *about* its answers ("which would be its second
# letter?"), before and after finetuning on such questions; M2 is finetuned on the same questions and answers.
# Accuracy is counted on prompts, and on whole tasks, that the finetuning did not see.
#
# ```
# workbench run introspection self-prediction --preset cpu     # all twelve tasks, both directions, calibration, probes
# ```

# %%
prediction = get_family("self-prediction")
cut = {"tasks": ("colours", "numbers", "animals"), "directions": ("forward",), "candidates": ("babbler-b",)}
cut |= {"seconds": 1, "shift_pairs": 0, "probe": "none", "samples": 0}
sizes = {"train_prompts": 120, "test_prompts": 60, "epochs": 1}
small = prediction.presets["smoke"].model_copy(update=cut)
cpu = prediction.presets["cpu"].model_copy(update=cut | sizes)
self_record = load_run(run(prediction, small if SMALL else cpu, RUNS, log=print))

# %% [markdown]
# ### Self against cross
# The bar to beat is `commonest answer`: it needs no model, and takes the tested items' own mode, which favours it.
# Self-prediction above cross-prediction says something only if the two models behave alike to begin with; how alike
# they are is in the table below.

# %%
figures_of(self_record)["self_against_cross"].show()

# %%
self_record.load_table("similarity")[["model", "split", "estimate", "low", "high", "n"]].round(2)

# %% [markdown]
# Differences on the same items, with intervals over items and p from sign flips:

# %%
compared = self_record.load_table("comparisons")
compared[["comparison", "split", "metric", "estimate", "low", "high", "p", "n"]].round(3)
