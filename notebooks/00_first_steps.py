# %% [markdown]
# # First steps
# Load a model, read its residual stream, steer it, probe it.  The model ships with the project; any Hugging Face id or
# folder works in its place.

# %%
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from steering import Add, SteeringVector, mean_difference
from workbench.activations import capture
from workbench.environments.bandit_text import BanditText
from workbench.models import load_model

model = load_model("bandit-agent")
model

# %% [markdown]
# Two groups of conversations: in one, button 2 has paid much more; in the other, both pay alike.


# %%
def history(rewards):
    """Tokens of a conversation in which the buttons were pressed in turn, up to the next thought."""
    messages = [{"role": "user", "content": BanditText().instructions()}]
    for i, reward in enumerate(rewards):
        thought = "Thought: Perhaps Button 1 pays more, but more trials are needed."
        messages.append({"role": "assistant", "content": f"{thought}\nAction: I choose Button {i % 2 + 1}."})
        messages.append({"role": "user", "content": f"Button {i % 2 + 1} paid {reward} points."})
    return model.encode(messages) + model.encode_continuation("Thought:")


rng = np.random.default_rng(0)
clear = [history(np.where(np.arange(8) % 2, 115, 85) + rng.integers(-5, 6, 8)) for _ in range(20)]
even = [history(100 + rng.integers(-5, 6, 8)) for _ in range(20)]

# %% [markdown]
# Activations at the last prompt token, in the middle of the network.

# %%
activations = capture(model, clear + even, sites="3.resid_post", positions="last")
z = next(iter(activations.activations.values()))
uncertain = np.array([False] * 20 + [True] * 20)
print(z.shape, "probe accuracy:", cross_val_score(LogisticRegression(max_iter=2000), z.numpy(), uncertain, cv=5).mean())

# %% [markdown]
# The difference of the two means is a steering vector.  Add it, in units of the residual stream's mean norm, at the
# last prompt token and while the model thinks.

# %%
vector = SteeringVector("3.resid_post", mean_difference(z, uncertain), model.fingerprint, name="uncertain")
norm = z.norm(dim=-1).mean().item()
for dose in (0.0, 0.3, 0.6):
    add = Add(vector.site, vector.normalized() * norm, dose)
    completion = model.generate(clear[:1], 3, interventions=[add], seeds=1)[0]
    print(f"dose {dose}:")
    print("\n".join("   " + c.text.replace("\n", " | ") for c in completion))
