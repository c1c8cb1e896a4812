"""Every split gets its predictions by one rule: saved ones, or those of the model on its images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.config import Config
from auditor.errors import Unavailable
from auditor.evidence.predictions import Predictions
from auditor.graph import Graph
from auditor.progress import Progress
from auditor.provider import find_providers
from auditor.standalone.signing import sign_images
from auditor.store import Store

Evidence = Callable[..., Any]


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Return one piece of the evidence that a configuration gives."""

    def get(name: str, **tables: Any) -> Any:
        config = Config.model_validate(tables)
        store = Store(tmp_path / "evidence")
        return Graph(config, find_providers(), store, [name], Progress()).get(name)

    return get


@pytest.fixture
def why(evidence: Evidence) -> Callable[..., Unavailable]:
    """Return why a piece of evidence cannot be had."""

    def told(name: str, **tables: Any) -> Unavailable:
        with pytest.raises(Unavailable) as caught:
            evidence(name, **tables)
        return caught.value

    return told


@pytest.mark.parametrize("split", ["train", "validation"])
class TestApartFromTest:
    def test_saved_ones_need_no_model(
        self, split: str, evidence: Evidence, saved: Callable[..., Path]
    ) -> None:
        test = saved({"a": {"a": 8, "b": 2}, "b": {"b": 9}}, "test.csv")
        other = saved({"a": {"a": 5, "b": 1}, "b": {"b": 7}}, "other.csv")
        found = evidence(split, predictions={"test": test, split: other})
        assert isinstance(found, Predictions)
        assert (len(found), int(found.correct.sum())) == (13, 12)

    @pytest.mark.parametrize("saved_split", ["test", "its own"])
    def test_two_candidates_are_not_taken_for_one(
        self,
        split: str,
        saved_split: str,
        why: Callable[..., Unavailable],
        saved: Callable[..., Path],
        module: Callable[..., str],
        image_folder: Callable[..., Path],
    ) -> None:
        has, runs = ("test", split) if saved_split == "test" else (split, "test")
        said = why(
            split,
            candidate={"module": f"{module()}:two", "input_size": 16},
            data={runs: image_folder(runs, {"cat": 2, "dog": 2})},
            predictions={has: saved({"cat": {"cat": 2}, "dog": {"dog": 2}})},
        )
        assert said.status == "error"
        assert f"the {has} predictions were saved and those on {runs} would come" in said.reason
        assert said.reason.endswith("save both or neither")

    def test_without_data_it_is_said_where_they_are_given(
        self, split: str, why: Callable[..., Unavailable], saved: Callable[..., Path]
    ) -> None:
        said = why(split, predictions={"test": saved({"a": {"a": 3}, "b": {"b": 3}})})
        assert said.status == "skip"
        assert said.reason == (
            f"no {split} data was given ([data] {split} or [predictions] {split})"
        )


@pytest.mark.parametrize("split", ["test", "train", "validation"])
def test_images_without_a_model_are_not_looked_at(
    split: str, why: Callable[..., Unavailable], image_folder: Callable[..., Path]
) -> None:
    said = why(split, data={split: image_folder(split, {"cat": 2, "dog": 2})})
    assert said.status == "skip"
    assert said.reason.startswith(f"no model was given to run on the {split} images")


class TestProperties:
    def test_without_images_it_is_said_where_they_are_given(
        self, why: Callable[..., Unavailable]
    ) -> None:
        assert why("train_properties").reason == "no train images were given ([data] train)"

    def test_signatures_in_place_of_the_images_are_named(
        self,
        why: Callable[..., Unavailable],
        image_folder: Callable[..., Path],
        tmp_path: Path,
    ) -> None:
        signatures = tmp_path / "train.signatures.parquet"
        sign_images(image_folder("train", {"cat": 2, "dog": 2}), signatures)
        said = why("train_properties", data={"train": signatures})
        assert (
            said.reason == f"{signatures} holds the signatures of the train images, not the images"
        )
