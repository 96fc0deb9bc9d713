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
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from models.llama import Llama, LlamaConfig, initialize
from models.nursery.generator import HERE, stories

CONFIG = LlamaConfig(
    vocab_size=4096,
    hidden_size=128,
    intermediate_size=341,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=512,
    rms_norm_eps=1e-6,
    rope_theta=10000.0,
    tie_word_embeddings=True,
    attention_bias=False,
    mlp_bias=False,
    eos_token_id=1,
)
LONGEST = 256  # tokens of a story kept
ROWS_AT_ONCE = 16  # rows a forward pass: their logits stay in the processor's cache
IGNORED = -100


def encode(texts: list[str]) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
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
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    real = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], dtype=torch.bool)
    return ids[:, :-1], ids[:, 1:].masked_fill(~real[:, 1:], IGNORED)


def summed_loss(model: Llama, rows: list[list[int]]) -> tuple[Tensor, int]:
    """Cross-entropy summed over the real tokens, in nats, and how many they are."""
    ids, targets = padded(rows)
    logits = model(ids) @ model.head.T
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
    return loss, int((targets != IGNORED).sum())


@torch.no_grad()
def held_out_loss(model: Llama, rows: list[list[int]]) -> float:
    """Nats a token over all rows."""
    rows = sorted(rows, key=len)
    sums, counts = zip(*(summed_loss(model, rows[i : i + ROWS_AT_ONCE]) for i in range(0, len(rows), ROWS_AT_ONCE)), strict=True)
    return float(sum(sums)) / sum(counts)


def learning_rate(step: int, total: int, peak: float, warmup: int = 100) -> float:
    """Rises linearly over `warmup` steps (in a short run over half of them), then falls linearly to almost zero."""
    warmup = min(warmup, total // 2)
    return peak * min((step + 1) / max(warmup, 1), (total - step) / (total - warmup))


def save_state(folder: Path, model: Llama, optimizer: torch.optim.Optimizer, step: int, seen: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    moments = {f"{names[p]}/{key}": value for p, state in optimizer.state.items() for key, value in state.items()}
    save_file(dict(model.named_parameters()), folder / "model.tmp")
    save_file(moments, folder / "optimizer.tmp")
    (folder / "model.tmp").replace(folder / "model.safetensors")
    (folder / "optimizer.tmp").replace(folder / "optimizer.safetensors")
    (folder / "state.json").write_text(json.dumps({"step": step, "tokens": seen}))


def load_state(folder: Path, model: Llama, optimizer: torch.optim.Optimizer) -> tuple[int, int]:
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    parameters = dict(model.named_parameters())
    for key, value in load_file(folder / "optimizer.safetensors").items():
        name, moment = key.rsplit("/", 1)
        optimizer.state[parameters[name]][moment] = value
    state = json.loads((folder / "state.json").read_text())
    return state["step"], state["tokens"]


def pretrain(options: argparse.Namespace) -> None:
    train, test = encode(list(stories("train"))), encode(list(stories("test", 2000)))
    model = Llama(CONFIG)
    initialize(model, options.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.95), weight_decay=0.1)
    done, seen = load_state(options.work, model, optimizer) if (options.work / "state.json").exists() else (0, 0)
    total = options.epochs * len(epoch_batches(train, options.batch_size, options.seed, 0))
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    options.work.mkdir(parents=True, exist_ok=True)
    with (options.work / "log.jsonl").open("a") as log, Progress(*columns, refresh_per_second=1) as progress:
        task = progress.add_task("pretraining", total=total, completed=done)
        for epoch in range(options.epochs):
            batches = epoch_batches(train, options.batch_size, options.seed, epoch)
            for step, batch in enumerate(batches, start=epoch * len(batches)):
                if step < done:
                    continue
                rows = [train[i] for i in batch]
                tokens = sum(len(row) - 1 for row in rows)
                loss = 0.0
                for i in range(0, len(rows), ROWS_AT_ONCE):
                    part, _ = summed_loss(model, rows[i : i + ROWS_AT_ONCE])
                    (part / tokens).backward()
                    loss += part.item() / tokens
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(step, total, options.lr)
                optimizer.step()
                optimizer.zero_grad()
                seen += tokens
                progress.update(task, advance=1, description=f"loss {loss:.3f}")
                if (step + 1) % options.eval_every == 0 or step + 1 == total:
                    row = {"step": step + 1, "tokens": seen, "loss": loss, "held_out_loss": held_out_loss(model, test)}
                    progress.console.print(row)
                    log.write(json.dumps(row) + "\n")
                    log.flush()
                    save_state(options.work, model, optimizer, step + 1, seen)
    save_file(dict(model.named_parameters()), HERE / "model.safetensors", metadata={"format": "pt"})
    (HERE / "config.json").write_text(json.dumps(CONFIG.to_hf(), indent=2) + "\n")
    training = vars(options) | {
        "work": str(options.work),
        "steps": total,
        "tokens": seen,
        "held_out_loss": held_out_loss(model, test),
    }
    (HERE / "pretraining.json").write_text(json.dumps(training, indent=2) + "\n")
    print(f"weights in {HERE}; next: uv run python -m bench.nursery_card")


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
