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
# # Your own experiment
# A new environment, a new probe and a new steering-vector estimator, registered and swept. In this notebook they live
# in the notebook; in the project each is one file and the same one line where its kind is registered.
#
# The question: an agent that has learned on Gaussian payments meets a bandit with **jackpots**. Do its activations
# say that the last payment was one, and does a vector made from such moments change how undecided it is?

# %%
from workbench.notebook import start

SMALL, RUNS = start()

# %% [markdown]
# ## An environment
# What the arms of a bandit pay is a small protocol, `Arms`: means, a range, a check, and rewards from uniform
# numbers. Everything else (seeds, oracles, text, rollouts, pairing of conditions) comes with it.

# %%
from dataclasses import dataclass

import gymnasium
import numpy as np

from workbench.errors import SpecError
from workbench.worlds.bandits import GaussianBandit

JACKPOT = 60.0


@dataclass(frozen=True)
class JackpotArms:
    """Arms that pay their mean, give or take 5, and one time in four ``JACKPOT`` more."""

    means: tuple[float, ...]
    reward_range: tuple[float, float] = (-1e6, 1e6)

    def check(self, means):
        if abs(means).max() > 1e5:
            raise SpecError("means of jackpot arms lie within 1e5")

    def rewards(self, uniform, means):
        jackpot = uniform < 0.25
        spread = np.where(jackpot, 0.5, (uniform - 0.25) / 0.75)  # what is left of the number, uniform in [0, 1)
        return means + 10 * spread - 5 + JACKPOT * jackpot


class JackpotBandit(GaussianBandit):
    """The same as a Gymnasium environment."""

    def __init__(self, means=(95.0, 105.0), horizon=50):
        super().__init__(means, horizon=horizon)
        self.arms = JackpotArms(tuple(means))


# %% [markdown]
# Registered with Gymnasium, it is found by name; Gymnasium's own checker goes over it.

# %%
from gymnasium.utils.env_checker import check_env

if "lab/Jackpot-v0" not in gymnasium.registry:
    gymnasium.register(id="lab/Jackpot-v0", entry_point=JackpotBandit)
env = gymnasium.make("lab/Jackpot-v0", means=(100.0, 100.0), horizon=20)
check_env(env.unwrapped, skip_render_check=True)
observation, info = env.reset(seed=0)
print([round(float(env.step(k % 2)[1])) for k in range(20)])

# %% [markdown]
# The language agent plays it as it is, beside an oracle that maximises an upper confidence bound.

# %%
import pandas as pd

from workbench.models import load_model
from workbench.worlds.bandits import play
from workbench.worlds.bandits.agents.behaviour import summarise
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.agents.rollout import rollout
from workbench.worlds.bandits.text import BanditText

EPISODES, HORIZON, DRAWN = (8, 7, 4) if SMALL else (16, 25, 8)
ARMS = JackpotArms((95.0, 105.0))
model = load_model("bandit-agent")
agent = LanguageAgent(model, BanditText(), completions=DRAWN, max_new_tokens=32)


def play_agent(episodes, horizon):
    """Episodes of the agent among jackpots, one row a step."""
    return rollout(agent, ARMS, seeds=range(episodes), horizon=horizon).steps


steps = play_agent(EPISODES, HORIZON)
oracle = play("ucb", gymnasium.make("lab/Jackpot-v0", means=ARMS.means, horizon=HORIZON), range(EPISODES))
both = pd.concat([steps.assign(player="agent"), oracle.assign(player="upper confidence bound")])
summarise(both, by=["player"], measures=["regret", "greedy_rate", "entropy"]).round(2)

# %% [markdown]
# ## A source of activations
# What a probe sweep reads: one labelled row a decision. `model` acts and `reader` is read; they differ only for the
# control `untrained`, for which `play_once` keeps the episodes. Groups are episodes, which are never split. Sizes are
# options: what a run depends on stands in its spec.

# %%
from workbench.activations import ActivationSet, replay
from workbench.activations.sources import Source, play_once
from workbench.families.probe_sweep import sources
from workbench.worlds.bandits.agents.rollout import prompts_of


def read_jackpots(options, *, model, reader, sites, positions, device=None, progress=False):
    size = options["episodes"], options["horizon"]
    steps = play_once(model, ("jackpots", *size), lambda: play_agent(*size))
    prompts, of_episode = prompts_of(agent, steps), steps["episode"]
    episodes = [[prompts[i] for i in rows] for rows in steps.groupby("episode").indices.values()]
    read = replay(reader, episodes, list(sites), dtype="float32", progress=progress)
    paid = steps.groupby("episode")["reward"].shift()  # what the prompt ends on; nothing at an episode's first step
    jackpot = (paid > 130).map({True: "yes", False: "no"}).where(paid.notna())
    undecided = (steps["entropy"] > steps["entropy"].mean()).map({True: "yes", False: "no"}).where(paid.notna())
    labels = pd.DataFrame({"jackpot": jackpot, "undecided": undecided})
    found = ActivationSet(read.activations, labels, of_episode, reader.fingerprint, reader.basis, reader.name)
    return dict.fromkeys(positions, found)


