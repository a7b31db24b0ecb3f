"""`Host`: a process, or this very one, that objects are put into.

Owns: the options of a host, their checks and defaults, the verbs of a host. Must not know: how processes start and
messages travel (the Rust half, `_core.HostCore`, does).
"""

from __future__ import annotations

import sys

from . import _awaiting, _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Literal, ParamSpec, Self, TypeVar, overload

    from ._serve import Address

    P = ParamSpec("P")
    T = TypeVar("T")
else:

    def overload(function):
        """`typing.overload` for the interpreter, which needs none and saves the import."""
        return function


START_TIMEOUT = 30.0
"""Seconds that a host may take to start."""

HEARTBEAT = 5.0
"""Seconds that a host may take to give a sign of life. It takes milliseconds, or a second where the machine is full."""

AUTO: Literal["exec", "zygote"] = "zygote"
"""What start="auto" chooses."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a host may take to finish what it accepted."""


class Host(_core.HostCore):
    """One host: an interpreter that holds objects and runs their calls; one at a time, if nothing else is said.

    Args:
        python: The interpreter that the host runs in, where it is to be another one: a path, or a name to be looked for
            in PATH. Any CPython from 3.6 on and PyPy, in a virtual environment or not, with nothing installed there.
            The host sees that interpreter's own import path, behind `path`.
        start: "auto" and "zygote" fork an interpreter that is kept ready for it, `preload` imported, which is several
            times faster from the second host on; where that cannot be, and with "exec", a fresh interpreter is started.
            "fork" forks this process, for objects that cannot be pickled, and is refused while other threads run.
            "local" runs everything in this process, for a debugger: calls queue, and whoever waits for one runs those
            before it.
        name: How texts call the host, beside its process id.
        env: Environment variables to set in the host, beside this process's own.
        cwd: The host's working directory; this process's by default.
        path: Directories that the host's import path begins with; this process's import path follows.
        preload: Modules to import before the host is ready.
        concurrency: How the host runs the calls that come to it. "serial": one at a time, `async def` too, each to its
            end. A number: methods on so many threads, `async def` on an event loop beside them. "async": everything on
            an event loop; calls start in order, and `async def` overlap where they await. "caller": a thread in the
            host for each thread and each task that calls, which runs its calls in order.
        start_timeout: Seconds that all this may take.
        heartbeat: Seconds that the process may take to answer whether it lives, before `responsive` is False.
        copy: Of a local host: whether arguments and results are copied, as between processes; False hands them, and
            exceptions with their tracebacks, over as they are.
        output: Where what the host prints goes, from C code and programs it starts too: "inherit" to the standard
            streams that this process has; "home" to `sys.stdout` and `sys.stderr` as they are here in Python (a
            notebook's cell, pytest's capture, `redirect_stdout`), before the result of the call that printed it;
            "discard" nowhere. The last 4 KiB on stderr are kept in any case, for `HostDied.stderr_tail`.
        inherit: Of a forked host: objects that it has by the fork, as they are now. Wherever one of them stands in what
            is sent to the host later, its twin over there takes its place: `host.send(x)` gives the twin's proxy.
        logging: Whether its log records are handled by the loggers of this process, of the same names. Only those are
            sent whose level is wanted by the loggers here.
        returns: By class, the names of methods whose results go by reference, as if they were declared with
            `by_reference`: for classes that know nothing of that. They hold for subclasses, too.

    Raises:
        HostStartError: The host did not get ready. Nothing is left of it.
        ArgumentError: A class of `returns` cannot be imported there. Nothing is left of the host.
        TypeError, ValueError: An option that does not exist or has a value that means nothing. Nothing was started.

    A host ends when the last of its proxies and this object are gone, when it is closed, or when this process ends.
    As a context manager it is closed at the end of the block.
    """

    def __init__(
        self,
        *,
        python: str | os.PathLike[str] | None = None,
        start: Literal["auto", "exec", "zygote", "fork", "local"] = "auto",
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        path: Sequence[str] = (),
        preload: Sequence[str] = (),
        concurrency: Literal["serial", "async", "caller"] | int = "serial",
        start_timeout: float = START_TIMEOUT,
        heartbeat: float = HEARTBEAT,
        copy: bool = True,
        output: Literal["inherit", "home", "discard"] = "inherit",
        logging: bool = False,
        inherit: Iterable[object] = (),
        returns: Mapping[type[Any], Iterable[str]] | None = None,
    ) -> None:
        super().__init__()
        name = _checked_name(name)
        timeout = _checked_timeout("start_timeout", start_timeout)
        patience = _checked_timeout("heartbeat", heartbeat)
        if start not in ("auto", "exec", "zygote", "fork", "local"):
            text = f"start must be 'auto', 'exec', 'zygote', 'fork' or 'local', not {start!r}"
            raise ValueError(text)
        interpreter = _interpreter(python, start)
        if start == "auto":
            start = AUTO
        environment = _environment(env)
        directory = _directory(cwd)
        modules = _names("preload", preload)
        directories = _names("path", path)
        copies = _checked_copy(copy, start)
        _check_output(output, start)
        _check_flag("logging", logging)
        heirlooms = _inherited(inherit, start)
        table = _table(returns)
        path_here = _import_path()
        way = _checked_concurrency(concurrency)
        if start == "local":
            if way != "serial":
                text = (
                    f"a local host has no thread of its own and runs one call at a time, in the thread that waits; "
                    f"concurrency={way!r} needs a process (start='exec')"
                )
                raise ValueError(text)
            if env is not None or cwd is not None or directories:
                text = "env, cwd and path belong to a process of its own; a local host runs in this one"
                raise ValueError(text)
            _preload_here(modules, "the local host" if name is None else f"host '{name}' (local)")
            _core.start_local_host(self, name=name, copies=copies, returns=table)
            return
        configuration: dict[str, Any] = {
            "path": [*directories, *path_here],
            "own_path": [directory for directory in directories if directory not in path_here],
            "prefix": sys.prefix,
            "exec_prefix": sys.exec_prefix,
            "preload": modules,
            "output": output,
            "levels": _levels() if logging else None,
        }
        options: Any = {
            "name": name,
            "configuration": configuration,
            "timeout": timeout,
            "heartbeat": patience,
            "output": output,
            "logs": logging,
            "make_shower": _make_shower,
        }
        if start == "fork":
            from . import _fork

            configuration.update(environment=dict(env or {}), directory=directory)
            _fork.start(self, heirlooms, concurrency=way, **options)
        else:
            options.update(environment=environment, directory=directory)
            self._start(start, interpreter, directories, way, options)
        self._declare(table)

    def _start(
        self, start: str, interpreter: str | None, directories: list[str], way: str | int, options: dict[str, Any]
    ) -> None:
        """Start an interpreter, another one or this one, or have one forked that is kept ready."""
        if interpreter is not None:
            from . import _interpreters

            configuration = options["configuration"]
            settings = {key: configuration[key] for key in ("own_path", "preload", "output", "levels")}
            options["configuration"] = {**settings, "front": directories, "cloudpickle": _interpreters.cloudpickle()}
            _interpreters.start(self, interpreter, concurrency=way, **options)
            return
        main = f"from elsewhere._host_main import main; main({way!r})"
        if start == "exec":
            _core.start_host(self, program=sys.executable, arguments=_arguments(main), **options)
            return
        from . import _warm

        reason = _warm.start(self, make_arguments=_arguments, concurrency=way, **options)
        if reason is not None:
            _core.start_host(self, program=sys.executable, arguments=_arguments(main), **options)
            _warm.tell(options["configuration"]["preload"], reason)

    def _declare(self, table: dict[type, frozenset[str]] | None) -> None:
        """Say there which results go by reference."""
        if table is None:
            return
        try:
            self._call("run", _core._declare_returns, (table,), {}, by_reference=False)
        except BaseException:
            self.close()
            raise

    @overload
    def spawn(self, cls: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def spawn(self, cls: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def spawn(self, cls: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Construct an object in the host: `cls(*args, **kwargs)` runs there. Gives its proxy.

        `cls` may be any callable; an `async def` is awaited there. Raises what the constructor raises; ArgumentError
        where an argument cannot travel or `cls` is not importable.
        """
        return self._call("construct", _callable(cls), args, kwargs, by_reference=True)

    def send(self, obj: T, /) -> T:
        """Put a copy of an object into the host. Gives the copy's proxy.

        Raises ArgumentError, naming the culprit, where the object cannot be copied.
        """
        return self._call("receive", obj, (), {}, by_reference=True)  # type: ignore[no-any-return]

    @overload
    def run(self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def run(self, function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run a function in the host and give its result, by the rule for results.

        The function may be a lambda, a closure, one of `__main__` (it travels by value), a bound method (its object is
        copied), `async def` (it is run to its end) or a generator function (its items come one by one). Raises what it
        raises; ArgumentError where it or an argument cannot travel.

        `submit(host.run, function, …)` does not wait, `stream(host.run, function, …)` reads items ahead.
        """
        return self._call("run", _callable(function), args, kwargs, by_reference=False)

    def module(self, name: str, path: str | os.PathLike[str] | None = None) -> Any:
        """Import a module in the host and give its proxy: its functions, classes and values at any depth.

        Args:
            name: The module's full name, with dots.
            path: The directory or file that it is loaded from, instead of the host's import path; relative to this
                process's directory. A directory goes to the front of the host's import path, so that the modules in it
                find each other; a file brings nothing but itself.

        Calls give results as everywhere: `tools.Camera()` is a copy of the camera if that can be made, else a proxy.
        Objects of classes that are loaded by `path` are never copied, since nobody here could import them.
        `host.spawn(tools.Camera)` always gives a proxy.

        Raises ImportError, FileNotFoundError, SyntaxError, and whatever else importing the module raises.
        """
        return self._ask("module", (_module_name(name), _absolute(path)), f"Host.module({name!r})")

    def script(self, source: str, /, *, into: object = None) -> Any:
        """Run Python source in the host, in a namespace of its own, and give the proxy of that namespace.

        Args:
            source: The text of the script. Indentation that all its lines share is taken off.
            into: What `script()` or `module()` of this host gave: the source is run in that namespace, after what was
                run there before, and its proxy is given again.

        What the script defines are the attributes of the proxy, as with `module()`; objects of its classes are never
        copied. Tracebacks show the script's own lines. The namespace stays until the host ends.

        Raises SyntaxError with the line in the script, and whatever running the script raises: a new namespace is gone
        then, one that was given keeps what was done until then.
        """
        if into is not None and not _core.is_proxy(into):
            kind = type(into).__qualname__
            text = f"into= takes what script() or module() of this host gave, not an object of type {kind}"
            raise TypeError(text)
        return self._ask("script", (_dedented(_text("a script", source)), into), "Host.script")

    @property
    def address(self) -> Address:
        """Where the host listens, for other processes that this one passes proxies to. It begins to when first asked.

        A proxy of an object in a host that listens is used in a fork of this process, too: it connects anew there.
        Passing and pickling proxies makes a host listen by itself.

        Raises:
            TypeError: Nobody else can connect to it: a local host is in this process, and one without the package
                (`python=`) does not listen.
        """
        from . import _grants, _serve

        place = _core._ask_to_listen(self, _grants.TIMEOUT)
        if place is None:
            text = f"nobody else can connect to {self._label}: it is in this process, or has no package to listen with"
            raise TypeError(text)
        return _serve.Address(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await _awaiting.in_thread(self.close)

    def __repr__(self) -> str:
        try:
            label = self._label
        except RuntimeError:
            return "<Host, never started>"
        return f"<Host: {label}{'' if self.alive else ', ended'}>"


def _arguments(main: str) -> list[str]:
    """What the interpreter is started with that runs `main`: isolated, without `site` (12 to 30 ms), flags as here.

    Imports come from the owner's path, which `configure` sets; only the package itself has to be found before. An
    editable install with an import hook of its own needs `site` to be run.
    """
    package = __file__.rpartition("/")[0].rpartition("/")[0]
    flags = ["-I"] if _has_editable_finders() else ["-I", "-S"]
    if sys.flags.optimize:
        flags.append("-" + "O" * sys.flags.optimize)
    if sys.flags.dev_mode:
        flags += ["-X", "dev"]
    if sys.flags.utf8_mode:
        flags += ["-X", "utf8"]
    flags += [f"-W{option}" for option in sys.warnoptions]
    if sys.dont_write_bytecode:
        flags.append("-B")
    return [*flags, "-c", f"import sys; sys.path.append({package!r}); {main}"]


def _dedented(source: str) -> str:
    """The source without the indentation that its lines share. Lines of blanks stay, since they may be in a string."""
    lines = source.split("\n")
    written = [line for line in lines if line.strip()]
    first, last = min(written, default=""), max(written, default="")
    margin = 0
    while margin < len(first) and first[margin] in " \t" and last[margin : margin + 1] == first[margin]:
        margin += 1
    return "\n".join(line[margin:] if line.strip() else line.removeprefix(first[:margin]) for line in lines)


def _preload_here(modules: list[str], label: str) -> None:
    for module in modules:
        try:
            __import__(module)
        except Exception as error:
            from . import _errors

            reason = f"{type(error).__name__}: {error}"
            raise _errors._host_start_error(reason, label, "") from error


def _has_editable_finders() -> bool:
    finders = (finder if isinstance(finder, type) else type(finder) for finder in sys.meta_path)
    return any(finder.__module__.startswith("__editable__") for finder in finders)


def _import_path() -> list[str]:
    """This process's import path, with "" made the directory it means here."""
    import os

    return [entry or os.getcwd() for entry in sys.path]


def _checked_name(name: object) -> str | None:
    if name is None or isinstance(name, str):
        return name
    text = f"name must be a str, not {type(name).__qualname__}"
    raise TypeError(text)


def _check_flag(option: str, value: object) -> None:
    if not isinstance(value, bool):
        text = f"{option} must be True or False, not {value!r}"
        raise TypeError(text)


def _check_output(output: object, start: str) -> None:
    if output not in ("inherit", "home", "discard"):
        text = f"output must be 'inherit', 'home' or 'discard', not {output!r}"
        raise ValueError(text)
    if output == "discard" and start == "local":
        text = "output='discard' belongs to a process of its own; a local host prints as this one does"
        raise ValueError(text)


def _levels() -> dict[str, Any]:
    from . import _home

    return _home.levels()


def _make_shower(queue: _core.HomeQueue, label: str, name: str | None, pid: int, logs: bool) -> object:
    from . import _home

    return _home.Shower(queue, label, name, pid, logs=logs)


def _inherited(objects: Iterable[object], start: str) -> list[object]:
    if isinstance(objects, (str, bytes)) or not hasattr(objects, "__iter__"):
        text = f"inherit must be a sequence of objects, not {objects!r}"
        raise TypeError(text)
    listed = list(objects)
    if listed and start != "fork":
        text = "inherit belongs to start='fork'; other hosts get their objects by spawn() and send()"
        raise ValueError(text)
    for obj in listed:
        if _core.is_proxy(obj) or isinstance(obj, _core.HostCore):
            text = f"{obj!r} cannot be inherited: its connection stays with this process. Pass it as an argument"
            raise TypeError(text)
    return listed


def _checked_copy(copy: object, start: str) -> bool:
    _check_flag("copy", copy)
    if not copy and start != "local":
        text = "copy=False belongs to a local host; what goes to another process is copied"
        raise ValueError(text)
    return bool(copy)


def _checked_concurrency(concurrency: object) -> str | int:
    if isinstance(concurrency, str) and concurrency in ("serial", "async", "caller"):
        return concurrency
    if isinstance(concurrency, int) and not isinstance(concurrency, bool) and concurrency > 0:
        return int(concurrency)
    text = f"concurrency must be 'serial', 'async', 'caller' or a number of threads, not {concurrency!r}"
    raise (TypeError if isinstance(concurrency, bool) or not isinstance(concurrency, (str, int)) else ValueError)(text)


def _checked_timeout(option: str, seconds: object) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        text = f"{option} must be a number of seconds, not {type(seconds).__qualname__}"
        raise TypeError(text)
    if not seconds > 0:
        text = f"{option} must be more than 0 seconds, not {seconds!r}"
        raise ValueError(text)
    return float(seconds)


def _environment(env: Any) -> dict[str, str] | None:
    """The host's whole environment, or None for this process's own."""
    if env is None:
        return None
    import os

    if not hasattr(env, "items"):
        text = f"env must be a mapping of str to str, not {type(env).__qualname__}"
        raise TypeError(text)
    whole = dict(os.environ)
    for key, value in env.items():
        if not isinstance(key, str) or not isinstance(value, str):
            text = f"env maps str to str; {key!r}: {value!r} is none"
            raise TypeError(text)
        if "\0" in key or "\0" in value or "=" in key or not key:
            text = f"{key!r} cannot be an environment variable with the value {value!r}"
            raise ValueError(text)
        whole[key] = value
    return whole


def _interpreter(python: object, start: str) -> str | None:
    if python is None:
        return None
    import os

    path = os.fspath(python) if isinstance(python, (str, os.PathLike)) else python
    if not isinstance(path, str):
        text = f"python must be the path of an interpreter as a str, not {type(path).__qualname__}"
        raise TypeError(text)
    if not path or "\0" in path:
        text = f"python must be the path of an interpreter, not {path!r}"
        raise ValueError(text)
    if start not in ("auto", "exec"):
        text = f"start={start!r} begins with this interpreter; a host in another one is executed (start='exec')"
        raise ValueError(text)
    return path


def _table(returns: Any) -> dict[type, frozenset[str]] | None:
    if returns is None:
        return None
    from . import _declarations

    return _declarations.returned(returns, None)


def _directory(cwd: object) -> str | None:
    if cwd is None:
        return None
    import os

    directory = os.fspath(cwd) if isinstance(cwd, (str, os.PathLike)) else cwd
    if not isinstance(directory, str):
        text = f"cwd must be a path as a str, not {type(directory).__qualname__}"
        raise TypeError(text)
    if not os.path.isdir(directory):
        text = f"cwd {directory!r} is not a directory"
        raise NotADirectoryError(text)
    return directory


def _names(option: str, names: Any) -> list[str]:
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        text = f"{option} must be a sequence of str, not {names!r}"
        raise TypeError(text)
    listed = list(names)
    for name in listed:
        if not isinstance(name, str):
            text = f"{option} holds {name!r}, which is not a str"
            raise TypeError(text)
    return listed


def _text(what: str, value: object) -> str:
    if isinstance(value, str):
        return value
    text = f"{what} is a str, not {type(value).__qualname__}"
    raise TypeError(text)


def _module_name(name: object) -> str:
    checked = _text("the name of a module", name)
    if not checked or checked.startswith("."):
        text = f"a module needs its full name, not {name!r}"
        raise ValueError(text)
    return checked


def _absolute(path: object) -> str | None:
    if path is None:
        return None
    import os

    if not isinstance(path, (str, os.PathLike)):
        text = f"path must be the path of a directory or a file, not {type(path).__qualname__}"
        raise TypeError(text)
    return os.path.abspath(os.fsdecode(path))


def _callable(factory: T) -> T:
    if not callable(factory):
        text = f"expected a class or a function, not {factory!r}"
        raise TypeError(text)
    return factory
