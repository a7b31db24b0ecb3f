"""Hosts that a zygote forks: from which one, and what they are told.

Owns: what makes two hosts come from the same zygote, what is said where there is none. Must not know: how one is asked
(`_core.start_warm_host`), what runs in it (`_zygote`).

Whatever a program reads at its start and cannot be told later makes another zygote. Modules that are preloaded may read
everything; so with `preload` the environment, the import path and the directory count, too.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import sys

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ._host import Host

AT_START = ("GLIBC_TUNABLES", "LANG", "LANGUAGE", "LOCPATH", "TZ")
"""Variables that the C library reads when a program starts, and never again."""

AT_START_PREFIXES = ("LC_", "LD_", "MALLOC_", "PYTHON")
"""What the names of more such variables begin with, the loader's and the interpreter's too."""

OF_EACH_TEST = "PYTEST_CURRENT_TEST"
"""A variable that pytest sets anew for each test, and which no module reads when it is imported."""

IS_NO_TEXT = "the environment or a path has bytes that are no text, which a program inherits that is executed"
"""A reason to execute a host that nobody needs to hear of: that is how it gets them."""

BASES = 64
"""Environments that are remembered."""

SETTING_LEN_MAX = 16000
"""Bytes that a zygote is told with an order; its packets are a little longer."""

CANNOT_FAIL = ("path", "prefix", "exec_prefix")
"""What a host is configured with by the order. It is asked for whatever else there is, and tells an error then."""

NOT_WORTH_TELLING: tuple[Any, ...] = (None, [], {}, "inherit", "discard")
"""Values of a configuration by which a host does nothing. Most have no others, and are not asked for anything then."""

PLACE_LEN_MAX = 1024
"""Characters of a directory that a zygote is told with an order."""

REASONS = 64
"""Reasons that are remembered."""

_bases: dict[str, tuple[str, dict[str, str]]] = {}
"""By what else makes a zygote: a name, and the environment that it is started with, and started with again. A host
is only told what differs from it, which is nothing most of the time; the whole would take longer than the fork."""

_told: set[tuple[str, ...]] = set()
"""Reasons that the log has, each with its preload."""


def start(
    host: Host,
    *,
    make_arguments: Callable[[str], list[str]],
    environment: Mapping[str, str] | None,
    directory: str | None,
    name: str | None,
    concurrency: str | int,
    configuration: dict[str, Any],
    **options: Any,
) -> str | None:
    """Make `host` a fork of a zygote. If there is none to be had, give why: it is to be executed then."""
    variables = dict(os.environ if environment is None else environment)
    of_test = variables.pop(OF_EACH_TEST, None)
    told = dict(configuration)
    ready: dict[str, Any] = {}
    if configuration["preload"]:
        for key in ("path", "own_path", "prefix", "exec_prefix", "preload"):
            ready[key] = told.pop(key)
        ready["directory"] = directory or os.getcwd()
        counting = variables
    else:
        counting = {key: value for key, value in variables.items() if _is_read_at_start(key)}
    arguments = make_arguments(f"from elsewhere._zygote import main; main({ready!r})")
    name_of_base, base = _base(repr((sys.executable, arguments, sorted(counting.items()))), variables)
    if variables != base:
        told["without_environment"] = [key for key in base if key not in variables]
        told["environment"] = {key: value for key, value in variables.items() if base.get(key) != value}
    if of_test is not None:
        told["environment"] = {**told.get("environment", {}), OF_EACH_TEST: of_test}
    try:
        return _core.start_warm_host(
            host,
            program=sys.executable,
            arguments=arguments,
            environment=base,
            key=name_of_base,
            setting=_setting(concurrency, told),
            directory=directory,
            name=name,
            configuration={key: value for key, value in told.items() if value not in NOT_WORTH_TELLING},
            **options,
        )
    except UnicodeEncodeError:
        return IS_NO_TEXT


def _setting(concurrency: str | int, told: dict[str, Any]) -> bytes:
    """What a zygote is told with the order; of `told`, what goes that way is taken out."""
    setting: dict[str, Any] = {"concurrency": concurrency, "place": _place_of_cloudpickle()}
    at_once = {key: told[key] for key in CANNOT_FAIL if key in told}
    with contextlib.suppress(ValueError):  # entries of sys.path may be of any class, and then go by a call
        whole = marshal.dumps({**setting, "configuration": at_once})
        if len(whole) <= SETTING_LEN_MAX:
            for key in at_once:
                del told[key]
            return whole
    return marshal.dumps({**setting, "configuration": {}})


def _place_of_cloudpickle() -> str:
    """Where cloudpickle is, if it was needed: hosts will need it, too, and its import takes longer than their start."""
    file = getattr(sys.modules.get("cloudpickle"), "__file__", None) or ""
    place = os.path.dirname(os.path.dirname(file))
    return place if len(place) < PLACE_LEN_MAX else ""


def _base(key: str, variables: dict[str, str]) -> tuple[str, dict[str, str]]:
    known = _bases.get(key)
    if known is not None:
        return known
    if len(_bases) >= BASES:
        _bases.clear()
    return _bases.setdefault(key, (f"{key} {os.urandom(8).hex()}", variables))


def _is_read_at_start(name: str) -> bool:
    return name in AT_START or name.startswith(AT_START_PREFIXES)


def tell(preload: list[str], reason: str) -> None:
    """Log, once, why a host was executed. After its start: what hinders that, too, is told by the error it raises."""
    if reason == IS_NO_TEXT or (reason, *preload) in _told:
        return
    if len(_told) >= REASONS:
        _told.clear()
    _told.add((reason, *preload))
    import logging

    which = f"hosts with preload={preload!r}" if preload else "hosts"
    logging.getLogger("elsewhere").warning("%s are started by exec, not forked from a zygote: %s", which, reason)
