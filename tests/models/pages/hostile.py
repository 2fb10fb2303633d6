"""Text as an attacker would write it into a log, and what a page may be made of."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

FRAGMENTS = (
    "<script>parent.hostile=1</script>",
    '"><script>parent.hostile=1</script>',
    "'><img src=x onerror='parent.hostile=1'>",
    '" onload="parent.hostile=1" x="',
    "' onmouseover='parent.hostile=1' style='position:fixed;inset:0' x='",
    "</title></style></svg></text></figcaption><script>parent.hostile=1</script>",
    "--><script>parent.hostile=1</script><!--",
    "]]><script>parent.hostile=1</script>",
    "<svg onload=parent.hostile=1><animate onbegin=parent.hostile=1>",
    "<iframe srcdoc='<script>parent.parent.hostile=1</script>'></iframe>",
    "<object data=javascript:parent.hostile=1></object><embed src=javascript:1>",
    "<a href='javascript:parent.hostile=1' autofocus onfocus=parent.hostile=1>x</a>",
    "<base href=//evil.example/><link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=//evil.example'><form action=//evil.example>",
    "&lt;script&gt;&#60;script&#62;",
    "\\1\\g<1>\\g<name>\\",
    "$\\frac{1$ $$ %s {0} {purchase_days}",
    "[x](javascript:parent.hostile=1) | `y`\n\n# z",
    "\x00\x1b]0;title\x07\x1b[2J\r\n\u202e\ud800\x85",
    "-" * 80 + " ",
    "",
)
TAGS = {
    "a", "b", "body", "caption", "circle", "clippath", "code", "dd", "defs", "details", "div",
    "dl", "dt", "figcaption", "figure", "footer", "g", "h1", "h2", "h3", "head", "header", "html",
    "image", "li", "line", "lineargradient", "main", "meta", "nav", "p", "path", "pattern",
    "polygon", "polyline", "rect", "section", "small", "span", "stop", "strong", "style",
    "summary", "svg", "table", "tbody", "td", "text", "th", "thead", "title", "tr", "tspan", "ul",
    "use",
}  # fmt: skip
ATTRIBUTES = {
    "aria-label", "charset", "class", "clip-path", "content", "cx", "cy", "d", "fill",
    "fill-opacity", "font-family", "font-size", "font-weight", "gradientunits", "height",
    "hidden", "href", "http-equiv", "id", "lang", "name", "offset", "open", "preserveaspectratio",
    "r", "role", "rx", "ry", "scope", "stroke", "stroke-width", "style", "tabindex",
    "text-anchor", "transform", "type", "version", "viewbox", "width", "x", "x1", "x2", "y", "y1",
    "y2",
}  # fmt: skip
STYLE = re.compile(r"[a-zA-Z0-9 ,.:;%#'()-]*")  # no url but to a place in the page
URL = re.compile(r"url\((?!#)", re.I)


class Elements(HTMLParser):
    """Every element with its attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


def active_content(html: str) -> list[str]:
    """Whatever of a page could run, load or send something; none in a page of ours."""
    faults = [] if html.startswith("<!doctype html>") else ["no doctype"]
    elements = Elements(html).elements
    metas = [attributes for tag, attributes in elements if tag == "meta"]
    if [meta.get("http-equiv") for meta in metas] != [None, "Content-Security-Policy", None]:
        faults.append(f"meta {metas}")
    for tag, attributes in elements:
        if tag not in TAGS:
            faults.append(f"<{tag}>")
        for name, value in attributes.items():
            is_link_out = name == "href" and not re.fullmatch(r"#[a-zA-Z0-9_-]+", value)
            is_odd_style = name == "style" and (URL.search(value) or not STYLE.fullmatch(value))
            is_odd_id = name == "id" and not re.fullmatch(r"[a-zA-Z0-9_.-]+", value)
            if name not in ATTRIBUTES or is_link_out or is_odd_style or is_odd_id:
                faults.append(f"<{tag} {name}={value!r}>")
    return faults


def with_text(value: Any, texts: Iterator[str]) -> Any:
    """The same value with every text in it, keys too, replaced by the next of ``texts``."""
    if isinstance(value, str):
        return next(texts)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value,
            **{field.name: with_text(getattr(value, field.name), texts) for field in fields(value)},
        )
    if isinstance(value, Mapping):
        return {with_text(key, texts): with_text(inner, texts) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(with_text(inner, texts) for inner in value)
    return value
