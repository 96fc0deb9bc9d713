"""Between tensors and the environment's plain lists."""

import torch
from jaxtyping import Bool, Float
from tokenizers import Tokenizer, models
from torch import Tensor

from envs.scoring import audit, combined_rewards, score
from envs.types import Audit, Completion, ContractViolation, Prompt, Scores, VocabularyKind
from grpo.advantages import penalized_rewards
from grpo.rollout import Rollout
from grpo.run import Learner, Run


def completions_of(run: Learner, prompts: list[Prompt], rollout: Rollout) -> list[Completion]:
    """Each row's completion as the environment sees it: EOS left out."""
    eos_ids = {*run.policy.config.eos_token_ids}
    lengths, finished_flags = rollout.mask.sum(1).tolist(), rollout.finished.tolist()
    kind, completions = vocabulary_kind(run.tokenizer), []
    for prompt, ids, length, finished in zip(prompts, rollout.completion_ids.tolist(), lengths, finished_flags, strict=True):
        kept = ids[: length - finished]
        assert eos_ids.isdisjoint(kept), f"EOS inside a completion of prompt {prompt.index}"
        text = run.tokenizer.decode(kept, skip_special_tokens=False)
        tokens = tuple(run.vocabulary[i] for i in kept)
        completions.append(Completion(text, tuple(kept), tokens, prompt, finished, kind))
    return completions


def vocabulary_kind(tokenizer: Tokenizer) -> VocabularyKind:
    """How its token strings write text. What is neither WordPiece nor byte-level is read as SentencePiece, plain text in all
    but its marker of spaces and its bytes.
    """
    if isinstance(tokenizer.model, models.WordPiece | models.WordLevel):
        return "wordpiece"
    return "byte_level" if tokenizer.decoder and b"ByteLevel" in tokenizer.decoder.__getstate__() else "sentencepiece"


def score_completions(run: Run, completions: list[Completion], eligible: list[bool] | None = None) -> tuple[Scores, Audit]:
    """What training sees, and the truth that it must not see. Without `eligible` every sample earns all components.

    Raises ContractViolation with the step for what the reward, the detector or the hack predicate does wrong.
    """
    try:
        return score(run.reward, run.detector, completions, eligible), audit(run.reward, completions)
    except ContractViolation as error:
        raise ContractViolation(f"step {run.step}: {error}") from error


def rewards_tensor(scores: Scores, device: torch.device) -> Float[Tensor, " n"]:
    """float64: rewards are exact small numbers, and their equality within a group decides what is counted."""
    return torch.tensor(scores.rewards, dtype=torch.float64, device=device)


def trained_rewards(run: Run, scores: Scores, eligible: list[bool], labelled: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    """What the advantages are made of: the rewards, less the treatment's penalty where a sample is labelled."""
    treatment, earned = run.config.treatment, rewards_tensor(scores, run.device)
    if not treatment.penalty:
        return earned
    if treatment.penalty_on == "all":
        return penalized_rewards(earned, labelled, treatment.penalty)
    penalties = [treatment.penalty * flag for flag in labelled.tolist()]
    rewards = combined_rewards(run.reward, scores.components, eligible, penalties)
    return torch.tensor(rewards, dtype=torch.float64, device=run.device)


def detected_tensor(scores: Scores, device: torch.device) -> Bool[Tensor, " n"]:
    return torch.tensor(scores.detected, dtype=torch.bool, device=device)
