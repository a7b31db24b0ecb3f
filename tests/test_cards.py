"""The card that a notebook shows of a proxy: short, escaped, and made of what is known here."""

from __future__ import annotations

import html.parser

import pytest

import elsewhere
from kennel import Dog


class Shown(html.parser.HTMLParser):
    """The tags of a card, and the text that a browser shows."""

    def __init__(self, card: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(card)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def shown(proxy) -> str:
    card = Shown(proxy._repr_html_())
    assert card.tags == ["div", "code"]
    return card.text


@pytest.fixture
def dog(host):
    return host.spawn(Dog, "rex")


def test_card_of_a_proxy_names_class_and_host(process_host):
    dog = process_host.spawn(Dog, "rex")

    assert shown(dog) == f"proxy of Dog in host {process_host.pid}"


def test_card_of_a_path_names_the_path(host, dog):
    assert shown(dog.friends[0].name).startswith("path Dog.friends[0].name in host")


def test_card_asks_nobody(host, dog):
    asked = host._calls_made()

    texts = [shown(dog), shown(dog.friends)]

    assert host._calls_made() == asked
    assert [text.split(" in host")[0] for text in texts] == ["proxy of Dog", "path Dog.friends"]


def test_card_of_a_lost_proxy_says_so(host, dog):
    host.close()

    assert shown(dog).endswith(", which is gone")
    assert shown(dog.age).endswith(", which is gone")


@pytest.mark.parametrize(
    ("view", "note"),
    [
        (elsewhere.futures, "futures view"),
        (elsewhere.lazy, "lazy view"),
        (lambda dog: elsewhere.options(dog, timeout=2.5), "timeout 2.5 s"),
        (lambda dog: elsewhere.options(dog, result="proxy"), "results as proxies"),
        (lambda dog: elsewhere.options(dog, result="value"), "results as values"),
    ],
)
def test_card_of_a_view_says_what_it_adds(dog, view, note):
    assert shown(view(dog)) == f"{shown(dog)} · {note}"
    assert shown(view(dog).age) == f"{shown(dog.age)} · {note}"


def test_card_of_views_of_views_says_all_of_it(dog):
    both = elsewhere.options(elsewhere.lazy(dog), timeout=1)

    assert shown(both).endswith(" · lazy view · timeout 1 s")


@pytest.mark.parametrize("text", ["<script>alert('x')</script>", '"><b>&amp;', "</code></div>", "\0 \ud800"])
def test_card_shows_keys_and_names_as_text(text):
    with elsewhere.Host(start="local", name="<i>&host") as host:
        ages = host.send({})

        assert shown(ages[text]) == f"path dict[{text!r}] in host '<i>&host' (local)"


def test_card_of_a_class_within_a_function_is_escaped():
    class Inner:
        pass

    with elsewhere.Host(start="local") as host:
        assert ".<locals>.Inner in host" in shown(host.spawn(Inner))


class Fussy:
    """Its repr fails."""

    def __repr__(self):
        raise RuntimeError("no")


def test_card_of_a_key_without_a_repr_is_shown_all_the_same(host):
    assert shown(host.send({})[Fussy()]).startswith("path dict[…] in host")


def test_card_of_a_long_path_is_cut(host, dog):
    place = dog
    for _ in range(100):
        place = place.neighbour

    text = shown(place)

    assert text.startswith("path Dog.neighbour.neighbour")
    assert "… in host" in text
    assert len(text) < 200


def test_proxies_and_paths_have_no_other_formats(dog):
    for name in ("_repr_png_", "_repr_svg_", "_repr_mimebundle_", "_ipython_display_", "_repr_pretty_"):
        assert not hasattr(dog, name)
        assert not hasattr(dog.age, name)
