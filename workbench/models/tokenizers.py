"""A word-level tokenizer that loses nothing.

Known words and the integers 0-160 are single tokens (with their leading space, as in GPT-2); anything else falls back
to characters, so that any ASCII text survives a round trip.  It is a Unigram model whose words score far above its
characters, which makes the best segmentation the one with the fewest pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

_SPLIT = r"Thought:|Action:|\n| ?\d+| ?[A-Za-z]+| ?[^\sA-Za-z\d]+| +"
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}{% endfor %}"
)


def pretokenize(text: str) -> list[str]:
    """The pieces between which a token never reaches."""
    return re.findall(_SPLIT, text)


def word_tokenizer(texts: Iterable[str], max_integer: int = 160) -> PreTrainedTokenizerFast:
    """A Hugging Face tokenizer whose words are those of ``texts``, with a plain chat template.

    >>> tok = word_tokenizer(["Button 2 paid"])
    >>> tok.tokenize("Button 2 paid 97"), tok.decode(tok("paid odd: ~7", add_special_tokens=False)["input_ids"])
    (['Button', ' 2', ' paid', ' 97'], 'paid odd: ~7')
    """
    characters = [chr(c) for c in range(32, 127)] + ["\n"]
    numbers = [f" {n}" for n in range(max_integer + 1)]
    words = dict.fromkeys(numbers + sorted({piece for text in texts for piece in pretokenize(text)}))
    pieces = [(token, 0.0) for token in SPECIAL] + [(c, -20.0) for c in characters]
    pieces += [(word, -1.0) for word in words if word not in characters]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=SPECIAL.index("<unk>")))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
