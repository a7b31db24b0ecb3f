"""What the tests of several dialects share."""

from __future__ import annotations

import sys

import pytest

import interpreters


@pytest.fixture(scope="session")
def oldest():
    """The oldest interpreter here, which is another version than this one."""
    python = interpreters.installed().get(interpreters.some()[0])
    if python is None or interpreters.some()[0] == interpreters.HERE or python == sys.executable:
        pytest.skip("there is no other interpreter here")
    return python
