"""The names of erised 0.1: `from elsewhere.dialects.erised import Proxy` for `from erised import Proxy`.

Owns: what erised's names mean in ours. Must not know: anything of elsewhere but its public names.

What is different, because it was a fault: a method that raises ends nothing, attributes of the object itself work, what
cannot be pickled is an error and no endless wait, a process that died is told, and ends with its owner.
"""

from __future__ import annotations

import queue
import sys
from typing import Any, NoReturn

import elsewhere
from elsewhere.dialects import processes

__all__ = ["Future", "Proxy"]


class NotReadyError(TimeoutError, queue.Empty):
    """The result was not there in time; erised raises `queue.Empty`."""


class Future:
    """What a call will give.

    Source: erised's, which follows `concurrent.futures.Future`.
    """

    __slots__ = ("_future",)

    def __init__(self, future: elsewhere.Future[Any]) -> None:
        """Wrap a Future of elsewhere; erised makes its futures itself, and so do calls here."""
        self._future = future

    def cancel(self) -> NoReturn:
        """Refuse: a call of erised's cannot be cancelled.

        Raises:
            NotImplementedError: always, as with erised.
        """
        # What erised raises, and its users catch: with it a call always runs to its end.
        text = "cancelling is not implemented by erised; elsewhere.submit gives futures that can be cancelled"
        raise NotImplementedError(text)

    def cancelled(self) -> bool:
        """Whether it was cancelled, which nobody can do."""
        return self._future.cancelled()

    def running(self) -> bool:
        """Whether it has no result yet."""
        return not self._future.done()

    def done(self) -> bool:
        """Whether the result, or an exception, is there."""
        return self._future.done()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result, at most `timeout` seconds, and give it.

        Raises:
            NotReadyError: it is not there in time; a `queue.Empty` and a `TimeoutError`.
            Exception: what the call raised; `elsewhere.HostDied` and its like where the process is gone.
        """
        try:
            return self._future.result(timeout)
        except TimeoutError:
            if self._future.done():
                raise  # the method's own
        text = f"no result after {timeout} s"
        raise NotReadyError(text)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end of the call, at most `timeout` seconds, and give what it raised, or None.

        Raises:
            NotReadyError: it has not ended in time.
        """
        try:
            return self._future.exception(timeout)
        except TimeoutError:
            text = f"no result after {timeout} s"
            raise NotReadyError(text) from None


class _LocalFuture(Future):
    """Of a call of a local object, whose results are what they are there."""

    __slots__ = ()

    def result(self, timeout: float | None = None) -> Any:
        result = super().result(timeout)
        if elsewhere.is_proxy(result):
            result = elsewhere.get(result)  # of the object itself, which is named by a view of futures, a future
        return result.result() if isinstance(result, elsewhere.Future) else result


FEW = 8
"""So many calls may be under way before the futures of those that have ended are looked for."""


class _Home:
    """The process of an object, and what was asked of it; a local one does that at the latest when nobody has it."""

    def __init__(self, host: elsewhere.Host, *, is_local: bool) -> None:
        self.host = host
        self.is_local = is_local
        self.futures: list[Future] = []
        self.enough = FEW
        self.is_asked = False

    def __del__(self) -> None:
        if self.is_local and not sys.is_finalizing():
            self.wait()
            self.host.close()

    def note(self, future: elsewhere.Future[Any]) -> Future:
        self.is_asked = True
        if self.futures and self.futures[-1].done():  # as where each is waited for
            self.futures = self.futures[:-1]
        if len(self.futures) >= self.enough:
            self.futures = [one for one in self.futures if not one.done()]
            self.enough = max(FEW, 2 * len(self.futures))
        noted = _LocalFuture(future) if self.is_local else Future(future)
        self.futures.append(noted)
        return noted

    def wait(self) -> bool:
        for future in self.futures:
            future.exception()
        was_asked, self.is_asked = self.is_asked, False
        return was_asked


ITEMS = frozenset({"__contains__", "__delitem__", "__getitem__", "__len__", "__setitem__"})
"""Methods of Python's own that are called by their names there, as erised has no other way to an item."""

OWN = frozenset({"_erised_home_", "_erised_place_"})


class Proxy:
    """An object in a process of its own; all that is done with it gives futures.

    Every name is the object's but `retrieve`, `terminate` and `wait_all_futures`, and its path grows by each; none is
    looked up before something is asked there.
    """

    _erised_home_: _Home
    _erised_place_: Any

    def __init__(self, obj: Any, *, local: bool = False) -> None:
        """Put `obj` into a new process; with `local` it stays here, and calls run when a result is asked for.

        Raises:
            ValueError: `obj` is None.
            elsewhere.HostStartError: no process could be started.
            elsewhere.ArgumentError: `obj` cannot be copied into it.
        """
        if obj is None:
            text = "Object can't be None"
            raise ValueError(text)
        host = elsewhere.Host(start="local", copy=False) if local else processes.start()
        try:
            place = elsewhere.futures(host.send(obj))
        except BaseException:
            host.close()
            raise
        _fill(self, _Home(host, is_local=local), place)

    def __getattr__(self, name: str) -> Proxy:
        """Name a part of the object. Costs no I/O, and fails for names of Python's own alone."""
        if name in OWN or (name.startswith("__") and name.endswith("__") and name not in ITEMS):
            raise AttributeError(name)
        part = object.__new__(Proxy)
        _fill(part, self._erised_home_, elsewhere.attribute(self._erised_place_, name))
        self.__dict__[name] = part  # a name stands for the same place for ever
        return part

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute there, without waiting; a failure is raised by the next call."""
        if name.startswith("_"):  # elsewhere keeps such names for its proxies
            elsewhere.post(setattr, self._erised_place_, name, value)
        else:
            setattr(self._erised_place_, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Future:
        """Call what is here. Gives a Future at once."""
        return self._erised_home_.note(self._erised_place_(*args, **kwargs))

    def __repr__(self) -> str:
        """Say which part of which object this is. Costs no I/O."""
        return f"<erised proxy of {self._erised_place_!r}>"

    def __copy__(self) -> Proxy:
        """Give the proxy itself: it is a name."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Proxy:
        """Give the proxy itself."""
        return self

    def retrieve(self) -> Future:
        """Ask for a copy of the value that is here."""
        return self._erised_home_.note(elsewhere.get(self._erised_place_))

    def wait_all_futures(self) -> None:
        """Wait for all calls that have not ended.

        Raises:
            ValueError: none was made since the last time.
        """
        if not self._erised_home_.wait():
            text = "there is no call to wait for"
            raise ValueError(text)

    def terminate(self) -> None:
        """End the process now, with the calls that have not ended; where the object is local, run those first."""
        if self._erised_home_.is_local:
            self._erised_home_.wait()  # results that nobody asked for yet belong to their futures from now on
            self._erised_home_.host.close()
        else:
            self._erised_home_.host.close(timeout=0)


def _fill(proxy: Proxy, home: _Home, place: Any) -> None:
    proxy.__dict__.update(_erised_home_=home, _erised_place_=place)
