"""What a further audit takes from stored evidence, and what it looks at again."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from auditor.check import Status
from auditor.config import CandidateTable, Config, load_config
from auditor.errors import InputError
from auditor.record import Audit
from auditor.runner import judge


def _bitmap(grey: int) -> bytes:
    """Return a picture whose file is as large as that of any other grey."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (40 * grey, 40 * grey, 9)).save(stream, "BMP")
    return stream.getvalue()


class TestReuse:
    """What an audit looks at again, and what it remembers."""

    @pytest.fixture
    def data(self, image_folder: Callable[..., Path]) -> Path:
        return image_folder("test", {"a": 4, "b": 4})

    @pytest.fixture
    def weights(self, tmp_path: Path) -> Callable[[float], Path]:
        def make(scale: float) -> Path:
            import torch
            from safetensors.torch import save_file

            mix = scale * torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
            path = tmp_path / "weights.safetensors"
            save_file({"mix.weight": mix, "mix.bias": torch.zeros(2)}, path)
            return path

        return make

    @pytest.fixture
    def look(
        self,
        run: Callable[..., Audit],
        counted: str,
        looked: Callable[[], int],
        data: Path,
        weights: Callable[[float], Path],
    ) -> Callable[..., int]:
        """Audit; return how many images the model saw meanwhile. A first audit is done."""
        checkpoint = weights(9.0)

        def look(**tables: Any) -> int:
            candidate = {"module": counted, "checkpoint": checkpoint, "input_size": 16}
            candidate |= tables.pop("candidate", {})
            run(candidate=candidate, **{"data": {"test": data}, **tables})
            return looked()

        assert look() == 8
        return look

    def test_nothing_changed(self, look: Callable[..., int]) -> None:
        assert look() == 0

    def test_another_threshold(self, look: Callable[..., int]) -> None:
        assert look(checks={"top1-accuracy": {"min_accuracy": 0.5}}) == 0

    def test_another_policy_and_level(self, look: Callable[..., int]) -> None:
        policy = {"preset": "pull-request"}
        assert look(policy=policy, checks={"overfitting": {"level": "off"}}) == 0

    def test_another_batch_size(self, look: Callable[..., int]) -> None:
        assert look(engine={"batch_size": 3, "workers": 1}) == 0

    def test_other_weights(
        self, look: Callable[..., int], weights: Callable[[float], Path]
    ) -> None:
        weights(3.0)
        assert look() == 8

    def test_other_preprocessing(self, look: Callable[..., int]) -> None:
        assert look(candidate={"mean": (0.1, 0.1, 0.1)}) == 8

    def test_another_class_list(self, look: Callable[..., int]) -> None:
        assert look(candidate={"classes": ["b", "a"]}) == 8

    def test_another_type(self, look: Callable[..., int]) -> None:
        assert look(engine={"dtype": "bfloat16"}) == 8

    def test_new_images_alone(self, look: Callable[..., int], data: Path) -> None:
        for n in range(3):
            (data / "a" / f"new{n}.png").write_bytes(_bitmap(n))
        assert look() == 3
        (data / "a" / "new1.png").unlink()
        assert look() == 0

    def test_images_of_another_name_or_time(self, look: Callable[..., int], data: Path) -> None:
        (data / "a" / "0000.png").rename(data / "a" / "new.png")
        (data / "a" / "0001.png").touch()
        shutil.copy(data / "b" / "0001.png", data / "b" / "copy.png")
        assert look() == 0

    def test_another_label(self, look: Callable[..., int], data: Path) -> None:
        for n in range(2):
            (data / "a" / f"000{n}.png").rename(data / "b" / f"moved{n}.png")
        assert look() == 2

    def test_other_pixels_of_the_same_size_and_time(
        self, look: Callable[..., int], data: Path
    ) -> None:
        paths = [data / "a" / f"000{n}.png" for n in range(3)]
        for n, path in enumerate(paths):
            path.write_bytes(_bitmap(n))
        assert look() == 3
        for n, path in enumerate(paths):
            status = path.stat()
            path.write_bytes(_bitmap(n + 3))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert look() == 3

    def test_the_weights_of_before(
        self, look: Callable[..., int], weights: Callable[[float], Path]
    ) -> None:
        weights(3.0)
        assert look() == 8
        weights(9.0)
        assert look() == 0

    def test_harmed_evidence(self, look: Callable[..., int], tmp_path: Path) -> None:
        stored = tmp_path / "out" / "evidence" / "test.parquet"
        stored.write_bytes(stored.read_bytes()[:-8])
        assert look() == 8
        assert look() == 0

    def test_removed_evidence(self, look: Callable[..., int], tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "out" / "evidence")
        assert look() == 8


