"""Texts that a browser shows when the pointer rests on a part of an SVG figure."""

from collections.abc import Mapping
from html import escape

from lunar.errors import LunarError


def titled(svg: str, titles: Mapping[str, str]) -> str:
    """An SVG with a ``<title>`` in each named group; nothing of what is drawn changes.

    Args:
        svg: as matplotlib writes it, with a group ``<g id="...">`` for each artist that has a gid.
        titles: text by gid.

    Raises:
        LunarError: the figure has no group of that name, or more than one.
    """
    for name, text in titles.items():
        group = f'<g id="{name}">'
        if svg.count(group) != 1:
            raise LunarError(f"the figure has {svg.count(group)} groups called {name!r}, one is needed")
        svg = svg.replace(group, f"{group}<title>{escape(text)}</title>")
    return svg


def inline(svg: str) -> str:
    """What of an SVG file can stand in a page: the element itself."""
    return svg[svg.index("<svg") :]
