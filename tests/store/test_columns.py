"""How evidence lies in a table: what is written is read again, whole or in pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from auditor.store.columns import (
    made_by,
    matrix,
    matrix_of,
    telling,
    telling_schema,
    told,
    with_lost,
    without_lost,
)

TYPES = (np.int8, np.float16, np.float32, np.int64)


@given(
    st.sampled_from(TYPES).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6))
    ),
    st.data(),
)
def test_an_array_comes_back_from_any_piece_of_a_table(
    values: NDArray[Any], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    table = pa.table({"values": matrix(values)})
    pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    flat = values.reshape(len(values), -1)
    for found, expected in (
        (matrix_of(table, "values", values.dtype.type), flat),
        (matrix_of(pieces, "values", values.dtype.type), flat),
        (matrix_of(table.slice(cut), "values", values.dtype.type), flat[cut:]),
    ):
        assert found is not None
        np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_row_is_stored_as_numpy_stores_it(dtype: type[np.generic]) -> None:
    values = np.arange(-6, 6).reshape(3, 4).astype(dtype)
    assert matrix(values).to_pylist() == [row.tobytes() for row in values]
    assert matrix_of(pa.table({"other": matrix(values)}), "values", dtype) is None


names = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4)


@given(names, st.lists(st.text(max_size=5), max_size=4))
def test_what_was_lost_comes_apart_again(unreadable: dict[str, str], images: list[str]) -> None:
    columns = {"image": pa.array(images, pa.string()), "n": pa.array(range(len(images)))}
    table, lost = without_lost(with_lost(columns, unreadable))
    assert lost == unreadable
    assert table.select(["image", "n"]).to_pydict() == {
        "image": images,
        "n": [*range(len(images))],
    }


def test_what_is_said_beside_the_rows() -> None:
    table = pa.table({"n": [1]})
    assert told(table) == {}
    assert told(telling(table, {"b": [1, None], "a": "ü"})) == {"a": "ü", "b": [1, None]}


def test_what_is_said_beside_the_columns_of_a_stream() -> None:
    said = telling_schema(pa.schema({"n": pa.int8()}), {"b": [1, None], "a": "ü"}, "by eye")
    assert told(said) == {"a": "ü", "b": [1, None]}
    assert told(said.empty_table()) == told(said)
    assert made_by(said, "by eye")
    assert not made_by(said, "by ear")
    assert not made_by(pa.schema({"n": pa.int8()}), "by eye")


def test_what_is_said_is_stored_as_it_always_was() -> None:
    table, about = pa.table({"n": [1]}), {"b": [1, None], "a": "ü"}
    text = b'{"a": "\\u00fc", "b": [1, null]}'
    assert telling(table, about).schema.metadata == {b"about": text}
    said = telling_schema(table.schema, about, "by eye")
    assert said.metadata == {b"about": text, b"method": b"by eye"}


def test_what_is_no_json_is_told_from_nothing() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        told(pa.schema({"n": pa.int8()}, {"about": "by hand"}))
