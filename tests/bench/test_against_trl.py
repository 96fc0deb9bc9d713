"""What bench.against_trl makes of its measurements, and the models that it hands to both sides. Nothing here needs TRL."""

import importlib.util
import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from bench.against_trl import CASES, RATIOS, WARMUP, SideBySide, check_full_length, main, report, table
from bench.machine import peak_resident_bytes, resident_bytes
from bench.memory import figures
from bench.workloads import Unequal, prompts_of, random_model, rewards_of, save_model, widened
from configs.errors import UserError
from envs.types import Prompt
from tests.helpers import tiny_config, tiny_llama, tiny_tokenizer

GIB = 2**30


def test_ratios_by_hand():
    """Medians 2 and 6; seconds a token 1/10, 2/10, 9/90 (median 1/10) and 6/10, 6/20, 6/30 (median 3/10)."""
    measured = SideBySide([1, 2, 9], [6, 6, 6], [10, 10, 90], [10, 20, 30])
    assert measured.ratio == 3
    assert measured.ratio_per_token == pytest.approx(3)
    assert measured.to_dict()["ours_tokens"] == pytest.approx(110 / 3)


def test_the_first_repetitions_are_not_counted():
    counted = SideBySide([9, 1], [9, 2], [9, 3], [9, 4]).counted()
    assert counted == SideBySide([1], [2], [3], [4])
    assert WARMUP == 1


@pytest.mark.parametrize(("ours", "theirs"), [([256, 255], [256, 256]), ([256, 256], [256, 257])])
def test_unequal_lengths_are_refused(ours, theirs):
    check_full_length(SideBySide([], [], [256], [256]), rows=2)
    with pytest.raises(Unequal, match="2 rows x 128 tokens are 256"):
        check_full_length(SideBySide([], [], ours, theirs), rows=2)


def test_memory_by_hand():
    ours, trl, one = ({"start": start * GIB, "peak": peak * GIB} for start, peak in ((1, 2), (1, 5), (2, 8)))
    memory = figures(ours, trl, one)
    assert memory["ratio"] == pytest.approx(2 / 5)
    assert memory["ratio_above_start"] == pytest.approx(1 / 4)
    assert memory["ratio_one_batch"] == pytest.approx(2 / 8)
    assert memory["ratio_one_batch_above_start"] == pytest.approx(1 / 6)


def test_the_report_has_every_ratio_and_null_for_what_did_not_run():
    step = SideBySide([1], [4], [100], [100]).to_dict()
    memory = figures(*({"start": GIB, "peak": 2 * GIB} for _ in range(3)))
    printed = json.loads(json.dumps(report({"natural": step, "memory": memory}, "abacus")))
    assert set(RATIOS) == set(CASES)
    assert printed["ratio_step_adapter_natural"] == 4
    assert printed["ratio_memory_one_batch_above_start"] == 1
    missing = {"ratio_step_adapter", "ratio_step_full", "ratio_sample_32", "ratio_sample_512", "ratio_step_real"}
    assert {name for name, value in printed.items() if value is None} == missing
    rows = table({"natural": step, "memory": memory}).splitlines()
    assert rows[2] == "| natural | 4.000 s | 1.000 s | 4.00 | 4.00 | 100, 100 |"
    assert rows[3] == "| memory | 2.00 GiB | 2.00 GiB | 1.00 | | |"


@pytest.mark.skipif(importlib.util.find_spec("trl") is not None, reason="TRL is installed")
def test_without_trl_one_line_says_how_to_run_it(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: trl not installed; run it as uv run --with trl==1.16.0 --with peft python -m bench.against_trl"
    ]


def test_a_random_model_never_samples_eos():
    model = random_model(tiny_config(hidden_size=64, head_dim=16)).double()
    ids = torch.randint(2, 32, (8, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        probabilities = (model(ids) @ model.head.T).softmax(-1)
    assert probabilities[..., model.config.eos_token_ids[0]].max() < 1e-6
    others = probabilities.sum(-1) - probabilities[..., model.config.eos_token_ids[0]]
    assert others.min() == pytest.approx(1)


def test_a_widened_tokenizer_reads_as_before():
    narrow, wide = tiny_tokenizer(), widened(tiny_tokenizer(), 100)
    assert wide.get_vocab_size() == 100
    assert wide.encode("abc").ids == narrow.encode("abc").ids


def test_a_saved_tokenizer_ends_no_text_with_eos(tmp_path):
    """TRL tokenizes prompts with special tokens, and the tokenizer would append EOS."""
    assert tiny_tokenizer().encode("a").tokens == ["a", "[EOS]"]
    save_model(tiny_llama(), tiny_tokenizer(), tmp_path)
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("a").tokens == ["a"]


@pytest.mark.parametrize(("ids", "accepted"), [((2, 1), True), ((2, 3, 1), False)])
def test_prompts_that_are_read_back_otherwise_are_refused(monkeypatch, ids, accepted):
    """The tiny tokenizer reads "a" as a and EOS."""
    monkeypatch.setattr("bench.workloads.step_prompts", lambda *_: [Prompt(0, "a", ids)])
    run: Any = SimpleNamespace(tokenizer=tiny_tokenizer())
    if accepted:
        assert len(prompts_of(run, 2)) == 2
    else:
        with pytest.raises(UserError, match="not read back"):
            prompts_of(run, 1)


def test_both_sides_are_paid_the_same():
    assert rewards_of(["a sad dog", "happy, happy", "HAPPY " * 9]) == [0.0, 0.4, 1.0]


def test_the_peak_stays_when_memory_is_given_back():
    """64 MiB above the peak so far, held and let go."""
    before = peak_resident_bytes()
    held = torch.ones((before - resident_bytes()) // 4 + 16 * 2**20)
    del held
    assert peak_resident_bytes() > before + 32 * 2**20
    assert resident_bytes() < peak_resident_bytes() - 32 * 2**20
