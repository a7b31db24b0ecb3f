"""Hosts that are forks of this process.

Owns: when this process may be forked, what its fork has from it, what its fork forgets of it. Must not know: how the
two are connected (`_core.HostFork`).

A fork has one thread, the one that forked. What other threads held at that moment, locks above all, stays as it was for
ever; so while others run, there is no fork. Our own are stopped before: the watch thread by `_core.HostFork`, here the
service thread and those that pass calls on.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` would cost 4 ms of imports
import contextvars  # here, and not in each child
import gc
import os
import sys
import time
import types

from . import _class_numbers, _core, _errors, _host_main, _pickle, _threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, NoReturn

    from ._host import Host

GLANCE = 0.0001
"""Seconds between two looks whether they have ended."""

PATIENCE = 1.0
"""Seconds that the library's threads may take to come back from a callback."""

OWN = ("elsewhere-service", "elsewhere-relay-")
"""What the names of the threads begin with that can be ended for a fork."""

OF_FORK = ("path", "output", "levels")
"""What a fork takes over of its configuration by itself; prefix and arguments of the interpreter it has."""

LEFT = ("own_path", "environment", "directory")
"""What it is asked to take over."""

_kept: list[object] = []
"""What the parent had and its fork must not drop: the drop of a stream, say, would close a descriptor."""


def start(
    host: Host,
    inherit: Sequence[object],
    *,
    name: str | None,
    concurrency: str | int,
    configuration: dict[str, Any],
    timeout: float,
    heartbeat: float,
    output: str,
    logs: bool,
    make_shower: Callable[..., object],
) -> None:
    """Make `host` a fork of this process that has the objects `inherit`, and the functions and classes of `__main__`.

    Raises HostStartError where other threads run or the system refuses; nothing is left then.
    """
    objects = [*inherit, *_code_of_main()]
    for obj in inherit:
        for cls in type(obj).__mro__:
            _class_numbers.know_class(cls)
    label = "the host" if name is None else f"host {name!r}"
    left = _left_of(configuration)  # before the fork, which has the modules of this moment
    others = [other for other in _threads.of_python() if not other.startswith(OWN)]
    if others:
        _refuse(others, label)
    fork = None
    try:
        try:
            others = _end_own_threads()
            if not others:
                fork = _core.HostFork(list(inherit), output=output, logs=logs, timeout=timeout)
                others = _threads.others(but_pool=True) or _fork(fork, objects, configuration, concurrency=concurrency)
        except OSError as error:
            raise _errors._host_start_error(str(error), label, "") from error
        finally:
            _core._end_solitude()  # one step, which knows what was begun: a signal's handler may raise between any two
        if fork is None or others:
            _refuse(others, label)
        _core.start_forked_host(
            host,
            fork,
            name=name,
            configuration=left,
            timeout=timeout,
            heartbeat=heartbeat,
            make_shower=make_shower,
            inherited=objects,
        )
    except BaseException:
        if fork is not None:
            fork.abandon()  # now, and not when the last frame is gone that has it
        raise


def _code_of_main() -> Iterator[object]:
    """The functions and classes of `__main__`, which the fork has as its own: they need not travel."""
    main = sys.modules.get("__main__")
    for value in list(vars(main).values()) if main is not None else ():
        if isinstance(value, (type, types.FunctionType)) and value.__module__ in _class_numbers.MAIN:
            if isinstance(value, type):
                _class_numbers.know_class(value)
                yield from _with_inner(value)
            else:
                yield value


def _with_inner(cls: type) -> Iterator[type]:
    yield cls
    for inner in vars(cls).copy().values():
        if isinstance(inner, type) and inner.__qualname__.startswith(f"{cls.__qualname__}."):
            yield from _with_inner(inner)


# Before the fork: alone in the process.


def _end_own_threads() -> list[str]:
    """End the threads that work for the library. Gives the names of those that are busy."""
    _core._stop_service()
    end = time.monotonic() + PATIENCE
    while (_core._end_relays() or _threads.of_python()) and time.monotonic() < end:
        time.sleep(GLANCE)  # CPython up to 3.12 takes a thread for ended when an interrupt comes while it is joined
    return [f"{name} (busy with a callback)" for name in _threads.of_python()]


def _left_of(configuration: dict[str, Any]) -> dict[str, Any]:
    """What a fork is asked to do when it is there, since it may fail or take long; mostly nothing."""
    modules = [module for module in configuration["preload"] if sys.modules.get(module) is None]
    left = {name: configuration[name] for name in LEFT}
    return {name: value for name, value in {**left, "preload": modules}.items() if value}


def _refuse(others: list[str], label: str) -> NoReturn:
    reason = (
        f"it cannot be forked while other threads run ({', '.join(others)}): a fork has only the calling "
        f"thread, and what the others hold stays locked in it. End them first, or use start='exec'"
    )
    raise _errors._host_start_error(reason, label, "")