def known_labels(options, positions):
    return {"jackpot": "classification", "undecided": "classification"}


JACKPOTS = Source(read_jackpots, known_labels)
sources()["jackpots"] = lambda: JACKPOTS

# %% [markdown]
# ## A probe
# Any scikit-learn classifier is one. This one sees the first `k` principal components only: is a property among the
# large directions of the activations, or in a corner?

# %%
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from probes import PROBES


class PrincipalProbe(ClassifierMixin, BaseEstimator):
    """Logistic regression on the first ``k`` principal components."""

    def __init__(self, k=8):
        self.k = k

    def fit(self, X, y, groups=None):
        X = np.asarray(X)
        self.pipeline_ = make_pipeline(PCA(min(self.k, *X.shape)), LogisticRegression(max_iter=5000)).fit(X, y)
        self.classes_ = self.pipeline_.classes_
        return self

    def predict(self, X):
        return self.pipeline_.predict(np.asarray(X))

    def predict_proba(self, X):
        return self.pipeline_.predict_proba(np.asarray(X))


PROBES["principal"] = "__main__:PrincipalProbe"

# %% [markdown]
# ## The sweep
# Sites x targets x probes, each cell beside its controls. `k` is a list, hence an axis of the grid. `jobs=1`, because
# what is registered in a notebook is known in this process only; in a module of the project it is known everywhere,
# and `workbench sweep FILE.yaml --jobs 8` (or `--engine ray`, `slurm`) does the same from a file.

# %%
from workbench.families import figures_of
from workbench.families.probe_sweep import SweepSpec
from workbench.families.probe_sweep import run as run_sweep
from workbench.runs import load_run

spec = SweepSpec.model_validate({
    "source": {"kind": "jackpots", "episodes": EPISODES, "horizon": HORIZON},
    "models": ["bandit-agent"],
    "sites": [3] if SMALL else ["all"],
    "targets": ["jackpot", "undecided"],
    "probes": {"principal": {"k": [2] if SMALL else [2, 8, 32]}, "mass-mean": {}},
    "controls": ["majority", "shuffled", "untrained"],
    "folds": 2 if SMALL else 5, "shuffles": 1, "resamples": 100 if SMALL else 1000,
})  # fmt: skip
swept = load_run(run_sweep(spec, RUNS, jobs=1, log=print))
for name, figure in figures_of(swept).items():
    if name.startswith("layers"):
        figure.show()

# %% [markdown]
# The payment is written in the prompt, so an untrained model's activations give the jackpot away as well: the probe
# alone does not show that the agent cares. Hence the second half.

# %% [markdown]
# ## An estimator
# A function from labelled activations [rows, d] to a direction [d]. Fisher's direction is the difference of the means
# seen through the inverse covariance within the classes.

# %%
import torch

from steering import ESTIMATORS, Add, SteeringVector, get_estimator, mean_difference, residual_norm


def fisher(activations, positive, groups=None, shrinkage=0.2):
    mask = torch.as_tensor(np.asarray(positive, dtype=bool))
    z = activations.double()
    within = torch.cat([z[mask] - z[mask].mean(0), z[~mask] - z[~mask].mean(0)])
    covariance = within.T @ within / len(z)
    isotropic = covariance.diagonal().mean() * torch.eye(len(covariance), dtype=z.dtype)
    mixed = (1 - shrinkage) * covariance + shrinkage * isotropic
    return torch.linalg.solve(mixed, mean_difference(activations, positive, groups).double()).float()


ESTIMATORS["fisher"] = fisher

# %% [markdown]
# ## A family of its own
# A `Family` is an experiment that can be run, stopped, gone on with and looked at: a spec, steps, what follows from
# their rows, claims, figures ([docs/families.md](../docs/families.md)). Here a step steers at one estimator, control
# and dose, on prompts from episodes that no vector has seen, all with the same seeds. Doses are shares of the
# activation's length, so that estimators are compared at equal size; each vector stands beside its shuffled control.

# %%
from functools import partial

import plotly.express as px

from workbench.families import Claim, Family, ModelSpec, Step, read_claims, run, verdict
from workbench.figures.style import finish as finished
from workbench.sites import Site
from workbench.statistics import cluster_bootstrap

