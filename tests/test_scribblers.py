"""A peer that scribbles into the memory that it shares with us: errors of its own connection, and nothing else."""

from __future__ import annotations

import os

import pytest

from scribblers import PARTS, Scribbler, torment_me

ROUNDS = int(os.environ.get("ELSEWHERE_KILLS", "80")) // 10
"""How many connections are scribbled into, for each part of their memory and in each direction."""

pytestmark = [pytest.mark.usefixtures("shares_memory"), pytest.mark.slow, pytest.mark.timeout(100 + ROUNDS)]


@pytest.mark.parametrize("part", PARTS)
def test_host_that_scribbles_breaks_its_own_connection_at_most(process_host, part):
    ends = process_host.run(torment_me, part, range(ROUNDS))

    assert "answer" in ends
    assert process_host.alive


@pytest.mark.parametrize("part", PARTS)
def test_owner_that_scribbles_ends_its_host_in_order_at_most(process_host, part):
    ends = process_host.spawn(Scribbler).torment(part, range(ROUNDS))

    assert "answer" in ends
