"""Arrays in memory that several processes map, and how arrays are pickled that pickle alone would copy into its stream.

Owns: what numpy is asked for, when it is there. Must not know: how memory is shared (`_core` does that).
"""

from __future__ import annotations

import sys

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy import ndarray


LARGE = 64 * 1024
"""Bytes of what goes in memory of its own."""


def shared_array(shape: int | Sequence[int], dtype: object = float, /) -> ndarray[Any, Any]:
    """Make a numpy array of zeros in memory that is passed to hosts without a copy.

    Passed as an argument, in one or as a result it is the same memory there, and writes are seen on all sides. So are
    its views; what is computed from it is an array like any other. Nobody locks it. The memory lives until no process
    has a view of it.

    Raises TypeError for a dtype with Python objects, MemoryError where there is not so much memory, and
    ModuleNotFoundError without numpy.
    """
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        text = "shared_array() needs numpy; shared_memory() does without it"
        raise ModuleNotFoundError(text, name=error.name) from None
    kind: np.dtype[Any] = np.dtype(dtype)  # type: ignore[call-overload] # numpy says what it takes
    if kind.hasobject:
        text = f"an array of {kind} cannot be shared: it holds objects of this process"
        raise TypeError(text)
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    nbytes = kind.itemsize
    for size in sizes:
        nbytes *= size
    if nbytes == 0:
        return np.zeros(sizes, kind)
    if min(sizes, default=0) < 0:
        text = "negative dimensions are not allowed"
        raise ValueError(text)
    return np.ndarray(sizes, kind, buffer=_core.shared_memory(nbytes))


_reducers: dict[type, Callable[[Any], Any]] = {}


def reducers() -> dict[type, Callable[[Any], Any]]:
    """What arrays are reduced with, of the modules that are loaded, for who takes memory."""
    if len(_reducers) < 3:
        if (numpy := sys.modules.get("numpy")) is not None and hasattr(numpy, "ndarray"):  # not while it is imported
            _reducers[numpy.ndarray] = _reduce_array
        if (machine := sys.modules.get("array")) is not None:
            _reducers[machine.array] = _reduce_machine_array
        if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "Tensor"):
            _reducers[torch.Tensor] = _reduce_tensor
    return _reducers


def _reduce_machine_array(array: Any) -> Any:
    if len(array) * array.itemsize < LARGE:
        return array.__reduce_ex__(5)
    from pickle import PickleBuffer  # whoever gets here has loaded it

    return _make_machine_array, (array.typecode, PickleBuffer(array))


def _make_machine_array(typecode: str, content: Any) -> Any:
    from array import array

    made = array(typecode)
    made.frombytes(content)
    return made


def _reduce_array(array: ndarray[Any, Any]) -> Any:
    """Numpy's own way copies dates, which have no buffer, and what is not in one piece."""
    if array.dtype.kind in "mM" and array.nbytes >= LARGE:
        return _make_dates, (array.view("i8"), array.dtype)
    if array.flags.forc or array.dtype.hasobject or not _core._shares():
        return array.__reduce_ex__(5)
    start = array.ctypes.data
    reach = [(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)]
    low = start + sum(step for step in reach if step < 0)
    high = start + sum(step for step in reach if step > 0) + array.itemsize
    span = _core._shared_span(low, high - low, array.nbytes, not array.flags.writeable)
    if span is None:
        return array.__reduce_ex__(5)
    from pickle import PickleBuffer  # whoever gets here has loaded it

    return _make_strided, (PickleBuffer(span), array.shape, array.strides, start - low, array.dtype)


def _reduce_tensor(tensor: Any) -> Any:
    """A tensor of this processor's memory as the array that it is; torch's own way saves it as if to a file."""
    torch: Any = sys.modules["torch"]
    is_plain = tensor.device.type == "cpu" and tensor.layout is torch.strided and not tensor.is_quantized
    if not is_plain or tensor._backward_hooks or vars(tensor):
        return tensor.__reduce_ex__(5)
    content, dtype = tensor.detach().resolve_conj().resolve_neg(), None
    if tensor.dtype is torch.bfloat16:  # which numpy has not
        content, dtype = content.view(torch.int16), tensor.dtype
    try:
        array = content.numpy()
    except (RuntimeError, TypeError):  # there is no numpy, or it has no such numbers
        return tensor.__reduce_ex__(5)
    return _make_tensor, (array, dtype, tensor.requires_grad)


def _make_tensor(array: ndarray[Any, Any], dtype: Any, requires_grad: bool) -> Any:
    torch: Any = __import__("torch")
    tensor = torch.from_numpy(array)
    return (tensor if dtype is None else tensor.view(dtype)).requires_grad_(requires_grad)


def _make_dates(numbers: ndarray[Any, Any], dtype: Any) -> ndarray[Any, Any]:
    return numbers.view(dtype)


def _make_strided(span: memoryview, shape: Any, strides: Any, offset: int, dtype: Any) -> ndarray[Any, Any]:
    import numpy as np

    array: ndarray[Any, Any] = np.ndarray(shape, dtype, buffer=span, offset=offset, strides=strides)
    return array
