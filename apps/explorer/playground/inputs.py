"""What the model is given: a text, a chat, or a game; each ends in the two sides that the views compare."""

from __future__ import annotations

import re

import streamlit as st

from apps.explorer.playground.games import game_of, game_sides, games
from apps.explorer.playground.sides import Sides, write_sides
from apps.explorer.playground.steering import Push, interventions_of
from workbench.errors import DataError
from workbench.models.fingerprint import stamp_of
from workbench.models.sampling import PLAIN, HowToSample
from workbench.views.choices import number, pick_one, slide, write
from workbench.views.jobs import Job, computed
from workbench.views.model_cache import LoadedModel

_KINDS = ("Text", "Chat")
_HELP = (
    "A line that begins with system:, user: or assistant: begins a message; an assistant: message at the end is gone on"
    " with."
)
_ROLE = re.compile(r"^(system|user|assistant):[ \t]?", re.MULTILINE)
_TEXT = "There are 2 buttons. Each press pays a random number of points. Find out which one pays more on average."
_CHAT = f"user: {_TEXT} Answer each round with a line that starts with Thought: and a line that starts with Action:"


def choose_sides(loaded: LoadedModel, pushes: tuple[Push, ...]) -> Sides | None:
    """The sides, or None while they are being computed (the page then shows how far it is)."""
    kind = pick_one("Input", (*_KINDS, *games()), "input", game_of(loaded.source) or "Text")
    if kind in games():
        return game_sides(kind, loaded, pushes)
    return _written(loaded, pushes, chat=kind == "Chat")


def _written(loaded: LoadedModel, pushes: tuple[Push, ...], chat: bool) -> Sides | None:
    text = write("Chat", "chat", _CHAT, rows=5, help=_HELP) if chat else write("Prompt", "text", _TEXT, rows=5)
    tokens, temperature, seed = _sampling(loaded.model.sampling)
    messages = read_chat(text) if chat else []

    def work(job: Job) -> Sides:
        with loaded.held_by(job) as model:
            prompt = model.encode(messages if chat else text)
            sides = write_sides(model, prompt, interventions_of(pushes), job, tokens, temperature, seed)
        return Sides(sides, inputs)

    inputs = (*stamp_of(loaded.model).values(), chat, text, tokens, temperature, seed, pushes)
    return computed("sides", inputs, "Writing", work)


def _sampling(own: HowToSample) -> tuple[int, float, int]:
    first, second, third = st.columns(3)
    tokens = slide("New tokens", 0, 256, "tokens", 32, 1, at=first)
    usual = min(own["temperature"], 2.0)
    kept = ", ".join(f"{key} {value:g}" for key, value in own.items() if key != "temperature" and value != PLAIN[key])
    said = f"0 takes the likeliest token; the model's own is {usual:g}" + (f" (and {kept}, kept)" if kept else "")
    temperature = slide("Temperature", 0.0, 2.0, "temperature", usual, 0.1, help=said, at=second)
    seed = number("Seed", 0, 10**6, "seed", 0, help="both sides draw from the same random numbers", at=third)
    return tokens, temperature, seed


def read_chat(text: str) -> list[dict[str, str]]:
    """Messages from text in which a line that begins with a role begins a message.

    >>> read_chat("user: Hi\\nthere\\nassistant: Hello")
    [{'role': 'user', 'content': 'Hi\\nthere'}, {'role': 'assistant', 'content': 'Hello'}]
    """
    found = list(_ROLE.finditer(text))
    if not found or text[: found[0].start()].strip():
        raise DataError("a chat begins with system:, user: or assistant:, and so does each of its messages")
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [
        {"role": match[1], "content": text[match.end() : end].strip()} for match, end in zip(found, ends, strict=True)
    ]
