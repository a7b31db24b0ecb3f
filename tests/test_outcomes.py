"""What is known of the calls of a host that died: it writes down how far each got where its owner can read it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

import elsewhere
from elsewhere import submit
from workers import Gate, Pipe

if TYPE_CHECKING:
    from pathlib import Path


class Fatal:
    """A result that ends its process when it is copied."""

    def __reduce__(self) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"


@pytest.mark.usefixtures("shares_memory")
@pytest.mark.parametrize("start", ["exec", "zygote"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_calls_that_no_thread_had_taken_have_not_started(concurrency: int, start, tmp_path: Path) -> None:
    pipes = [Pipe(tmp_path, str(number)) for number in range(concurrency)]
    with elsewhere.Host(concurrency=concurrency, start=start) as host:
        gate = host.spawn(Gate)
        running = [submit(gate.spin, pipe.path) for pipe in pipes]
        for pipe in pipes:
            pipe.wait()
        queued = [submit(gate.read) for _ in range(3)]

        os.kill(host.pid, signal.SIGKILL)

        assert [future.exception().outcome for future in running] == ["unknown"] * concurrency
        assert [future.exception().outcome for future in queued] == ["not_started"] * 3


@pytest.mark.usefixtures("shares_memory")
@pytest.mark.parametrize("concurrency", ["serial", "async", "caller", 2])
def test_method_whose_result_ends_the_host_has_finished(concurrency) -> None:
    with elsewhere.Host(concurrency=concurrency) as host, pytest.raises(elsewhere.HostDied) as caught:
        host.run(Fatal)

    assert (caught.value.signal, caught.value.outcome) == (signal.SIGKILL, "finished")
