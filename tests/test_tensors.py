"""Tensors of torch in this processor's memory: one copy in and none out, as arrays. Where torch is installed."""

from __future__ import annotations

import warnings

import pytest

import elsewhere
from workshop import Keeper

torch = pytest.importorskip("torch", reason="torch is large, and no test of others needs it")

LARGE = 100_000


def quantized() -> torch.Tensor:
    """A tensor of whole numbers with a scale, which newer versions of torch warn about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.quantize_per_tensor(torch.ones(LARGE), 0.5, 1, torch.quint8)


@pytest.fixture(scope="module")
def keeper():
    with elsewhere.Host(preload=("torch",)) as host:
        yield host.spawn(Keeper)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(8.0),
        torch.tensor(3.5),
        torch.zeros(0, 3),
        torch.arange(LARGE).reshape(100, -1),
        torch.arange(LARGE).reshape(100, -1).t(),
        torch.arange(2 * LARGE)[::2],
        torch.ones(LARGE, dtype=torch.bfloat16),
        torch.ones(LARGE, dtype=torch.bool),
        torch.ones(LARGE, dtype=torch.complex64) * 1j,
        (torch.ones(LARGE, dtype=torch.complex64) * 1j).conj(),
        torch.ones(LARGE, requires_grad=True),
        torch.nn.Parameter(torch.ones(LARGE)),
        torch.eye(3).to_sparse(),
        pytest.param(quantized(), marks=[pytest.mark.filterwarnings("ignore:(TypedStorage|.*quantize)")]),
    ],
    ids=lambda tensor: f"{type(tensor).__name__} {tensor.dtype} {tuple(tensor.shape)}",
)
def test_tensor_comes_back_as_it_went(keeper, tensor):
    back = keeper.path_of(tensor)

    assert type(back) is type(tensor)
    assert (back.dtype, back.shape, back.layout) == (tensor.dtype, tensor.shape, tensor.layout)
    assert back.requires_grad == tensor.requires_grad
    assert torch.equal(whole(back), whole(tensor))


def whole(tensor):
    """The same in the simplest form."""
    dense = tensor.detach()
    dense = dense.dequantize() if dense.is_quantized else dense.to_dense() if dense.is_sparse else dense
    return dense.resolve_conj()


def test_large_tensor_is_the_memory_that_came(keeper):
    keeper.keep(torch.zeros(LARGE))

    assert "memfd:" in elsewhere.submit(name_of_memory, keeper).result()


def name_of_memory(keeper: Keeper) -> str:
    """The name of what is mapped where the tensor is that is kept."""
    address = keeper.thing.data_ptr()
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, end = (int(number, 16) for number in line.split()[0].split("-"))
            if begin <= address < end:
                return line
    raise AssertionError("nothing is mapped there")


def test_tensor_that_came_belongs_to_who_received_it(keeper):
    tensor = torch.zeros(LARGE)

    back = keeper.path_of(tensor)
    back += 1

    assert float(back.sum()) == LARGE
    assert float(tensor.sum()) == 0


def test_tensors_inside_of_containers_and_objects_arrive(keeper):
    state = {"layers": [torch.ones(LARGE), torch.zeros(7)], "model": torch.nn.Linear(300, 300)}

    back = keeper.path_of(state)

    assert torch.equal(back["layers"][0], state["layers"][0])
    assert torch.equal(back["model"].weight, state["model"].weight)
    assert back["model"].weight.requires_grad