def _fork(
    fork: _core.HostFork, objects: list[object], configuration: dict[str, Any], *, concurrency: str | int
) -> list[str]:
    """Fork, with all signals put off: the child would run the parent's handlers. Does not return in the child.

    Gives the names of threads that were taken for a pool and did not end with the fork: the child is of no use then.
    """
    _flush(sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)  # what lies there would be written twice
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())  # by itself: what blocks runs handlers, which may raise
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        if _threads.quietly(fork.fork):
            _be_a_host(fork, objects, configuration, concurrency=concurrency)
        return _threads.of_libraries()
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


# After the fork, in the child: a host, and nothing of what the parent was.


def _be_a_host(
    fork: _core.HostFork, objects: list[object], configuration: dict[str, Any], *, concurrency: str | int
) -> NoReturn:
    """Serve the owner until it is done; the frames of the parent below this one are never returned to."""
    code = 1
    try:
        gc.freeze()  # garbage of the parent's is finalised by the parent, and pages stay shared
        _forget_ends()  # from now on the child may end as a host does, and nothing of its parent's is done
        fork.become_host()
        _core._forget_owner()
        _core.adopt_owner(concurrency)  # says hello: what follows is done while the owner wakes up
        _forget_parent(logs=configuration["levels"] is not None)
        _pickle.inherit(objects)
        _host_main.BOOTSTRAP.configure({name: configuration[name] for name in OF_FORK})
        _unblock_signals()
        contextvars.Context().run(_host_main.serve)
        code = 0
    except BaseException as error:  # noqa: BLE001 - nothing may get to the parent's frames
        _set_stream("stderr", 2, "w")
        sys.__excepthook__(type(error), error, error.__traceback__)
    finally:
        try:
            _finish()
        finally:
            os._exit(code)


def _forget_parent(*, logs: bool) -> None:
    sys.settrace(None)
    sys.setprofile(None)
    _set_stream("stdin", 0, "r")
    _set_stream("stdout", 1, "w")
    _set_stream("stderr", 2, "w")
    _reset_signals()
    _forget_imports()
    _forget_loops()
    if logs:
        _forget_handlers()
    random = sys.modules.get("numpy.random")  # the standard one does so by itself
    if random is not None:
        random.seed()


def _set_stream(name: str, descriptor: int, mode: str) -> None:
    """Make a standard stream anew: what stands for it may be anything, and holds what the parent read ahead."""
    errors = "backslashreplace" if name == "stderr" else None
    try:
        stream = open(descriptor, mode, buffering=1, errors=errors, closefd=False)  # noqa: SIM115 - it stays
    except OSError:  # the parent has none
        stream = None
    for known in (name, f"__{name}__"):
        _kept.append(getattr(sys, known))
        setattr(sys, known, stream)


def _reset_signals() -> None:
    """Python's handlers are the parent's; what is ignored stays so, as over an exec."""
    _signal.set_wakeup_fd(-1)
    for number in _signal.valid_signals():
        if callable(_signal.getsignal(number)):
            _signal.signal(number, _signal.SIG_DFL)
    _host_main._handle_signals()


def _unblock_signals() -> None:
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _forget_imports() -> None:
    """Imports that were under way are never ended here: who waited for one would wait for ever."""
    machinery: Any = sys.modules["_frozen_importlib"]
    for name in list(machinery._module_locks):
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is not None:
            spec._initializing = False
    machinery._module_locks.clear()


def _forget_ends() -> None:
    """What was to be done at the parent's exit is the parent's to do."""
    import atexit

    atexit._clear()
    atexit.register(_core._at_exit)
    weakref = sys.modules.get("weakref")
    if weakref is not None:
        weakref.finalize._registry.clear()
        weakref.finalize._registered_with_atexit = False
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._finalizer_registry.clear()
        sys.modules["multiprocessing.process"]._children = set()  # type: ignore[attr-defined]
        atexit.register(util._exit_function)


def _forget_loops() -> None:
    """No loop of the parent's runs here, and none of its loops may be used: they watch its descriptors."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        asyncio._set_running_loop(None)
        policy: Any = getattr(asyncio.events, "_event_loop_policy", None)
        if hasattr(policy, "_Local"):  # CPython does this itself since 3.12
            _kept.append(policy._local)
            policy._local = policy._Local()
    for name in ("_loop", "_host_loop", "_local_loop"):
        module = sys.modules.get(f"elsewhere.{name}")
        if module is not None:
            module.forget()


def _forget_handlers() -> None:
    """Records go home, where the parent's handlers are: here they would do everything twice."""
    logging = sys.modules.get("logging")
    if logging is None:
        return
    loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger):
            _kept.extend(logger.handlers)
            logger.handlers.clear()


def _finish() -> None:
    """Do what the interpreter does at its end, but for leaving the parent's frames."""
    import atexit

    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    _flush(sys.stdout, sys.stderr)


def _flush(*streams: Any) -> None:
    for stream in streams:
        try:  # noqa: SIM105 - contextlib would be an import
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # it is nobody's, or closed
