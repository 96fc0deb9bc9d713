"""What both sides of `bench.against_trl` are given: a folder with a model, its prompts, and how much to sample of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer

from configs.errors import UserError
from configs.experiment import AdapterSettings, EnvironmentSettings, Experiment, RoutingSettings, SamplingSettings
from envs.rewards import happy_count
from envs.types import Completion, Prompt
from grpo.run import Run, build_run, prepare, step_prompts
from models.decoder import LanguageModel
from models.llama import Llama, initialize
from models.llama_config import LlamaConfig
from models.loading import load_pretrained
from models.saving import save_pretrained

REWARD = "happy_count"
BETA = 0.02
LEARNING_RATE = {True: 3e-4, False: 1e-5}  # with adapters or without; on both sides
PROMPT_LENGTH, COMPLETION_LENGTH = 8, 128
RANK, GAIN = 8, 4.0  # of TRL's one adapter; ours are two of half the rank, with the same gain alpha / rank
DEVICE_BATCH = 8  # TRL's fastest on two cores: all 32 as one batch take 12 % more processor time, some 7 % more by the clock
UNKNOWN = "[UNK]"  # a token that nursery never writes
SMOLLM2 = LlamaConfig(
    vocab_size=49_152, hidden_size=576, intermediate_size=1_536, num_hidden_layers=4, num_attention_heads=9,
    num_key_value_heads=3, head_dim=64, max_position_embeddings=8_192, rms_norm_eps=1e-5, rope_theta=100_000.0,
    tie_word_embeddings=True, attention_bias=False, mlp_bias=False, eos_token_ids=(0,),
)  # fmt: skip # SmolLM2-135M has 30 layers; the rest is its own


class Unequal(Exception):
    """The two sides do not do the same work."""


@dataclass(frozen=True)
class Workload:
    """Steps of `prompts` x `generations` completions, with adapters or on all weights."""

    folder: Path
    adapters: bool
    full_length: bool  # no row ends before COMPLETION_LENGTH
    device_batch: int  # completions that TRL computes at a time in its update
    prompts: int = 2
    generations: int = 16

    @property
    def batch_size(self) -> int:
        return self.prompts * self.generations


@contextmanager
def model_folders(real: bool) -> Iterator[dict[str, Path]]:
    """Folders, for a while, that both sides load: nursery as `natural` and `full_length`, and SMOLLM2 as `real` if wanted."""
    with TemporaryDirectory() as temporary:
        folders = {name: Path(temporary) / name for name in ("natural", "full_length", "real")}
        nursery = load_pretrained("nursery")
        save_model(nursery.model, nursery.tokenizer, folders["natural"])
        nursery.model.config = replace(nursery.model.config, eos_token_ids=(unknown_id(nursery.tokenizer),))
        save_model(nursery.model, nursery.tokenizer, folders["full_length"])
        if real:
            save_model(random_model(SMOLLM2), widened(nursery.tokenizer, SMOLLM2.vocab_size), folders["real"])
        yield folders


def unknown_id(tokenizer: Tokenizer) -> int:
    token = tokenizer.token_to_id(UNKNOWN)
    assert token is not None
    return token


def save_model(model: LanguageModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Without the tokenizer's habit of ending a text with EOS, which TRL would leave at the end of every prompt."""
    save_pretrained(model, tokenizer, folder)
    edit_tokenizer(folder / "tokenizer.json", post_processor=None)


def edit_tokenizer(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def widened(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """The tokenizer with words that no text has, until its vocabulary is of `size`."""
    contents = json.loads(tokenizer.to_str())
    vocabulary = contents["model"]["vocab"]
    vocabulary |= {f"nothing{i}": i for i in range(len(vocabulary), size)}
    return Tokenizer.from_str(json.dumps(contents))


def random_model(config: LlamaConfig) -> Llama:
    """Fresh weights under which EOS never comes: one hidden number is the same for all tokens, and EOS's row opposes it.

    Random weights would sample EOS once in a vocabulary, and one row of a batch would end early on one side alone.
    """
    model = Llama(config)
    initialize(model, seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):  # what layers add to the hidden state
                parameter[0] = 0.0
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.model.embed_tokens.weight[config.eos_token_ids[0], 0] = -1.0
    return model


def experiment_of(workload: Workload, steps: int) -> Experiment:
    """Ours: with adapters the routed main job, retain and forget of half the rank each."""
    return Experiment(
        reward=REWARD,
        model=str(workload.folder),
        max_steps=steps,
        batch_size=workload.batch_size,
        num_generations=workload.generations,
        lr=LEARNING_RATE[workload.adapters],
        beta=BETA,
        device="cpu",
        env=EnvironmentSettings(prompt_length=PROMPT_LENGTH, num_prompts=max(steps * workload.prompts, 64), num_eval_prompts=1),
        routing=RoutingSettings(enabled=workload.adapters),
        adapter=AdapterSettings() if not workload.adapters else half_rank_adapters(),
        sampling=SamplingSettings(max_completion_length=COMPLETION_LENGTH),
    )


def half_rank_adapters() -> AdapterSettings:
    half = RANK // 2
    return AdapterSettings(retain_rank=half, forget_rank=half, alpha=GAIN * half)


def our_run(workload: Workload, steps: int) -> Run:
    return build_run(prepare(experiment_of(workload, steps)))


def prompts_of(run: Run, steps: int) -> list[Prompt]:
    """Of all steps, one after the other. Raises UserError for a text that the tokenizer does not read back to the same ids."""
    prompts = [prompt for step in range(steps) for prompt in step_prompts(run, step)]
    for prompt in prompts:
        if tuple(run.tokenizer.encode(prompt.text).ids) != prompt.token_ids:
            raise UserError(f"the prompt {prompt.text!r} is not read back to its {PROMPT_LENGTH} tokens: the sides would differ")
    return prompts


def rewards_of(texts: list[str]) -> list[float]:
    """What our side's REWARD pays for completions, from their texts alone."""
    nothing = Prompt(0, "", ())
    return happy_count([Completion(text, (), (), nothing, finished=False) for text in texts])
