"""A reward out of any model for sequence classification that transformers loads. It runs on the CPU, in float32."""

import hashlib
from functools import cache
from typing import Any

from configs.errors import option_error
from envs.registry import reward
from envs.types import Completion, Values

AT_ONCE = 32  # texts


@cache
def _config(model: str) -> Any:
    from transformers import AutoConfig  # here, because runs with other rewards do without

    return AutoConfig.from_pretrained(model)


@cache
def _loaded(model: str) -> tuple[Any, Any]:
    """The tokenizer and the network. Raises UserError, also where weights are missing, which would be random."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        network, report = AutoModelForSequenceClassification.from_pretrained(model, output_loading_info=True)
    except (OSError, ValueError) as error:
        raise option_error(f"--reward classifier: model={model!r} cannot be loaded: {' '.join(str(error).split())}") from error
    if missing := sorted(report["missing_keys"]):
        raise option_error(f"--reward classifier: model={model!r} has no weights {', '.join(missing)}")
    return tokenizer, network.float().eval().requires_grad_(False)


def _refusal(model: str, label: str) -> str | None:
    try:
        config = _config(model)
    except (OSError, ValueError) as error:
        return f"model={model!r} cannot be read ({' '.join(str(error).split())}); accepted: a local folder or a Hugging Face id"
    if not any(name.endswith("ForSequenceClassification") for name in config.architectures or ()):
        return f"model={model!r} is no model for sequence classification but {', '.join(config.architectures or ['unnamed'])}"
    if config.problem_type == "regression":
        return f"model={model!r} gives no probabilities: its problem_type is regression"
    labels = [*config.id2label.values()]
    return None if label in labels else f"label={label!r} is unknown; accepted: {', '.join(labels)}"


def _fingerprint(model: str, label: str) -> str:  # noqa: ARG001
    """Of weights and tokenizer."""
    tokenizer, network = _loaded(model)
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    for name, weight in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)}".encode() + weight.numpy().tobytes())
    return digest.hexdigest()


@reward(refuse=_refusal, fingerprint=_fingerprint)
def classifier(completions: list[Completion], model: str, label: str) -> Values:
    """The probability that a model for sequence classification, a local folder or a Hugging Face id, gives this label.

    Texts are cut at the model's length. Nobody knows what its hack is: a run that routes needs --env.detector.
    """
    tokenizer, network = _loaded(model)
    column = {name: index for index, name in network.config.id2label.items()}[label]
    longest = min(tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", tokenizer.model_max_length))
    values: Values = []
    for start in range(0, len(completions), AT_ONCE):
        texts = [completion.text for completion in completions[start : start + AT_ONCE]]
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        logits = network(**inputs).logits  # [texts, labels]
        several = network.config.problem_type == "multi_label_classification" or network.config.num_labels == 1
        probabilities = logits.sigmoid() if several else logits.softmax(-1)
        values += probabilities[:, column].tolist()
    return values
