"""Processes that say nothing to each other: no thread of theirs wakes up."""

from __future__ import annotations

import pytest

from programs import run

IDLE = """
import sys, threading
from pathlib import Path
import elsewhere
from kennel import Dog

def wake_ups(pid):
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(text.partition("\\nvoluntary_ctxt_switches:")[2].split()[0]) for text in statuses)

class Visitor:
    def visit(self, address):
        self.dog = elsewhere.connect(address)
        return self.dog.bark()

options = {"authkey": b"a key of sixteen bytes"} if sys.argv[1:] else {}
with elsewhere.serve(Dog("rex"), *sys.argv[1:], **options) as server, elsewhere.Host() as host:
    visitor = host.spawn(Visitor)
    assert visitor.visit(server.address) == "woof"
    threading.Event().wait(0.1)  # who was just asked looks for more, for a moment
    before = wake_ups("self"), wake_ups(host.pid)
    threading.Event().wait(0.5)
    print(wake_ups("self") - before[0] < 10, wake_ups(host.pid) - before[1] < 10)
"""


@pytest.mark.parametrize("place", [(), ("127.0.0.1:0",)])
def test_server_and_client_that_say_nothing_sleep(place):
    assert run(IDLE, *place) == (0, "True True\n", "")