class TestJudgingAgain:
    """Stored evidence, judged without model and images."""

    @pytest.fixture
    def config(
        self, run: Callable[..., Audit], saved: Callable[..., Path], tmp_path: Path
    ) -> Config:
        table = {"a": {"a": 100}, "b": {"b": 100}}
        more = {"a": {"a": 110}, "b": {"b": 100}}
        tables: dict[str, Any] = {
            "predictions": {"test": saved(table), "train": saved(more, "train.csv")},
            "output": {"directory": tmp_path / "out"},
        }
        assert run(**tables).verdict == "accepted"
        return load_config(None, tables)[0]

    def test_the_files_are_not_needed(self, config: Config, tmp_path: Path) -> None:
        (tmp_path / "predictions.csv").unlink()
        again = judge(config, gathering=False).audit
        assert again.verdict == "accepted"
        assert again.check("overfitting").status is Status.PASS

    @pytest.mark.parametrize("name", ["test", "train"])
    def test_harmed_evidence_is_no_evidence(
        self, config: Config, tmp_path: Path, name: str
    ) -> None:
        path = tmp_path / "out" / "evidence" / f"{name}.parquet"
        path.write_bytes(path.read_bytes()[:-8])
        if name == "test":
            said = r"test\.parquet: its digest is not .* damaged; `auditor run` gathers again"
            with pytest.raises(InputError, match=said):
                judge(config, gathering=False)
        else:
            again = judge(config, gathering=False).audit
            assert again.check("overfitting").status is Status.ERROR
            assert again.verdict == "undecided"

    def test_a_missing_file_is_told_from_one_that_was_never_stored(
        self, config: Config, tmp_path: Path
    ) -> None:
        evidence = tmp_path / "out" / "evidence"
        (evidence / "test.parquet").unlink()
        with pytest.raises(InputError, match=r"test\.parquet: it is missing; `auditor run`"):
            judge(config, gathering=False)
        (evidence / "test.parquet").mkdir()
        with pytest.raises(InputError, match=r"test\.parquet: it cannot be read; `auditor run`"):
            judge(config, gathering=False)
        (evidence / "manifest.json").write_text('{"evidence": {}}')
        with pytest.raises(InputError, match="test is not among the stored evidence; run"):
            judge(config, gathering=False)

    def test_harmed_counts_are_an_error_of_who_asked(self, config: Config, tmp_path: Path) -> None:
        (tmp_path / "out" / "evidence" / "train_counts.parquet").write_bytes(b"")
        again = judge(config, gathering=False).audit
        assert again.check("rare-class-recall").status is Status.ERROR
        assert again.check("top1-accuracy").status is Status.PASS
        assert again.verdict == "undecided"

    def test_what_was_not_given_stays_a_skip(self, config: Config) -> None:
        again = judge(config, gathering=False).audit
        assert again.check("split-overlap").status is Status.SKIP

    @pytest.mark.parametrize("said", [True, False])
    def test_what_is_judged_is_known_from_the_audit_before_unless_it_is_said_anew(
        self, config: Config, tmp_path: Path, said: bool
    ) -> None:
        named = config.model_copy(update={"candidate": CandidateTable(name="ours")})
        judge(named, gathering=False).write()
        unsaid = load_config(None, {"output": {"directory": tmp_path / "out"}})[0]
        again = judge(config if said else unsaid, gathering=False).audit
        settings = again.provenance.settings
        assert settings["predictions"]["test"] == str(tmp_path / "predictions.csv")
        assert ("candidate" in settings) is not said

    def test_nothing_was_ever_gathered(self, tmp_path: Path) -> None:
        config = load_config(None, {"output": {"directory": tmp_path / "new"}})[0]
        with pytest.raises(InputError, match="auditor run"):
            judge(config, gathering=False)
