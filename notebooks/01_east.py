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
# # EAST: a vector that makes an agent less sure of itself
# Entropic activation steering (arXiv 2406.00244). A language model plays a two-armed bandit written as text and
# settles early. EAST finds the direction in its residual stream along which it is *uncertain* and adds that while it
# thinks.
#
# First the method by hand, on a few episodes; then the whole experiment, with every control, in a run folder. Without
# `WORKBENCH_SMALL=1` that part is the run of `make demo` (about five minutes on two cores); when `make demo` has
# finished, the notebook opens its results at once.

# %%
from workbench.notebook import start

SMALL, RUNS = start()

# %% [markdown]
# ## The agent
# At each step the agent reads the whole conversation, several completions are drawn, each is parsed to an arm, and
# one valid completion is executed. The entropy of the parsed arms says how undecided the agent is (`ln 2` = 0.69 nats
# at most, for two arms).

# %%
from workbench.models import load_model
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.text import BanditText

model = load_model("bandit-agent")
agent = LanguageAgent(model, BanditText(), completions=6 if SMALL else 10, max_new_tokens=32)

(decision,) = agent.decide([agent.prompt()], seeds=[0])
print(agent.conversation()[0]["content"], "\n")
for text, arm in zip(decision.texts[:4], decision.arms[:4], strict=True):
    print("Thought:" + text.replace("\n", " | "), "-> arm", arm)
print(f"\nentropy {decision.entropy:.2f} nats, {decision.valid:.0%} of the completions can be read")

# %% [markdown]
# ## The vector
# With z the activation at the last prompt token and h the entropy of the action that followed,
#
# `u = (1/Z) sum over runs and steps of h * (z - mean of z over the run)`, `Z = sum of h`.
#
# `rollout` plays the episodes. `replay` reads the activations of all decisions of an episode in one pass.

# %%
from steering import SteeringVector, entropy_weighted, residual_norm
from workbench.activations import replay
from workbench.sites import Site
from workbench.worlds.bandits import GaussianArms
from workbench.worlds.bandits.agents.rollout import rollout

site = Site(3)  # the residual stream after block 3; blocks count from 0
played = rollout(agent, GaussianArms((100, 100)), seeds=range(4 if SMALL else 10), horizon=6 if SMALL else 25)
steps = played.steps
episodes = [[played.prompts[i] for i in rows] for rows in steps.groupby("episode").indices.values()]
z = replay(model, episodes, [site]).activations[site]
u = entropy_weighted(z, steps["entropy"].to_numpy(), steps["episode"].to_numpy())
vector = SteeringVector(site, u, model.fingerprint, name="east, by hand", residual_norm=residual_norm(z))
print(f"{len(steps)} decisions; length of the vector {vector.norm:.2f}, of an activation {vector.residual_norm:.2f}")

# %% [markdown]
# Added while the agent thinks about the last prompt of each of these episodes, next to the same vector with its
# coordinates shuffled: same length, no meaning. The vector was made from these very episodes and there are few of
# them, so this shows how it is done and proves nothing; the run does.

# %%
from steering import Add

prompts = [of_episode[-1] for of_episode in episodes]
for name, added, dose in (("unsteered", vector, 0.0), ("EAST", vector, 0.7), ("shuffled", vector.shuffled(0), 0.7)):
    add = Add(added, dose=dose)  # the length of what is added, as a share of the residual stream's
    decisions = agent.decide(prompts, seeds=range(len(prompts)), interventions=[add])
    entropy = sum(d.entropy for d in decisions) / len(decisions)
    thought = decisions[0].texts[0].replace("\n", " | ")
    print(f"{name:9}  mean entropy {entropy:.2f}  for instance: {thought}")

# %% [markdown]
# ## The experiment
# A spec says all that a run does. The hash of the spec names the run folder, so the same spec opens the same run:
# what the command line has finished is not done again here, and what this cell leaves unfinished the command line
# goes on with.
#
# ```
# workbench run east --preset demo     # this notebook's run
# workbench run east --preset cpu      # larger; --preset gpu has the paper's sizes
# ```

# %%
from workbench.families import read_claims, run
from workbench.families.east import EAST, PRESETS
from workbench.runs import load_run, spec_hash

spec = PRESETS["smoke"].model_copy(update={"renderings": ("buttons",)}) if SMALL else PRESETS["demo"]
print("run folder:", RUNS / "east" / spec_hash(spec))
record = load_run(run(EAST, spec, RUNS, log=print))

# %% [markdown]
# ### What steering does to the entropy
# Solid line: the vector at its chosen layer, on test prompts from other episodes than those on which layer and
# dose were chosen. Beside it every control. Read the lower panel first: where completions no longer parse, the
# entropy of the rest says little.

# %%
from workbench.families import figures_of

figures = figures_of(record)
figures["entropy_by_dose-buttons"].show()

# %% [markdown]
# The same as numbers, at the chosen dose. `difference` is from the unsteered agent, paired on prompts and
# seeds; intervals are 95% and resample whole episodes. An effect counts when EAST's interval lies above zero *and*
# above the intervals of the shuffled and random vectors.

# %%
chosen = record.read_json("chosen")["buttons"]
results = record.load_table("results").query("rendering == 'buttons' and set == 'test' and metric == 'entropy'")
shown = results[(results["layer"] < 0) | (results["dose"] == chosen["dose"])]
columns = ["method", "source", "temperature", "estimate", "low", "high"]
differences = ["difference", "difference_low", "difference_high"]
print("chosen:", chosen)
shown[columns + differences].sort_values("difference", ascending=False).round(2)

# %% [markdown]
# ### Where it works
# Each cell is a layer and a dose, on the prompts by which the framed one was chosen. Grey: too few completions
# parse, so the cell cannot be chosen.

# %%
figures["layer_dose"].show()

# %% [markdown]
# ### What the agent does differently
# Cumulative choices of each arm over the steps of an episode, unsteered (above) and steered (below), on bandits in
# which one arm is better and in which both are alike.

# %%
figures["cumulative_arms-buttons"].show()

# %% [markdown]
# Which words the steered agent uses more often. The vocabulary is the model's; a word that is rare in both says
# little.

# %%
figures["words-buttons"].show()

# %% [markdown]
# Does the vector of one rendering (buttons) work in the other (slot machines)? At small size there is one rendering
# and no such figure.

# %%
if "transfer" in figures:
    figures["transfer"].show()

# %% [markdown]
# ### Which of the paper's claims held
# Including those that did not.

# %%
read_claims(record)[["claim", "on", "held", "evidence"]].style.hide()

# %% [markdown]
# ## Take the vector along
# The run's vector is a file that knows its site and its model; another model refuses it.

# %%
east = SteeringVector.load(record.path / "artifacts" / "vector-buttons.safetensors", model=model)
decisions = agent.decide(prompts, range(len(prompts)), [Add(east, dose=float(chosen["dose"]))])
print(east)
print(f"mean entropy {sum(d.entropy for d in decisions) / len(decisions):.2f}")

# %% [markdown]
# All runs of the folder, the command line's and the notebooks' alike (`workbench runs list` prints the same, and
# `workbench app` shows them in the browser):

# %%
from workbench.runs import list_runs

list_runs(RUNS)[["experiment", "name", "status", "done", "total"]]
