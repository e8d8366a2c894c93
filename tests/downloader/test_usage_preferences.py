"""What expressions of preferences say on training."""

import pytest

from downloader.usage_preferences import TrainingUse, training_in_signal, training_in_usage


@pytest.mark.parametrize(
    ("values", "use"),
    [
        (["train-ai=n"], TrainingUse(True, "train-ai=n")),
        (["Train-AI = N;x=y"], TrainingUse(True, "train-ai=n")),
        (["train-ai=y", "search=n"], TrainingUse(False, "train-ai=y")),
        (["train-ai=y, train-genai=n"], TrainingUse(True, "train-genai=n")),
        (["train-ai=n", "train-ai=y"], TrainingUse(False, "train-ai=y")),
        (["bots=n"], TrainingUse(True, "bots=n")),
        (["ai=n, train-ai=y"], TrainingUse(False, "train-ai=y")),
        (["ai=y"], TrainingUse(False, "ai=y")),
        (['note="a, train-ai=n", search=y'], None),
        (["train-ai"], None),
        ([""], None),
        ([], None),
    ],
)
def test_content_usage(values: list[str], use: TrainingUse | None) -> None:
    """The last of two equal keys; training by name before what contains it."""
    assert training_in_usage(values) == use


@pytest.mark.parametrize(
    ("value", "use"),
    [
        ("search=yes, ai-train=no", TrainingUse(True, "ai-train=no")),
        ("AI-Train = No", TrainingUse(True, "ai-train=no")),
        ("ai-train=no; ai-train=yes", TrainingUse(True, "ai-train=no")),
        ("ai-train=yes", TrainingUse(False, "ai-train=yes")),
        ("ai-input=no", None),
        ("ai-train", None),
        ("", None),
    ],
)
def test_content_signal(value: str, use: TrainingUse | None) -> None:
    """Of two equal keys the refusal counts."""
    assert training_in_signal(value) == use
