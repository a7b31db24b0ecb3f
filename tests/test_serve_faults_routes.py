"""Proxies that come to another machine, from where no way leads to their host.

That machine is a process with a network, processes and files of its own. The test's program has a network of its own,
too, which a cable joins to the other's.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from programs import HERE, apart

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="no cable can be laid here")

FAR = """
import subprocess, sys

import elsewhere
from outposts import Outpost
from visitors import KEY

print("in a network of its own", flush=True)
sys.stdin.readline()
for command in ("ip address add 10.7.0.2/24 dev far", "ip link set far up", "ip link set lo up"):
    subprocess.run(command.split(), check=True)
with elsewhere.Host() as host, elsewhere.serve(Outpost(host), "10.7.0.2:0", authkey=KEY, concurrency=4) as server:
    print(server.address, flush=True)
    sys.stdin.read()
"""

NEAR = f"""
import pickle, subprocess, sys
from outposts import *
from visitors import KEY

os.environ["XDG_RUNTIME_DIR"] = os.environ["TMPDIR"] = sys.argv[1]
FILES = "mount -t tmpfs none $XDG_RUNTIME_DIR && mount -t tmpfs none /dev/shm && exec \\"$@\\""
machine = subprocess.Popen(
    ["unshare", "--net", "--pid", "--fork", "--mount-proc", "sh", "-c", FILES, "sh", sys.executable, "-c", {FAR!r}],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={{**os.environ, "PYTHONPATH": {str(HERE)!r}}},
)
machine.stdout.readline()
for command in (
    f"ip link add near type veth peer name far netns {{machine.pid}}",
    "ip address add 10.7.0.1/24 dev near",
    "ip link set near up",
):
    subprocess.run(command.split(), check=True)
print("go", file=machine.stdin, flush=True)
there = machine.stdout.readline().strip()
far = elsewhere.connect(there, Outpost, authkey=KEY)
first, second = elsewhere.Host(), elsewhere.Host()
dog = first.spawn(Asker, "rex")
middle = second.spawn(Outpost)
middle.keep(dog)
"""


def between_machines(directory: Path, program: str) -> list[str]:
    """What the program says here. `far` is there, and `middle`, in the second host here, has the dog of the first."""
    directory.chmod(0o700)
    return apart(NEAR + program, str(directory))


def test_proxy_that_went_through_hosts_works_on_another_machine_by_way_of_this_process(tmp_path):
    said = between_machines(
        tmp_path,
        """
far.keep(middle.give())
print(far.grow(), far.grow_in_host(), dog.grow(), far.ask(21), far.give() == dog)
""",
    )

    assert said == ["1 2 3 42 True"]


def test_proxy_that_a_host_passes_to_another_machine_works_by_way_of_that_host(tmp_path):
    said = between_machines(
        tmp_path,
        """
middle.visit(there, KEY, dog)
print(far.grow(), far.grow_in_host(), dog.grow(), far.ask(21))
""",
    )

    assert said == ["1 2 3 42"]


def test_object_of_another_machine_works_in_hosts_by_way_of_this_process(tmp_path):
    said = between_machines(
        tmp_path,
        """
middle.keep(elsewhere.ref(far.dog))
print(middle.grow(), first.run(grow, middle.give()), middle.ask(21), far.dog.grow())
""",
    )

    assert said == ["1 2 42 3"]


def test_death_of_the_host_is_told_on_another_machine(tmp_path):
    said = between_machines(
        tmp_path,
        """
far.keep(middle.give())
far.grow()
first.kill()
print(far.fail())
""",
    )

    assert said == ["HostDied not_started"]


def test_pickles_and_visits_to_where_no_way_leads_are_errors_at_once(tmp_path):
    said = between_machines(
        tmp_path,
        """
print(far.load(pickle.dumps(dog)))
print(first.spawn(Outpost).load(pickle.dumps(far)))
subprocess.run("ip link set near down".split(), check=True)
print(text_of(error_of(lambda: second.run(elsewhere.connect, there, authkey=KEY))))
""",
    )

    assert said == ["ConnectionLost not_started", "AuthenticationError not_started", "ConnectionLost not_started"]
