"""Small models and tokenizers for the tests. Every weight is random, norms and biases too, so that none is without effect."""

import itertools
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from models.llama import Llama
from models.llama_config import LlamaConfig

UNK, EOS = "[UNK]", "[EOS]"
VOCAB = 32
LOG_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")

Model = TypeVar("Model", bound=nn.Module)

# Before a script and its arguments: as a process of its own, the nursery dataset being as small as `few_stories` makes it.
STORIES = {"train": 60, "test": 40}
LONG_ENOUGH = [  # stories of which each makes a prompt
    {"story": f"{word} little cat and the very big dog was happy."} for word in ("the", "a", "and", "was", "one", "two")
]
FEW_STORIES = [
    sys.executable,
    "-c",
    "import runpy, sys; from models.nursery import generator; "
    f"generator.TRAIN_STORIES, generator.TEST_STORIES = {STORIES['train']}, {STORIES['test']}; "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
]


def failing(monkeypatch: Any, module: Any, name: str, error: BaseException, at: int = 0) -> None:
    """Makes a function that a module uses raise at its call number `at`, from 0."""
    works, calls = getattr(module, name), iter(range(100))

    def function(*arguments: Any, **named: Any) -> Any:
        if next(calls) == at:
            raise error
        return works(*arguments, **named)

    monkeypatch.setattr(module, name, function)


def log_lines(folder: Path) -> list[str]:
    """Of train.log, without the times that every line has before it."""
    lines = (folder / "train.log").read_text().splitlines()
    assert all(LOG_TIME.match(line) for line in lines)
    return [LOG_TIME.sub("", line) for line in lines]


def one_line_error(main: Any, capsys: Any, *words: Any) -> str:
    """What a door's `main` says of a slip in its words: exit code 2, nothing printed, one line, here without its "error: "."""
    capsys.readouterr()  # what a test printed before
    assert main([*map(str, words)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.endswith("\n")
    assert printed.err.count("\n") == 1, printed.err
    return printed.err.removeprefix("error: ").rstrip("\n")


def only_run(output_dir: Path) -> Path:
    """The folder of the one run in there."""
    (config,) = output_dir.glob("*/config.yaml")
    return config.parent


def pixels_of(picture: Path) -> np.ndarray:
    """[height, width, 3], from 0 to 1."""
    return np.asarray(Image.open(picture).convert("RGB")) / 255


def pairwise(*factors: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Rows of one value of each factor; any two values of two factors stand together in one of them. Greedy, no chance in it."""
    levels = [list(factor) for factor in factors]
    pairs = {
        row: set(itertools.combinations(enumerate(row), 2)) for row in itertools.product(*(range(len(level)) for level in levels))
    }
    missing, rows = set().union(*pairs.values()), []
    while missing:
        best = max(pairs, key=lambda row: len(pairs[row] & missing))
        missing -= pairs[best]
        rows.append(tuple(level[i] for level, i in zip(levels, best, strict=True)))
    return rows


def tiny_config(**changes: Any) -> LlamaConfig:
    settings = {
        "vocab_size": VOCAB,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "eos_token_ids": (1,),
    }
    return LlamaConfig(**(settings | changes))


def tiny_llama(seed: int = 0, dtype: torch.dtype = torch.float64, **changes: Any) -> Llama:
    """A model of about 4,000 weights whose next-token distributions are far from uniform."""
    return randomize(Llama(tiny_config(**changes)), seed).to(dtype)


def randomize(model: Model, seed: int, std: float = 0.3) -> Model:
    """normal(0, std) for matrices and biases, 1 + normal(0, std) for norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * std
            parameter.copy_(noise + 1 if parameter.dim() == 1 and not name.endswith("bias") else noise)
    return model.eval()


def transformers_twin(model: Llama) -> Any:
    """transformers' LlamaForCausalLM with the same weights, in the same dtype."""
    from transformers import LlamaConfig as TwinConfig
    from transformers import LlamaForCausalLM

    twin = LlamaForCausalLM(TwinConfig(**model.config.to_hf())).to(model.head.dtype).eval()
    weights = model.state_dict() | {"lm_head.weight": model.head}
    twin.load_state_dict(weights, strict=True)
    return twin


def random_prompts(lengths: Sequence[int], seed: int = 0, vocab: int = VOCAB) -> list[list[int]]:
    """Prompts of the given lengths, without the ids 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(2, vocab, (length,), generator=generator).tolist() for length in lengths]


def model_that_says(word: str, model: Path, folder: Path) -> str:
    """The model of another folder, of tests/conftest.py's kind, with one word far likelier than all others."""
    from models.loading import load_pretrained
    from models.saving import save_pretrained

    loaded = load_pretrained(str(model))
    with torch.no_grad():
        loaded.model.model.embed_tokens.weight[loaded.tokenizer.token_to_id(word), 0] = 30.0
    save_pretrained(loaded.model, loaded.tokenizer, folder)
    return str(folder)


def right_padded(sequences: Sequence[Sequence[int]], fill: int = 0) -> Tensor:
    longest = max(map(len, sequences))
    return torch.tensor([[*sequence, *[fill] * (longest - len(sequence))] for sequence in sequences])


def tiny_tokenizer(size: int = VOCAB) -> Tokenizer:
    """WordPiece over lower-cased words, [UNK]=0, [EOS]=1, EOS appended only with special tokens; at most 54 tokens."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocab = [UNK, EOS, *letters, *(f"##{letter}" for letter in letters)][:size]
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(vocab)}, unk_token=UNK))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([UNK, EOS])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, 1)])
    return tokenizer
