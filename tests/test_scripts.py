"""Scripts: source that is run in a host, and the namespace that it makes."""

from __future__ import annotations

import sys
import traceback

import pytest

import elsewhere

SCRIPT = """
    import math

    factor = 3

    def times(number):
        return number * factor

    def divide(number):
        return times(1) / number

    class Counter:
        def __init__(self):
            self.count = 0

        def up(self):
            self.count += 1
            return self.count

    class Boom(Exception):
        pass

    def fail():
        raise Boom("no")
"""


@pytest.fixture(autouse=True)
def _own_imports():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("<script"):
            del sys.modules[name]


@pytest.fixture
def script(host):
    return host.script(SCRIPT)


def text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_script_gives_a_namespace_with_what_it_defines(script):
    assert elsewhere.is_proxy(script)
    assert elsewhere.get(script.factor) == 3
    assert script.times(5) == 15
    assert elsewhere.get(script.math.pi) > 3


def test_indentation_that_all_lines_share_goes_and_what_strings_hold_stays(host):
    plain = "x = '''a\n   \n\t\nb\x0cc\u2028d'''\nif x:\n    y = 1\n"
    shared = "\n    x = '''a\n    b\n      \n \n    c'''\n\n    if x:\n        y = 2"

    assert elsewhere.get(host.script(plain).x) == "a\n   \n\t\nb\x0cc\u2028d"
    assert elsewhere.get(host.script(shared).x) == "a\nb\n  \n \nc"
    assert elsewhere.get(host.script("\ty = 3\n\tz = 4").z) == 4
    assert elsewhere.is_proxy(host.script(""))
    with pytest.raises(IndentationError):
        host.script("x = 1\n  y = 2")


def test_names_of_a_script_can_be_set_and_are_used_there(script):
    script.factor = 10
    script.other = "new"
    del script.math

    assert script.times(5) == 50
    assert elsewhere.get(script.other) == "new"
    assert elsewhere.get(script.math, default=None) is None


def test_object_of_a_scripts_class_arrives_as_a_proxy(script):
    counter = script.Counter()

    assert elsewhere.is_proxy(counter)
    assert [counter.up(), counter.up()] == [1, 2]


def test_more_source_goes_into_the_same_namespace(host, script):
    again = host.script("def four(): return times(factor) - 5", into=script)

    assert again == script
    assert script.four() == 4


def test_namespaces_of_scripts_are_their_own(host):
    one, two = host.script("value = 1"), host.script("value = 2")

    assert one != two
    assert elsewhere.get(one.value) == 1
    assert elsewhere.get(two.value) == 2


def test_source_goes_into_a_module_too(host):
    colours = host.module("colorsys")
    host.script("extra = 5", into=colours)

    assert colours.extra + 1 == 6
    host.script("del extra", into=colours)


def test_traceback_shows_the_lines_of_each_piece(host, script):
    host.script("def outer(number):\n    return divide(number)  # calls the first piece\n", into=script)

    with pytest.raises(ZeroDivisionError) as caught:
        script.outer(0)

    text = text_of(caught.value)
    assert "return times(1) / number" in text
    assert "return divide(number)  # calls the first piece" in text
    assert "line 10, in divide" in text


def test_traceback_there_shows_the_scripts_lines(host):
    script = host.script("""
        import traceback
        def attempt():
            try:
                raise LookupError("lost")
            except LookupError:
                return traceback.format_exc()
    """)

    assert 'raise LookupError("lost")' in script.attempt()


def test_syntax_error_is_raised_here_with_the_line(host):
    with pytest.raises(SyntaxError) as caught:
        host.script("fine = 1\n\nnot fine = 2\n")

    assert caught.value.lineno == 3
    assert caught.value.text == "not fine = 2\n"
    assert caught.value.filename.startswith("<script")


def test_error_of_a_script_is_raised_here_with_its_line(host):
    with pytest.raises(KeyError) as caught:
        host.script("table = {}\ntable['lost']\n")

    assert "table['lost']" in text_of(caught.value)


def test_exit_in_a_script_ends_nothing(host):
    with pytest.raises(elsewhere.RemoteError, match="7") as caught:
        host.script("raise SystemExit(7)")

    assert type(caught.value).__name__ == "RemoteSystemExit"
    assert host.run(abs, -1) == 1


def test_namespace_keeps_what_a_failed_piece_did_before(host, script):
    with pytest.raises(ZeroDivisionError):
        host.script("before = 1\n1 / 0\nafter = 1\n", into=script)

    assert elsewhere.get(script.before) == 1
    assert elsewhere.get(script.after, default="none") == "none"


def test_exception_of_a_scripts_class_stands_in_with_its_name(script):
    with pytest.raises(elsewhere.RemoteError) as caught:
        script.fail()

    assert type(caught.value).__name__ == "Boom"


def test_dataclass_with_text_annotations_can_be_defined(host):
    script = host.script("""
        from __future__ import annotations
        import dataclasses, pickle, typing

        @dataclasses.dataclass
        class Point:
            x: int
            dimensions: typing.ClassVar[int] = 2

        def copied():
            return pickle.loads(pickle.dumps(Point(5))).x
    """)

    assert script.Point(3).x + 1 == 4
    assert script.copied() == 5


def test_script_knows_nothing_of_the_future_imports_of_the_library(host):
    script = host.script("def typed(number: int): pass\nkind = typed.__annotations__['number']")

    assert elsewhere.get(script.kind) is int


def test_script_runs_in_the_host(process_host):
    script = process_host.script("import os\npid = os.getpid()")

    assert elsewhere.get(script.pid) == process_host.pid


@pytest.mark.parametrize("source", [b"x = 1", 5, None], ids=["bytes", "number", "nothing"])
def test_what_is_no_text_is_refused(host, source):
    with pytest.raises(TypeError, match="a script is a str"):
        host.script(source)


def test_source_goes_only_into_namespaces_of_this_host(host):
    with elsewhere.Host() as other, pytest.raises(TypeError, match="into="):
        host.script("x = 1", into=other.script(""))
    with pytest.raises(TypeError, match="into="):
        host.script("x = 1", into=host.spawn(list))
    with pytest.raises(TypeError, match="into="):
        host.script("x = 1", into={})


def test_namespace_keeps_its_host():
    script = elsewhere.Host().script("def here(): return 1")

    assert script.here() == 1
    assert elsewhere.host_of(script).alive


def test_null_in_a_script_is_told(host):
    with pytest.raises((SyntaxError, ValueError), match="null bytes"):
        host.script("x = 1\0")
