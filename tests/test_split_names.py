"""Tests of app.split_names: what loaders make of the names of splits."""

import pytest

from app.split_names import split_by_name, ultralytics_splits


def test_splits_are_called_as_ultralytics_calls_them() -> None:
    """By their whole names, whatever word a dataset uses."""
    assert ultralytics_splits(["train", "validation", "test"]) == {"train": "train", "validation": "val", "test": "test"}
    assert ultralytics_splits(["training", "dev", "eval"]) == {"training": "train", "dev": "val", "eval": "test"}
    assert ultralytics_splits([]) == {}


@pytest.mark.parametrize(
    ("splits", "problem"),
    [
        (["train", "holdout"], "the format yolo has the splits train, val and test, not 'holdout'"),
        (["train", "train_small"], "not 'train_small'"),
        (["train", "val", "valid"], "two splits are 'val' in the format yolo, one of them 'valid'"),
        (["val", "test"], "needs a split 'train', and there is 'val', 'test' only"),
    ],
)
def test_splits_that_ultralytics_cannot_have_are_named(splits: list[str], problem: str) -> None:
    """With the way out."""
    with pytest.raises(ValueError, match=problem) as caught:
        ultralytics_splits(splits)
    assert "--split" in str(caught.value)


@pytest.mark.parametrize(("folder", "split"), [("train", "train"), ("cat-dev", "validation"), ("testing_2", "test"), ("contest", None)])
def test_a_split_is_found_in_the_name_of_a_folder(folder: str, split: str | None) -> None:
    """As Hugging Face datasets do: a word between characters that are no letters."""
    assert split_by_name(folder) == split
