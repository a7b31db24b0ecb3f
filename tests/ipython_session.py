"""A program that does in IPython what a user does there with a proxy, and prints as JSON how many calls each made.

Run in a process of its own: a shell changes its process for good.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import TYPE_CHECKING, NamedTuple

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import elsewhere
from kennel import Dog

if TYPE_CHECKING:
    from collections.abc import Callable


def shell(*, use_jedi: bool) -> InteractiveShell:
    config = Config()
    config.HistoryManager.enabled = False
    config.Completer.use_jedi = use_jedi
    InteractiveShell.clear_instance()
    return InteractiveShell.instance(config=config, colors="nocolor")


def completions(ip: InteractiveShell, text: str) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in ip.Completer.completions(text, len(text))]


def displayed(ip: InteractiveShell, proxy: object) -> dict[str, str]:
    formatter = ip.display_formatter
    formatter.active_types = formatter.format_types
    return formatter.format(proxy)[0]


class Question(NamedTuple):
    """What a user does, what it shows, and in how many calls."""

    action: Callable[[InteractiveShell, Dog], object]
    shown: str
    calls: int = 0


def cell(source: str) -> Callable[[InteractiveShell, Dog], object]:
    return lambda ip, dog: ip.run_cell(source)


QUESTIONS = {
    "a proxy shown": Question(cell("dog"), "]: <proxy of Dog in host"),
    "a path shown": Question(cell("dog.friends[0].name"), "<path Dog.friends[0].name in host"),
    "shown within others": Question(cell("[dog, {'age': dog.age}]"), "<path Dog.age in host"),
    "assigned": Question(cell("tom = dog"), ""),
    "shown in all formats": Question(lambda ip, dog: displayed(ip, dog), "'text/html': '<div class="),
    "a path shown in all formats": Question(lambda ip, dog: displayed(ip, dog.age), "<code>Dog.age</code>"),
    "names completed": Question(lambda ip, dog: completions(ip, "dog.ba"), "bark'", calls=1),
    "names of a class that says everything": Question(lambda ip, dog: completions(ip, "ages.app"), "append'"),
    "arguments completed": Question(lambda ip, dog: completions(ip, "dog.bark("), "["),
    "keys completed": Question(lambda ip, dog: completions(ip, "dog['"), "["),
    "global names completed": Question(lambda ip, dog: completions(ip, "do"), "'dog'"),
    # for `obj?` IPython calls `obj.getdoc()`, `str(obj)` and `len(obj)`
    "a proxy?": Question(cell("dog?"), "the dog rex", calls=3),
    "a path?": Question(cell("dog.bark?"), "dog.bark(*, loud: 'bool' = False)", calls=3),
    "names searched": Question(cell("%psearch do*"), "dog"),
}


def main() -> None:
    report = {}
    with elsewhere.Host() as host:
        dog = host.spawn(Dog, "rex", age=3)
        for engine in ("jedi", "plain"):
            ip = shell(use_jedi=engine == "jedi")
            ip.user_ns.update(dog=dog, ages=host.send([3]))
            for name, question in QUESTIONS.items():
                asked = host._calls_made()
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    result = question.action(ip, dog)
                report[f"{engine}: {name}"] = [host._calls_made() - asked, repr(result) + output.getvalue()]
    json.dump(report, sys.stdout)
