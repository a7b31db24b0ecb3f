"""Objects that tests put into interpreters of any version: nothing here is newer than Python 3.6."""

import os
import sys
import threading


class Kept:
    """Keeps a value, and does things with it."""

    def __init__(self, value=None):
        self.value = value
        self.lock = threading.Lock()

    def get(self):
        return self.value

    def echo(self, value):
        return value

    def kind_of(self, value):
        return type(value).__name__

    def call(self, function, *args):
        return function(*args)

    def itself(self):
        return self

    def fail(self):
        raise LookupError("nothing there", 7)

    def count_to(self, number):
        yield from range(1, number + 1)

    async def fetch(self, value):
        return value

    def mixed(self):
        return [1, self.lock, "two"]

    def __len__(self):
        return 3

    def __add__(self, other):
        return self.value + other


def version():
    return "%d.%d" % sys.version_info[:2]


def echoing():
    """Gives what is thrown into it as a text."""
    try:
        yield "nothing"
    except ValueError as error:
        yield str(error)


def descriptors():
    """What this process has open, beside the listing itself."""
    return sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1]


def mapping_of(array):
    """What is mapped where an array lies."""
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if begin <= address < end:
                return line.rsplit(None, 1)[-1] if "(deleted)" not in line else line.split()[-2]
    return None


def package():
    """Where `elsewhere` is imported from here."""
    return getattr(sys.modules["elsewhere"], "__file__", None)
