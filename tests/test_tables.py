"""Tables of pandas and Arrow, and tensors: equal there and back, in memory of their own where that is to be had."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import elsewhere
from heaps import LARGE, place

ROWS = 50_000

FRAMES = {
    "of numbers": lambda: pd.DataFrame({"x": np.arange(ROWS, dtype=float), "n": np.arange(ROWS)}),
    "of one block": lambda: pd.DataFrame(np.arange(4.0 * ROWS).reshape(ROWS, 4), columns=list("abcd")),
    "of texts": lambda: pd.DataFrame({"s": [f"grün {number % 100}" for number in range(ROWS)]}),
    "of objects": lambda: pd.DataFrame({"o": [{"a": 1}, None] * (ROWS // 2)}),
    "of categories": lambda: pd.DataFrame({"c": pd.Categorical(["u", "v"] * (ROWS // 2))}),
    "of dates": lambda: pd.DataFrame({"t": pd.date_range("2020", periods=ROWS, freq="s")}),
    "of zoned dates": lambda: pd.DataFrame({"t": pd.date_range("2020", periods=ROWS, freq="s", tz="UTC")}),
    "of what may be missing": lambda: pd.DataFrame({"i": pd.array([1, None] * (ROWS // 2), dtype="Int64")}),
    "of Arrow's types": lambda: pd.DataFrame({"i": pd.array(range(ROWS), dtype="int64[pyarrow]")}),
    "with a deep index": lambda: pd.DataFrame(
        {"x": np.arange(ROWS)}, index=pd.MultiIndex.from_product([range(ROWS // 10), range(10)])
    ),
    "of no row": lambda: pd.DataFrame({"x": np.zeros(0)}),
}

TABLES = {
    "of numbers": lambda: pa.table({"x": np.arange(ROWS, dtype=float), "n": np.arange(ROWS)}),
    "of texts": lambda: pa.table({"s": [f"grün {number}" for number in range(ROWS)]}),
    "of what may be missing": lambda: pa.table({"i": pa.array([1, None] * (ROWS // 2))}),
    "of lists": lambda: pa.table({"l": pa.array([[1, 2], []] * (ROWS // 2))}),
    "in pieces": lambda: pa.concat_tables([pa.table({"x": np.arange(ROWS)})] * 3),
    "a slice": lambda: pa.table({"x": np.arange(ROWS)}).slice(1000, 20_000),
    "of dictionaries": lambda: pa.table({"d": pa.array(["u", "v"] * ROWS).dictionary_encode()}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frame_is_equal_there_and_back(heap, name):
    frame = FRAMES[name]()

    back = heap.echo(frame)

    pd.testing.assert_frame_equal(back, frame)


@pytest.mark.parametrize("name", TABLES)
def test_arrow_table_is_equal_there_and_back(heap, name):
    table = TABLES[name]()

    back = heap.echo(table)

    assert type(back) is pa.Table
    assert back.schema == table.schema
    assert back.equals(table)


def test_series_and_index_are_equal_there_and_back(heap):
    series, index = pd.Series(np.arange(ROWS), name="n"), pd.date_range("2020", periods=ROWS, freq="s")

    back = heap.echo((series, index))

    pd.testing.assert_series_equal(back[0], series)
    pd.testing.assert_index_equal(back[1], index)


def test_frame_that_arrives_is_the_receivers_own(heap):
    frame = pd.DataFrame({"x": np.zeros(ROWS)})
    heap.keep(frame)

    back = heap.last()
    back.loc[0, "x"] = 7.0
    frame.loc[1, "x"] = 8.0

    assert heap.last().x.sum() == 0


@pytest.mark.usefixtures("shares_memory")
def test_numbers_and_dates_of_a_frame_are_the_memory_that_came(far_heap):
    frame = pd.DataFrame({"x": np.arange(ROWS, dtype=float), "t": pd.date_range("2020", periods=ROWS, freq="s")})

    back = far_heap.echo(frame)

    assert place(back.x.to_numpy()) is not None
    assert place(back.t.to_numpy().view("i8")) is not None


@pytest.mark.usefixtures("shares_memory")
def test_content_of_an_arrow_table_is_the_memory_that_came(far_heap):
    back = far_heap.echo(pa.table({"x": np.arange(ROWS)}))

    _, content = back.column("x").chunk(0).buffers()
    assert place(np.frombuffer(content, "u1")) is not None


def test_tensor_is_equal_there_and_back(heap):
    torch = pytest.importorskip("torch")
    tensor = torch.arange(LARGE // 4).reshape(256, -1)

    back, turned = heap.echo([tensor, tensor.T])

    assert torch.equal(back, tensor)
    assert torch.equal(turned, tensor.T)


@pytest.mark.usefixtures("shares_memory")
def test_frame_over_a_shared_array_is_of_the_same_memory_there(far_heap):
    shared = elsewhere.shared_array(ROWS)
    frame = pd.DataFrame({"x": shared}, copy=False)

    there = far_heap.echo(frame)

    assert place(there.x.to_numpy()) == place(frame.x.to_numpy()) == place(shared)
