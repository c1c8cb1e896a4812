from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from auditor.data.classes import ClassList, class_list
from auditor.data.saved import read_saved
from auditor.errors import InputError
from auditor.record import Audit

Write = Callable[[str, str], Path]
SCORED = "image,label,prob_cat,prob_dog\n"


def test_labels_and_predictions(write: Write) -> None:
    table = read_saved(write("p.csv", "image,label,predicted\nx,dog,cat\ny,cat,cat\n"))
    assert table.classes.names == ("cat", "dog")
    assert "plain order" in table.classes.order
    assert table.label.tolist() == [1, 0]
    assert table.predicted.tolist() == [0, 0]
    assert table.probabilities is None


def test_probabilities_alone(write: Write) -> None:
    table = read_saved(write("p.csv", "image,label,prob_dog,prob_cat\nx,dog,0.25,0.75\n"))
    assert table.classes.names == ("dog", "cat")
    assert table.predicted.tolist() == [1]
    assert table.probabilities is not None
    np.testing.assert_allclose(table.probabilities, [[0.25, 0.75]])


@pytest.mark.parametrize("columns", ["prob_cat,prob_dog", "prob_dog,prob_cat"])
def test_no_tie_counts_as_right_in_whatever_order(write: Write, columns: str) -> None:
    """Sixteen bits leave some rows of a good file without a most probable class."""
    sure = {"cat": "0.75,0.25", "dog": "0.25,0.75"}
    flipped = columns.startswith("prob_dog")
    cells = [("cat", sure["dog" if flipped else "cat"])] * 98 + [("cat", "0.5,0.5")]
    cells.append(("dog", sure["cat" if flipped else "dog"]))
    rows = [f"{n},{label},{cell}" for n, (label, cell) in enumerate(cells)]
    table = read_saved(write("p.csv", "\n".join([f"image,label,{columns}", *rows])))
    assert np.flatnonzero(table.predicted != table.label).tolist() == [98]


def test_probabilities_follow_the_given_classes(write: Write) -> None:
    given = ClassList(("cat", "dog"), "given")
    table = read_saved(write("p.csv", "image,label,prob_dog,prob_cat\nx,dog,0.25,0.75\n"), given)
    assert table.predicted.tolist() == [0]
    assert table.label.tolist() == [1]


def test_further_columns_are_kept(write: Write) -> None:
    table = read_saved(write("p.csv", "image,label,predicted,camera\nx,a,b,north\ny,b,b,\n"))
    assert table.metadata == {"camera": ("north", "")}


@pytest.mark.parametrize("names", [("no", "yes"), ("1e3", "1000"), ("NA", "nan"), ("", "x")])
def test_class_names_stay_text(write: Write, names: tuple[str, str]) -> None:
    a, b = names
    path = write("p.csv", f'image,label,predicted\n"x","{a or "null"}","{b}"\n')
    assert read_saved(path).classes.names == tuple(sorted({a or "null", b}))


