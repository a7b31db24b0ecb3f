"""How checks/public_names.py reads a README."""

from __future__ import annotations

from checks import public_names

README = """
## Before
- `nothing`: not in the list

## The whole API
Some words about `words`.

- `spawn(cls, *args)`, `send(obj)`: put it there, see `Host`
- `Host(*, start="auto")`: one host
  - `.close()`: a method, not a name of the package
- `HostDied`: it ended

## After
- `nothing_else`: neither
"""


def test_names_at_the_head_of_list_items_are_read() -> None:
    assert public_names.listed_names(README) == {"spawn", "send", "Host", "HostDied"}


def test_equal_sets_are_in_order() -> None:
    assert public_names.violations_of(README, {"spawn", "send", "Host", "HostDied", "__version__"}) == []


def test_name_on_one_side_only_is_a_violation() -> None:
    assert public_names.violations_of(README, {"spawn", "send", "Host", "get"}) == [
        "README lists HostDied, which elsewhere does not export",
        "elsewhere exports get, which README does not list",
    ]
