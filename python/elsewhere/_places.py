"""Where new sockets are made.

Owns: the choice of their directory. Must not know: what listens there.
"""

from __future__ import annotations

import os
import sys

from . import _core

VARIABLES = ("TMPDIR", "TEMP", "TMP")
"""What `tempfile` asks for a directory, in this order."""


def new_socket() -> str:
    """A path for a socket that is not there yet, in a directory that is this user's alone."""
    return _core._new_socket_path(_temporary())


def _temporary() -> str:
    """What `tempfile.gettempdir` gives, without its import where that is plain: it takes longer than all the rest."""
    if "tempfile" not in sys.modules:
        given = next((value for name in VARIABLES if (value := os.environ.get(name))), "/tmp")  # noqa: S108 - as tempfile
        place = os.path.abspath(given)
        if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
            return place
    import tempfile

    return tempfile.gettempdir()
