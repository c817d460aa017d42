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
# # Steering: which layer, how strong, what does it break, is it better than a prompt?
# From twenty pairs of texts to a vector with a recommended layer and dose, beside controls that do as much damage. On
# the command line: `workbench run steer --pairs mine.jsonl` ([docs/steer.md](../docs/steer.md)).

# %%
from workbench.notebook import start

SMALL, RUNS = start()
MODEL = "bandit-agent" if SMALL else "smollm2-135m"  # `workbench models get smollm2-135m` fetches it; or your own

# %% [markdown]
# ## Pairs
# Two texts that are alike but for one thing; here whether something happens now or is over. They lie in a file, one a
# line. Yours may have a `prompt` (a text or a chat) that both go on from.

# %%
import json

from workbench.families.steer.concept import read_concept

pairs = read_concept("tense").pairs
folder = RUNS / "my-pairs"
folder.mkdir(parents=True, exist_ok=True)
file = folder / "tense.jsonl"
file.write_text("\n".join(json.dumps({"positive": now, "negative": over}) for now, over in pairs))
print(*pairs[0], sep="\n")

# %% [markdown]
# ## The run
# Half of the pairs make a vector at every layer, a quarter chooses layer and dose, a quarter tests. With 16 pairs
# that leaves 4 to test on: enough to see how it works, and no more.

# %%
from workbench.families import figures_of, run
from workbench.families.steer import STEER, SteerSpec
from workbench.runs import load_run

sizes = {"candidates": 2, "random": 2, "shuffled": 1, "replies": 1, "max_new_tokens": 4} if SMALL else {"candidates": 3}
spec = SteerSpec(model=MODEL, pairs=str(file), doses=(-0.3, -0.1, 0.1, 0.3), **sizes)
record = load_run(run(STEER, spec, RUNS, log=print))
chosen = record.read_json("chosen")
chosen

# %% [markdown]
# Effect and damage of every layer and dose, three examples in front in place of a sentence, random directions.

# %%
figures = figures_of(record)
figures["doses"].show()

# %% [markdown]
# The same against what it costs. Compare at equal KL: a vector that is further right pays more for what it does.

# %%
figures["tradeoff"].show()

# %% [markdown]
# The chosen cell beside its controls, on pairs and texts that nothing was chosen on, each at its own dose of equal
# KL; `wrong_way` is the share of pairs that moved against the direction.

# %%
results = record.load_table("results")
columns = ["method", "side", "dose", "estimate", "low", "high", "items", "wrong_way", "spread", "draws"]
beside = results["method"].isin(["equal", "matched", "prompt", "random", "shuffled"])
results.loc[beside & (results["measure"] == "effect"), columns].round(2)

# %% [markdown]
# ## The vector
# It is saved with its site, dose and range, and refuses other models. `calibrate` finds its dose for a KL of your own.

# %%
from steering import Add, Condition, SteeringVector, calibrate, damage, generate_under
from workbench.models import load_model

model = load_model(MODEL)
vector = SteeringVector.load(record.path / "artifacts" / "vector.safetensors", model)
at = calibrate(vector, model, target_kl=0.05)
print(vector, vector.metadata, at, sep="\n")

# %% [markdown]
# Ways to push a model are conditions; whatever they are, they run as rows of the same batches.

# %%
ways = [
    Condition("unsteered"),
    Condition("vector", (Add(vector, dose=at.dose),)),
    Condition("against", (Add(vector, dose=-at.dose),)),
    Condition("random", (Add(vector.random_like(seed=0), dose=at.dose),)),
]
prompts = ["At the end of the street, a man", "The cat"]
for way, own in zip(ways, generate_under(model, prompts, ways, max_new_tokens=12), strict=True):
    print(f"{way.method:10}", *(prompt + row[0].text for prompt, row in zip(prompts, own, strict=True)), sep=" | ")
damage(model, ways).groupby("method", sort=False)[["kl", "nll"]].mean().round(3)