def test_quotes_and_a_bom(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    text = '\ufeffimage,label,predicted\r\n"a,1.png","big, red","small, blue"\r\n'
    path.write_bytes(text.encode())
    table = read_saved(path)
    assert table.images == ["a,1.png"]
    assert table.classes.names == ("big, red", "small, blue")


def test_a_quotation_mark_that_nobody_closed_swallows_no_predictions(write: Write) -> None:
    rows = 'image,label,predicted\nv,a,a\n"w,a,b\nx,a,b\ny",a,a\nz,b,b\n'
    with pytest.raises(InputError, match=r'p.csv:3: "image" holds a line break'):
        read_saved(write("p.csv", rows))
    read_saved(write("p.csv", rows.replace('"', "")))


def test_class_names_with_a_comma_in_the_header(write: Write) -> None:
    path = write("p.csv", 'image,label,"prob_big, red",prob_x\ni,"big, red",0.6,0.4\n')
    assert read_saved(path).classes.names == ("big, red", "x")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image,label,predicted\n", "no rows"),
        ("", 'no column "image"'),
        ("image,label\nx,a\n", 'no column "predicted"'),
        ("image,label,predictd\nx,a,a\n", 'did you mean "predictd"'),
        ("image,predicted\nx,a\n", 'no column "label"'),
        ("image,label,predicted\nx,a,a\ny,b,b\nx,a,a\n", ':4: "x" stands already in line 2'),
        ("image,label,predicted\nx,a,a\ny,b,\n", ':3: "predicted" is empty'),
        ("image,label,predicted\nx,,a\n", ':2: "label" is empty'),
        ("image,label,predicted\nx,a,a\ny,a,a\n", 'one class, "a"; a classifier needs at least'),
        (
            "image,label,prob_a\nx,a,1.0\ny,b,0.2\n",
            'one class, "a", in its prob_ columns; there must be one for each class, and a '
            "classifier needs at least two",
        ),
        ("image,label,predicted\nx,a,a\n", 'one class, "a"; a classifier needs at least two'),
        (SCORED + "x,cat,0.5,0.5\ny,cat,nan,1\n", ":3: a probability is missing, NaN"),
        (SCORED + "x,cat,,1\n", ":2: a probability is missing, NaN"),
        (SCORED + "x,cat,inf,1\n", ":2: a probability is missing, NaN or infinite"),
        (SCORED + "x,cat,3.1,-2.1\n", ":2: the probabilities sum to 1 (lowest -2.1)"),
        (SCORED + "x,cat,0.5,0.5\ny,dog,2.5,1.5\n", ":3: the probabilities sum to 4"),
        (SCORED + "x,cat,half,half\n", ':2: "half" in column "prob_cat" is no number; write one'),
        (SCORED + '"x\ny",cat,.5,.5\n\nz,cat,1,0;1\n', ':5: "0;1" in column "prob_dog" is no'),
        (SCORED + "x,cat,1_0,0\n", "cannot be read as a table"),  # to Python it is ten
        ("image,label,predicted\nx,a,a\n\ny,b\n", ":4: it has 2 cells, the header 3; write one"),
        ('image,label,predicted,note\nx,a,a,"b\nc"\ny,b,c,d,e\n', ":4: it has 5 cells, the head"),
        ('image,label,predicted\nx,a,a\n"y,b,b\nz,b,b\n', ":3: a cell holds a line break: is a"),
        ("image;label\nx;a\n", 'no column "image"; separate columns by commas (it has: image;la'),
        ("image;label;x,y\nx;a;1,2\n", 'no column "image"; separate columns by commas (it has:'),
        ("image,label|predicted\nx,a|b\n", 'no column "label"; separate columns by commas'),
        ("image\tlabel\nx\ta\n", 'no column "image"; separate columns by commas (it has: image'),
        ("imag;e,label,predicted\nx,a,a\n", 'no column "image"; did you mean "imag;e"? (it has'),
        (SCORED + "x,bird,0.5,0.5\n", ':2: "label" is "bird"'),
        (SCORED + "x,cta,0.5,0.5\n", 'did you mean "cat"'),
        (SCORED + "x,cat,0.6,0.4\ny,dog,0.5,0.5\nz,dog,0.5,0.5\n", ':3: "cat" and "dog" are equa'),
        (SCORED + "x,cat,0.6,0.4\ny,dog,0.5,0.5\nz,dog,0.5,0.5\n", "(2 of 3 rows have such a tie)"),
    ],
)
def test_complaints(write: Write, text: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        read_saved(write("p.csv", text))
    assert "p.csv" in str(caught.value)
    assert complaint in str(caught.value)


def softmax(
    classes: int, sure: float = 0.9, rows: int = 40
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return probabilities of a candidate that is sure, with a tail over all other classes."""
    rng = np.random.default_rng(classes)
    tail = rng.lognormal(0, 1, (rows, classes))
    tail *= (1 - sure) / tail.sum(axis=1, keepdims=True)
    tail[np.arange(rows), rng.integers(classes, size=rows)] += sure
    return tail


def scored(path: Path, scores: np.ndarray[Any, Any]) -> Path:
    columns: dict[str, Any] = {
        "image": [f"{i}.png" for i in range(len(scores))],
        "label": ["0"] * len(scores),
    }
    columns |= {f"prob_{i}": column for i, column in enumerate(scores.T)}
    table = pa.table(columns)
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("classes", "decimals"), [(10, 2), (100, 3), (300, 3)])
def test_rounded_probabilities_are_read(
    tmp_path: Path, classes: int, decimals: int, kind: str
) -> None:
    scores = softmax(classes).round(decimals).astype(np.float32 if kind == "parquet" else float)
    assert np.abs(scores.sum(axis=1) - 1).max() > 0.01
    table = read_saved(scored(tmp_path / f"p.{kind}", scores))
    assert table.probabilities is not None
    np.testing.assert_array_equal(table.probabilities, scores.astype(np.float32))


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        (softmax(1000, 0.7).round(2), "too few decimals"),  # rounding may explain a sum of 5, too
        (0.97 * softmax(100), "too few decimals, or are no softmax outputs; save softmax outputs"),
        (0.97 * softmax(3).round(5), "with at least 5 decimals"),
        (1 / (1 + np.exp(-10 * softmax(3).round(2))), "no softmax outputs"),
        (100 * softmax(100).round(3), "not logits"),
        (np.log(softmax(10)).round(2), "not logits"),
    ],
    ids=["lost", "unrounded", "exact", "sigmoids", "percentages", "logits"],
)
def test_a_sum_that_rounding_does_not_explain_is_refused(
    tmp_path: Path, scores: np.ndarray[Any, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match="the probabilities sum to") as caught:
        read_saved(scored(tmp_path / "p.csv", scores))
    assert complaint in str(caught.value)


@pytest.mark.parametrize("column", ["label", "predicted"])
def test_an_unknown_class_has_its_line_and_a_suggestion(write: Write, column: str) -> None:
    values = {"label": "cat", "predicted": "cat", column: "cart"}
    text = f"image,label,predicted\nx,cat,dog\ny,{values['label']},{values['predicted']}\n"
    with pytest.raises(InputError) as caught:
        read_saved(write("p.csv", text), ClassList(("cat", "dog"), "given"))
    assert f':3: "{column}" is "cart"' in str(caught.value)
    assert 'did you mean "cat"?' in str(caught.value)


def test_probabilities_in_another_order_are_refused(write: Write) -> None:
    rows = "".join(f"{i}.png,cat,cat,0.1,0.9\n{i}.jpg,dog,dog,0.8,0.2\n" for i in range(5))
    with pytest.raises(InputError, match='"predicted" is not the most probable class in 10 of 10'):
        read_saved(write("p.csv", "image,label,predicted,prob_cat,prob_dog\n" + rows))


def test_a_moved_threshold_is_nobodys_error(write: Write) -> None:
    rows = "".join(f"{i}.png,fraud,fraud,0.6,0.4\n{i}.jpg,ok,ok,0.9,0.1\n" for i in range(5))
    found = read_saved(write("p.csv", "image,label,predicted,prob_ok,prob_fraud\n" + rows))
    assert found.predicted.tolist() == [1, 0] * 5


@pytest.mark.parametrize(
    ("changed", "as_probable"),
    [
        ({"fraud,fraud,0.6,0.4": 10, "ok,ok,0.4,0.6": 10}, {}),
        ({"fraud,fraud,0.6,0.4": 20}, {"ok,ok,0.55,0.45": 1}),
        ({"fraud,fraud,0.6,0.4": 100, "ok,ok,0.4,0.6": 99, "ok,fraud,0.6,0.4": 1}, {}),
    ],
    ids=["both ways", "not from one probability on", "all but one"],
)
def test_labels_are_no_predictions(
    write: Write, changed: dict[str, int], as_probable: dict[str, int]
) -> None:
    with pytest.raises(InputError, match=r"is the label in .* of these: no threshold moves like"):
        read_saved(write("p.csv", _changed(changed | as_probable)))


@pytest.mark.parametrize(
    ("changed", "as_probable"),
    [
        ({"fraud,fraud,0.6,0.4": 20}, {"ok,ok,0.61,0.39": 1}),
        ({"fraud,fraud,0.6,0.4": 10, "ok,ok,0.4,0.6": 9}, {}),
        ({"fraud,fraud,0.6,0.4": 10, "ok,ok,0.4,0.6": 9, "ok,fraud,0.6,0.4": 1}, {}),
    ],
    ids=["a threshold", "few", "not all right"],
)
def test_predictions_by_something_else_than_the_probabilities_are_read(
    write: Write, changed: dict[str, int], as_probable: dict[str, int]
) -> None:
    found = read_saved(write("p.csv", _changed(changed | as_probable)))
    assert len(found.predicted) == 500


def _changed(rows: dict[str, int]) -> str:
    """Return a file of 500 rows; those that are not given are predicted as is most probable."""
    said = [row for row, times in rows.items() for _ in range(times)]
    said += ["ok,ok,0.9,0.1"] * (500 - len(said))
    lines = [f"{n}.png,{row}" for n, row in enumerate(said)]
    return "\n".join(["image,label,predicted,prob_ok,prob_fraud", *lines, ""])


def test_a_missing_and_an_unknown_probability_column(write: Write) -> None:
    path = write("p.csv", SCORED + "x,cat,0.5,0.5\n")
    with pytest.raises(InputError, match='no column "prob_fox"'):
        read_saved(path, ClassList(("cat", "dog", "fox"), "given"))
    with pytest.raises(InputError, match='"prob_dog" is no class'):
        read_saved(path, ClassList(("cat",), "given"))


@pytest.mark.parametrize("gap", ["", None])
def test_parquet_with_gaps_is_no_class(tmp_path: Path, gap: str | None) -> None:
    path = tmp_path / "p.parquet"
    columns = {"image": ["x", "y"], "label": ["a", gap], "predicted": ["b", gap]}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError, match=':3: "label" is empty'):
        read_saved(path)


def test_parquet_with_nan_labels_is_no_class(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    values = [0.0, 1.0, float("nan")]
    columns = {"image": ["x", "y", "z"], "label": values, "predicted": values}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError, match=':4: "label" is empty'):
        read_saved(path)


def test_parquet_dictionaries_and_integers(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    label = pa.array(["1", "0"]).dictionary_encode()
    pq.write_table(pa.table({"image": ["x", "y"], "label": label, "predicted": [1, 1]}), path)
    table = read_saved(path)
    assert table.label.tolist() == [1, 0]
    assert table.predicted.tolist() == [1, 1]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv"):
        read_saved(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [(("a",), "1 class"), ((), "0 class"), (("a", "b", "a"), "stands twice")],
)
def test_class_lists_that_are_none(names: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        class_list(names)


def test_a_class_file_keeps_names_and_order(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffno\r\n1e3\r\n\r\nzebra crossing\r\nant\r\n".encode())
    assert class_list(path).names == ("no", "1e3", "zebra crossing", "ant")


class TestAgainstTheData:
    """Saved predictions where the data is named too."""

    @pytest.fixture
    def data(self, write: Write) -> Path:
        return write("test.csv", "image,label\nx,a\ny,b\nz,a\n")

    def test_every_image_needs_a_row(
        self, run: Callable[..., Audit], write: Write, data: Path
    ) -> None:
        rows = write("p.csv", "image,label,predicted\nx,a,a\ny,b,b\n")
        with pytest.raises(InputError, match=r"no row for 1 of the 3 images .*first: z"):
            run(data={"test": data}, predictions={"test": rows})

    def test_labels_must_agree(self, run: Callable[..., Audit], write: Write, data: Path) -> None:
        rows = write("p.csv", "image,label,predicted\nx,a,a\ny,b,b\nz,b,b\n")
        with pytest.raises(InputError, match=':4: z is labelled "b" here and "a" in'):
            run(data={"test": data}, predictions={"test": rows})

    def test_further_rows_are_refused(
        self, run: Callable[..., Audit], write: Write, data: Path
    ) -> None:
        rows = write("p.csv", "image,label,predicted\nw,a,a\nx,a,a\ny,b,b\nz,a,a\n")
        with pytest.raises(InputError, match=":2: w is not among the 3 images"):
            run(data={"test": data}, predictions={"test": rows})

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ("v,b,b", ":8: v is not among the 6 images"),
            ("e5,b,b", None),
            ("e5,a,a", ':7: e5 is labelled "a" here and "b" in'),
            ("", "no row for 1 of the 6 images .*first: e5"),
        ],
    )
    def test_training_images_that_no_model_would_be_run_on_are_held_to_the_data_too(
        self, run: Callable[..., Audit], write: Write, rows: str, said: str | None
    ) -> None:
        images = [f"e{n},{'ab'[n % 2]}" for n in range(6)]
        data = {"train": write("train.csv", "\n".join(["image,label", *images])), "train_sample": 2}
        known = [f"{each},{each[-1]}" for each in images[:5]]
        rows = rows if said is None or rows != "v,b,b" else f"e5,b,b\n{rows}"
        saved = write("p.csv", "\n".join(["image,label,predicted", *known, rows]))
        test = write("t.csv", "image,label,predicted\nx,a,a\ny,b,b\n")
        given: dict[str, Any] = {"data": data, "predictions": {"test": test, "train": saved}}
        if said is None:
            assert run(**given).check("overfitting").findings[-1].observed == 1
        else:
            with pytest.raises(InputError, match=said):
                run(**given)

    def test_order_does_not_matter(
        self, run: Callable[..., Audit], write: Write, data: Path
    ) -> None:
        rows = write("p.csv", "image,label,predicted\nz,a,b\ny,b,b\nx,a,a\n")
        audit = run(data={"test": data}, predictions={"test": rows})
        assert audit.check("top1-accuracy").findings[0].observed == pytest.approx(2 / 3)

    def test_a_training_class_that_the_test_set_never_names(
        self, run: Callable[..., Audit], write: Write
    ) -> None:
        train = write("train.csv", "image,label\nu,a\nv,b\nw,ghost\n")
        rows = write("p.csv", "image,label,predicted\nx,a,a\ny,b,b\n")
        with pytest.raises(InputError, match=r'"ghost" is not a class .*--classes'):
            run(data={"train": train}, predictions={"test": rows})
        audit = run(
            data={"train": train},
            predictions={"test": rows},
            candidate={"classes": ["a", "b", "ghost"]},
        )
        assert audit.check("accuracy-paradox").status == "inconclusive"


class TestAgainstTheTrainingData:
    """Saved predictions on test images that nothing else names."""

    @pytest.fixture
    def train(self, image_folder: Callable[..., Path]) -> Path:
        return image_folder("train", {"a": 2, "b": 2})

    @pytest.mark.parametrize(
        "form", ["train/{}", "./x/../train/{}", "../{here}/train/{}", "{at}/{}"]
    )
    def test_training_images_are_no_test_images(
        self, run: Callable[..., Audit], write: Write, train: Path, form: str
    ) -> None:
        images = [form.format(f"{c}/000{n}.png", here=train.parent.name, at=train) for c, n in TWO]
        saved = write("p.csv", _right(["x", "y", *images]))
        said = re.escape(f"p.csv:4: {images[0]} is an image of {train}, the training data, and so")
        with pytest.raises(InputError, match=f"{said} are 2 of the 4; give predictions of the tes"):
            run(data={"train": train}, predictions={"test": saved})

    @pytest.mark.parametrize(
        "images",
        [
            ["a/0000.png", "b/0001.png"],
            ["test/a/0000.png", "test/b/0001.png"],
            ["test/train/a/0000.png", "test/train/b/0001.png"],
            ["train/a/0000.png", "x", "y"],
        ],
        ids=["from their folder on", "of another folder", "of another of that name", "few"],
    )
    def test_names_that_both_may_have_are_allowed(
        self, run: Callable[..., Audit], write: Write, train: Path, images: list[str]
    ) -> None:
        saved = write("p.csv", _right([*images]))
        audit = run(data={"train": train}, predictions={"test": saved})
        assert audit.data.test.images == len(images)


TWO = [("a", 0), ("b", 1)]


def _right(images: list[str]) -> str:
    rows = [f"{image},{'ab'[n % 2]},{'ab'[n % 2]}" for n, image in enumerate(images)]
    return "\n".join(["image,label,predicted", *rows, ""])


class TestARareClassThatTheTestSetLacks:
    @pytest.fixture
    def test_rows(self, write: Write) -> Path:
        return write("test.csv", rows("a", {"b": 30, "c": 30}))

    @pytest.fixture
    def train_rows(self, write: Write) -> Path:
        return write("train.csv", rows("b", {"a rare one": 2, "b": 50, "c": 50}))

    @pytest.mark.parametrize("split", ["train", "validation"])
    def test_is_reported(
        self, run: Callable[..., Audit], test_rows: Path, train_rows: Path, split: str
    ) -> None:
        audit = run(predictions={"test": test_rows, split: train_rows})
        assert audit.data.classes == ("a rare one", "b", "c")
        assert "test.csv and train.csv" in audit.data.class_order
        paradox = audit.check("accuracy-paradox")
        assert paradox.status == "inconclusive"
        notes = {f.subject: f.note for f in paradox.findings}
        assert notes["a rare one"] == "no test image of this class"

    def test_is_not_judged_from_evidence_that_knew_other_classes(
        self, run: Callable[..., Audit], test_rows: Path, train_rows: Path
    ) -> None:
        alone = run(predictions={"test": test_rows})
        together = run(predictions={"test": test_rows, "train": train_rows})
        again = run(predictions={"test": test_rows})
        assert alone.data.classes == again.data.classes == ("b", "c")
        assert len(together.data.classes) == 3
        assert alone.check("accuracy-paradox").status == "pass"
        assert together.check("accuracy-paradox").status == "inconclusive"
        assert again.check("accuracy-paradox").status == "pass"

    def test_is_refused_where_a_class_list_says_otherwise(
        self, run: Callable[..., Audit], test_rows: Path, train_rows: Path
    ) -> None:
        given = {"test": test_rows, "train": train_rows}
        with pytest.raises(InputError, match='"a rare one", which is not one of the 2 classes'):
            run(predictions=given, candidate={"classes": ["b", "c"]})

    def test_is_refused_where_the_probabilities_say_otherwise(
        self, run: Callable[..., Audit], write: Write, train_rows: Path
    ) -> None:
        scored = "image,label,prob_b,prob_c\n" + "".join(f"{i},b,0.9,0.1\n" for i in range(9))
        given = {"test": write("test.csv", scored), "train": train_rows}
        with pytest.raises(InputError, match=r'"a rare one" is not a class .*--classes'):
            run(predictions=given)

    def test_is_not_what_classes_of_other_names_are(
        self, run: Callable[..., Audit], write: Write, test_rows: Path
    ) -> None:
        train = write("train.csv", rows("b", {"B": 50, "C": 50}))
        with pytest.raises(InputError, match='"B" is not a class of the candidate'):
            run(predictions={"test": test_rows, "train": train})


def rows(prefix: str, counts: dict[str, int]) -> str:
    """Return a file of predictions that are all right."""
    said = [f"{prefix}{name}{i}.png,{name},{name}" for name in counts for i in range(counts[name])]
    return "\n".join(["image,label,predicted", *said, ""])
