"""Pretrains nursery on its corpus: `uv run python -m models.nursery.making.pretrain`.

Each row of a batch is one story with its EOS, from position 0, as the sampler will use the model; batches are
made of stories of like length, so that little of them is padding. Every draw is a function of (seed, epoch), so
a run that was stopped continues where it was from its last checkpoint in `--work`.
"""

import argparse
import json
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.decoder import LanguageModel
from models.llama import Llama, initialize
from models.llama_config import LlamaConfig
from models.nursery.generator import DATA, stories

CONFIG = LlamaConfig(
    vocab_size=4096, hidden_size=128, intermediate_size=341, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    head_dim=32, max_position_embeddings=512, rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=True,
    attention_bias=False, mlp_bias=False, eos_token_ids=(1,),
)  # fmt: skip
LONGEST = 256  # tokens of a story kept
ROWS_AT_ONCE = 16  # rows a forward pass: their logits stay in the processor's cache
IGNORED = -100


def encode(texts: list[str], tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids with EOS, cut at LONGEST."""
    return [encoding.ids[:LONGEST] for encoding in tokenizer.encode_batch(texts, add_special_tokens=True)]


def epoch_batches(rows: list[list[int]], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Row numbers of each batch of an epoch: shuffled, sorted by length within stretches of 50 batches."""
    generator = random.Random(f"{seed}/{epoch}")
    order = list(range(len(rows)))
    generator.shuffle(order)
    stretch = 50 * batch_size
    batches = []
    for start in range(0, len(order) - batch_size + 1, stretch):
        part = sorted(order[start : start + stretch], key=lambda i: len(rows[i]))
        batches += [part[i : i + batch_size] for i in range(0, len(part) - batch_size + 1, batch_size)]
    generator.shuffle(batches)
    return batches


def padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Inputs and next-token targets [N, T], targets IGNORED beyond a row's end."""
    ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=IGNORED)
    return ids[:, :-1].clamp(min=0), ids[:, 1:]


def summed_loss(model: LanguageModel, rows: list[list[int]]) -> tuple[Tensor, int]:
    """Cross-entropy summed over the real tokens, in nats, and how many they are."""
    ids, targets = padded(rows)
    logits = model(ids) @ model.head.T
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
    return loss, int((targets != IGNORED).sum())


@torch.no_grad()
def held_out_loss(model: LanguageModel, rows: list[list[int]]) -> float:
    """Nats a token over all rows."""
    rows = sorted(rows, key=len)
    sums, counts = zip(*(summed_loss(model, rows[i : i + ROWS_AT_ONCE]) for i in range(0, len(rows), ROWS_AT_ONCE)), strict=True)
    return float(sum(sums)) / sum(counts)


def learning_rate(step: int, total: int, peak: float, warmup: int = 100) -> float:
    """Rises linearly over `warmup` steps (in a short run over half of them), then falls linearly to almost zero."""
    warmup = min(warmup, total // 2)
    return peak * min((step + 1) / max(warmup, 1), (total - step) / (total - warmup))


def save_state(file: Path, model: Llama, optimizer: torch.optim.Optimizer, step: int, tokens: int) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "tokens": tokens}
    torch.save(state, file.with_suffix(".tmp"))
    file.with_suffix(".tmp").replace(file)


def load_state(file: Path, model: Llama, optimizer: torch.optim.Optimizer) -> tuple[int, int]:
    """Steps taken and tokens seen."""
    state = torch.load(file)
    model.load_state_dict(state["model"], strict=True)
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["tokens"]


def train_step(model: Llama, optimizer: torch.optim.Optimizer, rows: list[list[int]], lr: float) -> float:
    """The mean loss over the rows' tokens, before the step."""
    tokens = sum(len(row) - 1 for row in rows)
    loss = 0.0
    for i in range(0, len(rows), ROWS_AT_ONCE):
        part, _ = summed_loss(model, rows[i : i + ROWS_AT_ONCE])
        (part / tokens).backward()
        loss += part.item() / tokens
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad()
    return loss


def pretrain(options: argparse.Namespace) -> None:
    tokenizer = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    train, test = encode(list(stories("train")), tokenizer), encode(list(stories("test", 2000)), tokenizer)
    model = Llama(CONFIG)
    initialize(model, options.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.95), weight_decay=0.1)
    options.work.mkdir(parents=True, exist_ok=True)
    state = options.work / "state.pt"
    start, seen = load_state(state, model, optimizer) if state.exists() else (0, 0)
    batches = [
        batch for epoch in range(options.epochs) for batch in epoch_batches(train, options.batch_size, options.seed, epoch)
    ]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with (options.work / "log.jsonl").open("a") as log, Progress(*columns, refresh_per_second=1) as progress:
        task = progress.add_task("pretraining", total=len(batches), completed=start)
        for step, batch in enumerate(batches[start:], start=start + 1):
            rows = [train[i] for i in batch]
            loss = train_step(model, optimizer, rows, learning_rate(step - 1, len(batches), options.lr))
            seen += sum(len(row) - 1 for row in rows)
            progress.update(task, advance=1, description=f"loss {loss:.3f}")
            if step % options.eval_every == 0 or step == len(batches):
                line = {"step": step, "tokens": seen, "loss": loss, "held_out_loss": held_out_loss(model, test)}
                progress.console.print(line)
                print(json.dumps(line), file=log, flush=True)
                save_state(state, model, optimizer, step, seen)
    save_file(dict(model.named_parameters()), DATA / "model.safetensors", metadata={"format": "pt"})
    (DATA / "config.json").write_text(json.dumps(CONFIG.to_hf(), indent=2) + "\n")
    outcome = {"work": str(options.work), "steps": len(batches), "tokens": seen, "held_out_loss": held_out_loss(model, test)}
    (DATA / "pretraining.json").write_text(json.dumps(vars(options) | outcome, indent=2) + "\n")
    print(f"weights in {DATA}; next: uv run python -m bench.nursery_card")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2, help="passes over the 100,000 stories of train")
    parser.add_argument("--batch_size", type=int, default=64, help="stories a step")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the order of stories")
    parser.add_argument("--eval_every", type=int, default=200, help="steps between held-out losses and checkpoints")
    parser.add_argument("--work", type=Path, default=Path("output/nursery_pretraining"), help="where the checkpoints go")
    pretrain(parser.parse_args())


if __name__ == "__main__":
    main()
