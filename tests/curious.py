"""An object that notes which of the special methods that a proxy never forwards it was asked for."""

from __future__ import annotations


class Curious:
    """Knows them all, and notes each that is called."""

    asked: list[str] = []

    def questions(self) -> list[str]:
        return list(self.asked)

    def forget(self) -> None:
        self.asked.clear()


NAMES = """
    __class_getitem__ __mro_entries__ __set_name__ __get__ __set__ __delete__ __instancecheck__ __subclasscheck__
    __getstate__ __setstate__ __reduce__ __reduce_ex__ __copy__ __deepcopy__ __sizeof__ __array__ __buffer__ __fspath__
    __missing__ __prepare__ __await__
""".split()
ANSWERS = {"__fspath__": "/tmp", "__sizeof__": 1 << 20}


def _noting(name: str):
    def method(self, *arguments, **options):
        Curious.asked.append(name)
        return ANSWERS.get(name, self)

    return method


for _name in NAMES:
    setattr(Curious, _name, _noting(_name))
