"""A module for daemons, of any Python; what it says at its import is seen where it was imported."""

import sys
from collections import OrderedDict

number = 1
text = "hello world"
pairs = OrderedDict(a=1)
version = list(sys.version_info[:2])


class Greeter:
    def __init__(self, name):
        self.name = name
        self.greeted = []

    def __eq__(self, other):
        return self.name == other.name

    __hash__ = None

    def greet(self, who):
        self.greeted.append(who)
        return "[{}] hello, {}!".format(self.name, who)  # noqa: UP032 - it is run by any Python


greeter = Greeter("one")


def greet(who):
    return "hello, " + who + "!"
