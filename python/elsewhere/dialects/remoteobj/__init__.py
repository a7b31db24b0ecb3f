"""The names of remoteobj: `from elsewhere.dialects import remoteobj` for `import remoteobj`.

Owns: which names there are: those of 0.4.0; a proxy also has the methods of 0.0.1. Must not know: what they do.

What is different, because it was a fault: a listener that was killed is noticed, what cannot be pickled is no deadlock,
objects go to processes of every start method, iteration ends, and nothing waits in a loop.
"""

from elsewhere.dialects.remoteobj import core, excs, util, view
from elsewhere.dialects.remoteobj.core import Proxy, get
from elsewhere.dialects.remoteobj.excs import Except, LocalExcept, RemoteException
from elsewhere.dialects.remoteobj.util import (
    dummy_listener,
    find_thread,
    job,
    listener,
    listener_func,
    mprint,
    process,
    raise_thread,
    segfault,
    set_faulthandler,
    thread,
)
from elsewhere.dialects.remoteobj.view import View

__all__ = [
    "Except",
    "LocalExcept",
    "Proxy",
    "RemoteException",
    "View",
    "core",
    "dummy_listener",
    "excs",
    "find_thread",
    "get",
    "job",
    "listener",
    "listener_func",
    "mprint",
    "process",
    "raise_thread",
    "segfault",
    "set_faulthandler",
    "thread",
    "util",
    "view",
]
