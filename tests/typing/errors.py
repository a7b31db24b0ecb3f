"""What the type checkers make of the errors and of what they carry."""

from typing import Literal, assert_type

from tests.typing.objects import Dog

import elsewhere
from elsewhere import (
    ArgumentError,
    AuthenticationError,
    CallCancelled,
    CallTimeout,
    ConnectionLost,
    DeadlockError,
    ElsewhereError,
    HostClosed,
    HostDied,
    HostStartError,
    MessageTooLarge,
    ObjectGone,
    Overloaded,
    ProtocolError,
    RemoteError,
    ResultError,
)


def every_error(error: ElsewhereError) -> None:
    assert_type(error.outcome, Literal["not_started", "unknown", "finished"] | None)
    assert_type(error.host, str | None)
    assert_type(error.method, str | None)
    assert_type(error.remote, bool)
    assert_type(ElsewhereError("text", outcome="unknown", host="host 1", method="Dog.bark"), ElsewhereError)


def errors_with_more(died: HostDied, start: HostStartError, remote: RemoteError) -> None:
    assert_type(died.pid, int | None)
    assert_type(died.exitcode, int | None)
    assert_type(died.signal, int | None)
    assert_type(died.stderr_tail, str)
    assert_type(start.stderr_tail, str)
    assert_type(remote.type_name, str)
    assert_type(remote.message, str)
    assert_type(remote.traceback, str)


def builtin_bases() -> None:
    connection: list[type[ConnectionError]] = [HostDied, ConnectionLost, HostClosed, ProtocolError]
    types: list[type[TypeError]] = [ArgumentError, ResultError]
    running: list[type[RuntimeError]] = [HostStartError, Overloaded, DeadlockError]
    others: list[type[Exception]] = [CallCancelled, RemoteError]
    timeout: type[TimeoutError] = CallTimeout
    gone: type[ReferenceError] = ObjectGone
    large: type[ValueError] = MessageTooLarge
    refused: type[PermissionError] = AuthenticationError
    raise ExceptionGroup(
        "all", [kind() for kind in (*connection, *types, *running, *others, timeout, gone, large, refused)]
    )


def catching(dog: Dog) -> str:
    try:
        return dog.bark()
    except elsewhere.HostDied as error:
        return assert_type(error, HostDied).stderr_tail
    except (elsewhere.CallTimeout, elsewhere.HostClosed) as error:
        return assert_type(error, CallTimeout | HostClosed).host or ""
    except elsewhere.ElsewhereError as error:
        return assert_type(error.outcome, Literal["not_started", "unknown", "finished"] | None) or "finished"
