"""Chat templates: the ids are those of transformers' apply_chat_template, and what fails is one line."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from configs.errors import UserError
from models.chat import chat_encoder
from models.loading import load_pretrained
from tests.helpers import tiny_tokenizer
from tests.models.folders import rewrite_json

TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'user' %}{{ raise_exception('no such role') }}{% endif %}"
    "q {{ message['content'] | trim }} [EOS]{% endfor %}{% if add_generation_prompt %} r{% endif %}"
)


@pytest.mark.parametrize("file", ["chat_template.jinja", "tokenizer_config.json"])
def test_questions_have_the_ids_that_transformers_gives(folder: Path, file: str):
    if file.endswith("jinja"):
        (folder / file).write_text(TEMPLATE)
    else:
        rewrite_json(folder / file, chat_template=TEMPLATE)
    tokenizer = tiny_tokenizer()
    tokenizer.enable_padding(pad_id=1, length=30)  # nothing of it is in a prompt
    tokenizer.save(str(folder / "tokenizer.json"))
    pretrained = load_pretrained(str(folder))
    texts = ["cab", "ab cd [EOS] e", ""]
    rows = chat_encoder(pretrained)(texts)
    theirs = AutoTokenizer.from_pretrained(folder)
    for text, ids in zip(texts, rows, strict=True):
        messages = [{"role": "user", "content": text}]
        assert ids == theirs.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    by_hand = pretrained.tokenizer.encode("q cab [EOS] r", add_special_tokens=False).ids
    assert rows[0] == by_hand and by_hand[-2] == 1


REFUSED = {
    "no template": (None, "has no chat template; --env.name stories is for models without"),
    "one that raises": ("{{ raise_exception('not this') }}", "its chat template fails: not this"),
    "one that is broken": ("{% for %}", "its chat template fails: "),
}


@pytest.mark.parametrize(("template", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_is_one_line(folder: Path, template: str | None, said: str):
    rewrite_json(folder / "tokenizer_config.json", chat_template=template)
    with pytest.raises(UserError) as refusal:
        chat_encoder(load_pretrained(str(folder)))(["cab"])
    message = str(refusal.value)
    assert message.startswith(f"--env.name chat: the model {folder}") and said in message and "\n" not in message


def test_a_token_that_only_transformers_adds_is_refused(folder: Path):
    rewrite_json(folder / "tokenizer_config.json", chat_template="<|q|>{{ messages[0].content }}", pad_token="<|q|>")
    with pytest.raises(UserError, match=r"its chat template makes token 32, which tokenizer\.json has not"):
        chat_encoder(load_pretrained(str(folder)))(["cab"])
