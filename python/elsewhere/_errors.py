"""The exceptions of elsewhere: what can go wrong between here and there, and what is known of it.

Owns: the classes, their texts and their pickling. Must not know: connections, proxies, the wire.

    ElsewhereError
     ├─ HostStartError      the host never got ready                        (RuntimeError)
     ├─ HostDied            the host's process ended                        (ConnectionError)
     ├─ ConnectionLost      the host cannot be reached; it may still run    (ConnectionError)
     ├─ HostClosed          you closed it                                   (ConnectionError)
     ├─ CallTimeout         a deadline passed                               (TimeoutError)
     ├─ CallCancelled       the call was cancelled
     ├─ RemoteError         raised there, by a class that is not here
     ├─ ArgumentError       an argument could not travel                    (TypeError)
     ├─ ResultError         a result could not travel                       (TypeError)
     ├─ ObjectGone          the object is no longer held there              (ReferenceError)
     ├─ Overloaded          too much in flight                              (RuntimeError)
     ├─ MessageTooLarge     more than one message may hold                  (ValueError)
     ├─ ProtocolError       a peer broke the protocol                       (ConnectionError)
     ├─ AuthenticationError a peer could not prove itself                   (PermissionError)
     └─ DeadlockError       the call would have closed a cycle of waits     (RuntimeError)

Every error of a call has `outcome`: "not_started" (it did not run and never will; safe to call again), "unknown" (it
may have run not at all, in part, or to the end) or "finished" (it ran to its end, but its result could not come here).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Outcome = Literal["not_started", "unknown", "finished"]

__all__ = [
    "ArgumentError",
    "AuthenticationError",
    "CallCancelled",
    "CallTimeout",
    "ConnectionLost",
    "DeadlockError",
    "ElsewhereError",
    "HostClosed",
    "HostDied",
    "HostStartError",
    "MessageTooLarge",
    "ObjectGone",
    "Overloaded",
    "ProtocolError",
    "RemoteError",
    "ResultError",
]


class ElsewhereError(Exception):
    """Base of all errors that elsewhere raises on its own account."""

    outcome: Outcome | None
    """What is known of the call; None where there was none."""
    host: str | None
    """The label of the host that it went to, such as "host 4711"; None where there was none."""
    method: str | None
    """The path that was called, such as "Dog.bark"; None where there was none."""
    remote: bool
    """Whether the error was met by the method itself, over there, and not by this call."""

    def __init__(
        self,
        message: str = "",
        *,
        outcome: Outcome | None = None,
        host: str | None = None,
        method: str | None = None,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.host = host
        self.method = method
        self.remote = False

    def __reduce__(self) -> tuple[Any, ...]:
        cls = CallCancelled if isinstance(self, CallCancelled) else type(self)
        return _rebuild, (cls, self.args, dict(self.__dict__))


def _rebuild(cls: type[ElsewhereError], args: tuple[Any, ...], state: dict[str, Any]) -> ElsewhereError:
    if cls is CallCancelled:
        cls = _cancelled()
    error = cls.__new__(cls, *args)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class HostStartError(ElsewhereError, RuntimeError):
    """The host never got ready: its interpreter is missing, or it died, failed or hung while it started.

    `stderr_tail` holds the last 4 KiB that it wrote to stderr. Nothing was started that still runs.
    """

    stderr_tail: str = ""


class HostDied(ElsewhereError, ConnectionError):
    """The process behind a proxy ended. `outcome` tells what is known of the call that was in flight.

    `pid`, `exitcode` (None after a signal), `signal` (None after an exit) and `stderr_tail`, the last 4 KiB that the
    process wrote to stderr, tell how. Each later use of a proxy of that host raises HostDied again; start a new host.
    """

    pid: int | None = None
    exitcode: int | None = None
    signal: int | None = None
    stderr_tail: str = ""


class ConnectionLost(ElsewhereError, ConnectionError):
    """The host cannot be reached any more; it may still be running."""


class HostClosed(ElsewhereError, ConnectionError):
    """The host, or this proxy, was closed here. Calls accepted before are finished, new ones are refused."""


class CallTimeout(ElsewhereError, TimeoutError):
    """The deadline of `deadline()` or `options(timeout=)` passed. The call was ended here; there it may still run."""


class CallCancelled(ElsewhereError):
    """The call was cancelled. It is a `concurrent.futures.CancelledError` too, once that module is imported.

    It is also what is raised inside a method whose caller gives it up with `interrupt=True`.
    """

    def __init__(
        self,
        message: str = "the caller gave this call up and wants it broken off",
        *,
        outcome: Outcome | None = None,
        host: str | None = None,
        method: str | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome, host=host, method=method)


class RemoteError(ElsewhereError):
    """An exception raised there whose class cannot be rebuilt here, or is no Exception.

    The class that is raised is made for it: it has the name of the original and inherits RemoteError and the nearest
    builtin exception that the original inherits. `type_name` is "module.QualifiedName", `message` its text,
    `traceback` the remote traceback with source lines.
    """

    type_name: str = ""
    message: str = ""
    traceback: str = ""


class ArgumentError(ElsewhereError, TypeError):
    """An argument could not travel. The call did not start. The text names the culprit and offers `ref(x)`."""


class ResultError(ElsewhereError, TypeError):
    """The method ran to its end, but its result could not travel. The text names the culprit."""


class ObjectGone(ElsewhereError, ReferenceError):
    """The host no longer holds the object, because this side had released it."""


class Overloaded(ElsewhereError, RuntimeError):
    """Too much is in flight: more calls or bytes than the window, or more live proxies than allowed. Try later."""


class MessageTooLarge(ElsewhereError, ValueError):
    """The arguments are larger than one message may be (1 GiB). Nothing was sent.

    A result that is larger is a ResultError.
    """


class ProtocolError(ElsewhereError, ConnectionError):
    """The peer broke the protocol, or speaks another version. The connection is closed."""


class AuthenticationError(ElsewhereError, PermissionError):
    """The peer could not prove that it may talk to us, or we to it."""


class DeadlockError(ElsewhereError, RuntimeError):
    """The call would have closed a cycle of waits. It did not start; the other calls of the cycle complete."""


def _set_context(error: BaseException, handled: BaseException | None, is_fresh: bool) -> None:
    """Have an exception that is raised while another one is handled say so, as the `raise` of Python does.

    A fresh one may have a context of its own, from where it was raised, at whose end the other one then stands.
    """
    chain = _contexts(error) if is_fresh else [error]
    others = [] if handled is None else _contexts(handled)
    if chain[-1].__context__ is None and not any(one is other for one in chain for other in others):
        chain[-1].__context__ = handled


def _contexts(error: BaseException) -> list[BaseException]:
    """`error`, its context, the context of that, at most a hundred."""
    chain = [error]
    while len(chain) < 100 and (context := chain[-1].__context__) is not None:
        chain.append(context)
    return chain


_cancelled_class: type[CallCancelled] | None = None


def _cancelled() -> type[CallCancelled]:
    """The class to raise for a cancelled call: a concurrent.futures.CancelledError as well where that is loaded."""
    global _cancelled_class
    import sys

    futures = sys.modules.get("concurrent.futures")
    if futures is None:
        return CallCancelled
    if _cancelled_class is None:
        base = futures.CancelledError
        namespace = {"__module__": "elsewhere", "__doc__": CallCancelled.__doc__, "__qualname__": "CallCancelled"}
        _cancelled_class = type("CallCancelled", (CallCancelled, base), namespace)
    return _cancelled_class


def _pass() -> None:
    """Do nothing: give the interpreter an occasion to raise what it was told to raise in this thread."""


def _call_cancelled(outcome: Outcome, host: str, method: str) -> CallCancelled:
    known = {
        "not_started": "it had not started",
        "unknown": "it may have run",
        "finished": "it ran to its end all the same",
    }[outcome]
    return _cancelled()(f"{method} on {host} was cancelled; {known}", outcome=outcome, host=host, method=method)


def _describe_exit(exitcode: int | None, signal: int | None, is_killed_here: bool) -> str:
    if signal is not None:
        import signal as _signal  # 4 ms of imports that only a death needs

        try:
            name = _signal.Signals(signal).name
        except ValueError:
            name = "unknown"
        hint = ""
        if signal == _signal.SIGKILL:
            hint = ", by kill() here" if is_killed_here else ", maybe out of memory"
        return f"was killed by signal {signal} ({name}{hint})"
    if exitcode is not None:
        return f"exited with code {exitcode}"
    return "ended"


_CALL_KNOWN = {
    "not_started": "had not started; it is safe to call again",
    "unknown": "may have run not at all, in part, or to the end",
    "finished": "had finished, but its result was lost",
}


def _tail_text(stderr_tail: str) -> str:
    tail = stderr_tail.strip()
    return f"\nlast words on stderr:\n{tail}" if tail else ""


def _host_died(
    pid: int,
    exitcode: int | None,
    signal: int | None,
    stderr_tail: str,
    outcome: Outcome | None,
    host: str,
    method: str | None,
    known_of_end: tuple[bool, bool],
) -> HostDied:
    is_killed_here, is_untold = known_of_end
    how = "ended, but how is not known: the zygote that it was forked from ended first or does not answer"
    text = f"{host} {how if is_untold else _describe_exit(exitcode, signal, is_killed_here)}"
    if method is not None and outcome is not None:
        is_item = outcome == "not_started" and method.endswith(" (next item)")
        text += f"; {method} {'had not begun; the items before it had' if is_item else _CALL_KNOWN[outcome]}"
    text += f". Start a new host to go on.{_tail_text(stderr_tail)}"
    error = HostDied(text, outcome=outcome, host=host, method=method)
    error.pid, error.exitcode, error.signal, error.stderr_tail = pid, exitcode, signal, stderr_tail
    return error


def _host_start_error(reason: str, host: str, stderr_tail: str) -> HostStartError:
    error = HostStartError(f"{host} did not start: {reason}{_tail_text(stderr_tail)}", host=host)
    error.stderr_tail = stderr_tail
    return error


for _name in __all__:
    globals()[_name].__module__ = "elsewhere"
