"""What runs in a host: object number 0, the set-up that its owner asks for, and the main loop.

Owns: the state that a fresh interpreter needs before it holds anything. Must not know: who the owner is, the wire.
Start-up is imports, so this module imports nothing but what every host needs.
"""

from __future__ import annotations

import sys

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Bootstrap:
    """Object number 0 of a host: it makes and takes in the other objects."""

    def configure(self, settings: dict[str, Any]) -> None:
        """Take over what the owner says of import path, prefix, arguments and name; unknown keys are ignored."""
        if settings.get("output") == "home":
            _print_home()
        levels = settings.get("levels")
        if levels is not None:
            self.set_levels(levels)
        if any(settings.get(name) for name in ("environment", "without_environment", "directory")):
            _move(settings)
        path = settings.get("path")
        if path is not None:
            sys.path[:] = path
        sys.path[:0] = settings.get("front", ())
        for directory in settings.get("own_path", ()):
            from . import _namespaces

            _namespaces.own(directory)
        for name in ("prefix", "exec_prefix"):
            if settings.get(name):
                setattr(sys, name, settings[name])
        if settings.get("arguments"):
            sys.argv[:] = settings["arguments"]
        for module in settings.get("preload", ()):
            __import__(module)

    def set_levels(self, wanted: dict[str, Any]) -> None:
        """Send home the log records that the owner wants, once logging is imported here."""
        _LOGS.wanted = wanted
        if "logging" not in sys.modules:
            if _LOGS not in sys.meta_path:
                sys.meta_path.insert(0, _LOGS)
            return
        from . import _logs

        _logs.set_levels(**wanted)

    def construct(self, factory: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Make an object: `factory(*args, **kwargs)`."""
        return factory(*args, **kwargs)

    def construct_named(self, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Make an object from a factory that is named "module:qualified.name", for callers without Python."""
        return _find(path)(*args, **kwargs)

    def receive(self, value: Any, /) -> Any:
        """Take in an object that was sent."""
        return value

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a function here."""
        return function(*args, **kwargs)

    def grant(self, secret: bytes, obj: Any) -> tuple[str, bytes | None]:
        """Listen for others than the owner, and keep an object, unless it is None, for who shows the word given here.

        By `secret` a fork of the owner shows that it is one.
        """
        from ._guests import GUESTS

        place = GUESTS.listen()
        GUESTS.admit(secret)
        return place, None if obj is None else GUESTS.grant(obj)

    def redeem(self, token: bytes) -> Any:
        """Give what was granted under a word, once."""
        from ._guests import GUESTS

        return GUESTS.redeem(token)

    def dismiss(self) -> None:
        """End the connections of guests: the owner wants this host to end."""
        from ._guests import GUESTS

        GUESTS.dismiss()

    def end_lane(self) -> None:
        """The last call of a lane: the thread or task of the owner that made its calls has ended."""
        _core.end_lane()

    def module(self, name: str, path: str | None) -> Any:
        """Give a module, imported if it is not yet; with `path` from there."""
        from . import _namespaces

        return _namespaces.module(name, path)

    def script(self, source: str, into: Any) -> Any:
        """Run a source text in a namespace of its own, or in the module `into`; give that."""
        from . import _namespaces

        return _namespaces.script(source, into)


def _find(path: str) -> Any:
    """The object that is named "module:qualified.name"; its module is imported if it is not yet."""
    module_name, _, qualname = path.partition(":")
    try:
        __import__(module_name)
        found: Any = sys.modules[module_name]
        for name in qualname.split("."):
            found = getattr(found, name)
    except Exception as error:
        from ._errors import ArgumentError

        text = (
            f"{path.replace(':', '.')} cannot be imported in the host ({type(error).__name__}: {error}), so nothing "
            f"was made. What is put elsewhere must be importable there too; Host(path=[...]) adds directories"
        )
        raise ArgumentError(text, outcome="not_started") from error
    return found


class _Logs:
    """Waits for the import of logging, which costs as much as the start of a host, as a finder on `sys.meta_path`."""

    wanted: dict[str, Any]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Give the spec that the other finders find, with a loader that brings the records home when it is done."""
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        finders = (finder.find_spec(name, path, target) for finder in sys.meta_path)
        spec = next((found for found in finders if found is not None), None)
        if spec is not None and spec.loader is not None:
            self._hook(spec.loader)
        return spec

    def _hook(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            del loader.exec_module
            execute(module)
            BOOTSTRAP.set_levels(self.wanted)

        loader.exec_module = exec_module


_LOGS = _Logs()

BOOTSTRAP = Bootstrap()


def _move(settings: dict[str, Any]) -> None:
    """Take over environment and directory, which a program gets when it is started and a fork does not."""
    import os

    for key in settings.get("without_environment") or ():
        os.environ.pop(key, None)
    os.environ.update(settings.get("environment") or {})
    if settings.get("directory"):
        os.chdir(settings["directory"])


def _print_home() -> None:
    """Let stdout say at once, and in an encoding that the owner knows, what is printed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    _core._flush_after_calls()


def _handle_signals() -> None:
    """A Ctrl-C at the terminal reaches the whole process group; the owner alone decides what it means.

    A handler, and not SIG_IGN, which programs that the host starts would inherit. SIGURG comes from this process
    itself, when a caller wants its running call broken off; programs that the host starts ignore it by default.
    """
    import _signal  # type: ignore[import-not-found] # `signal` would cost 4 ms of imports

    _signal.signal(_signal.SIGINT, lambda *_: None)
    _signal.signal(_signal.SIGURG, _core._attend)


def _close_inherited() -> None:
    """What the owner made inheritable is meant for other programs; here it would keep their pipes open."""
    import posix  # built in; `os` would be an import

    posix.closerange(3, 1 << 30)


def main(concurrency: str | int = "serial") -> None:
    """Be a host until the owner is done with this process."""
    _close_inherited()
    _handle_signals()
    if sys.stdout is not None:
        # The owner's stdout may be a pipe: what is printed here is to come out when it is printed, and not be lost.
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _core.adopt_owner(concurrency)
    serve()


def serve() -> None:
    """Serve the owner until it is done with this process."""
    if _core.serve_owner():
        from . import _host_loop  # 50 ms of imports, which a host without coroutines does not need

        _host_loop.serve()


if __name__ == "__main__":
    main()