SITE = Site(3)
fresh = rollout(agent, ARMS, seeds=range(1000, 1000 + max(3, EPISODES // 2)), horizon=HORIZON)
picked = np.random.default_rng(0).permutation(len(fresh.prompts))[: 6 if SMALL else 60]
PROMPTS, OF_EPISODE = [fresh.prompts[i] for i in picked], fresh.steps["episode"].to_numpy()[picked]
KEYS = ["estimator", "control", "dose"]


class JackpotSpec(ModelSpec):
    """All that a run depends on; its hash names the run folder, so the same values go on where they stopped."""

    model: str = "bandit-agent"
    estimators: tuple[str, ...] = ("mean_difference", "pca_difference", "linear_probe", "fisher")
    doses: tuple[float, ...] = (-0.3, 0.3)
    arms: str = str(ARMS)
    episodes: int = EPISODES
    horizon: int = HORIZON
    drawn: int = DRAWN


def steps(spec):
    yield Step("unsteered", "the agent as it is", partial(steer, "unsteered", "none", 0.0))
    for name in spec.estimators:
        for control in ("none", "shuffled"):
            for dose in spec.doses:
                what = f"{name}, control {control}, dose {dose:g}"
                yield Step(f"{name}-{control}-{dose:g}", what, partial(steer, name, control, dose))


def steer(name, control, dose, run):
    """One row a prompt: entropy of the actions and share of readable completions."""
    adds = []
    if name != "unsteered":
        found = ActivationSet.load(swept.path / "artifacts" / "activations" / "bandit-agent" / "last")
        known = np.flatnonzero(found.labels["jackpot"].notna())
        z, jackpot = found.activations[SITE][known], (found.labels["jackpot"] == "yes").to_numpy()[known]
        vector = SteeringVector(SITE, get_estimator(name)(z, jackpot), found.fingerprint, found.basis,
                                residual_norm=residual_norm(z))  # fmt: skip
        vector = vector.shuffled(seed=0) if control == "shuffled" else vector
        adds = [Add(vector, dose=dose)]
    decisions = agent.decide(PROMPTS, seeds=range(len(PROMPTS)), interventions=adds)
    rows = {"entropy": [d.entropy for d in decisions], "valid": [d.valid for d in decisions]}
    place = {"prompt": range(len(PROMPTS)), "episode": OF_EPISODE}
    return pd.DataFrame({"estimator": name, "control": control, "dose": dose} | place | rows)


def change(part, other):
    """Entropy less that of ``other`` on the same prompts, where both could be read, with an interval over episodes."""
    both = part.merge(other, on=["prompt", "episode"], suffixes=("", "_other")).dropna()
    return cluster_bootstrap(both["entropy"] - both["entropy_other"], both["episode"])


def finish(run):
    rows = run.folder.rows()
    base = rows[rows["estimator"] == "unsteered"]
    table = [
        dict(zip(KEYS, key, strict=True)) | {"valid": part["valid"].mean()} | vars(change(part, base))
        for key, part in rows[rows["estimator"] != "unsteered"].groupby(KEYS)
    ]
    run.folder.save_table("changes", pd.DataFrame(table))


def beyond_control(run):
    rows = run.folder.rows()
    for (name, dose), part in rows[rows["estimator"] != "unsteered"].groupby(["estimator", "dose"]):
        by = dict(list(part.groupby("control")))
        yield verdict("entropy, vector less shuffled", change(by["none"], by["shuffled"]), f"{name}, dose {dose:g}",
                      sign=1 if dose > 0 else -1)  # fmt: skip


def changes(table):
    shown = table.assign(up=table["high"] - table["estimate"], down=table["estimate"] - table["low"])
    shown["vector"] = shown["estimator"] + " x " + shown["dose"].map("{:+g}".format)
    shown["control"] = shown["control"].replace("none", "the vector")
    figure = px.scatter(shown, x="vector", y="estimate", color="control", error_y="up", error_y_minus="down")
    figure.update_yaxes(title="change in action entropy (nats)").add_hline(y=0, line_dash="dot")
    return finished(figure, "What the vectors do", "95% intervals over episodes", width=850)


FAMILY = Family(
    "jackpots", "Jackpots: vectors of a label of one's own", JackpotSpec, {}, steps, finish,
    claims=lambda: [Claim("the vector moves entropy further than its shuffled control", beyond_control)],
    figures=lambda record: {"changes": partial(changes, record.load_table("changes"))},
)  # fmt: skip
spec = JackpotSpec(estimators=("mean_difference", "fisher"), doses=(0.3,)) if SMALL else JackpotSpec()
record = load_run(run(FAMILY, spec, RUNS, log=print))

# %% [markdown]
# ## What came out
# Difference in entropy from the unsteered agent, paired on prompts and seeds; intervals resample episodes. An
# estimator has found something when its interval lies apart from zero *and* from its shuffled control's.

# %%
record.load_table("changes").round(2)

# %%
FAMILY.figures(record)["changes"]().show()

# %%
read_claims(record)[["claim", "on", "held", "evidence"]].style.hide()

# %% [markdown]
# In a package of yours, with `FAMILY` named under the entry point `workbench.families`, the same object gives
# `workbench run jackpots` with its `--help`, `--dry-run` and report, and a page in the explorer.

# %% [markdown]
# Both runs are ordinary run folders: `workbench runs list`, `workbench app` and `list_runs` show them, and running
# this notebook again goes on where it stopped.

# %%
from workbench.runs import list_runs

list_runs(RUNS)[["experiment", "name", "status", "done", "total"]]
