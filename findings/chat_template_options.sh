#!/usr/bin/env bash
# transformers 5.23.0: `apply_chat_template` takes any keyword and hands it to the template; one that the template never reads (a slip such
# as `enable_thinkng=False`, or another model's switch) changes nothing and is not said.  What runs is then another prompt than was meant.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "transformers==5.23.0" "jinja2==3.1.6"
"$work/venv/bin/python" - <<'PY'
import warnings

import transformers
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

warnings.simplefilter("error")
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a")))
tokenizer.chat_template = (
    "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %} <think></think>{% endif %}"
)
chat = [{"role": "user", "content": "a"}]
written = {
    str(options): tokenizer.apply_chat_template(chat, tokenize=False, **options)
    for options in ({}, {"enable_thinking": False}, {"enable_thinkng": False}, {"reasoning_effort": "low"})
}
print(f"transformers {transformers.__version__}")
for options, text in written.items():
    print(f"  {options or 'no option'}: {text!r}")
plain, known, slip, other = written.values()
assert known != plain and slip == other == plain, "the behaviour has changed"
PY
# Seen (Python 3.11):
#   {}: 'a'; {'enable_thinking': False}: 'a <think></think>'; {'enable_thinkng': False}: 'a'; {'reasoning_effort': 'low'}: 'a'
