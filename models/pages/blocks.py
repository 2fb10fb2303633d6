"""A text of headings, paragraphs, lists and tables, as Markdown and as one HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.printable import printable
from models.pages.document import document
from models.pages.parts import escape, scroll


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Paragraph | Bullets | Table


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    return "\n\n".join([f"# {_line(title)}", *map(_markdown, blocks)]) + "\n"


def to_html(title: str, blocks: Sequence[Block]) -> str:
    """One file, no outside resource, in the look of the night's page."""
    return document(
        title,
        f"<header><h1>{escape(title)}</h1></header><main>{''.join(map(_html, blocks))}</main>",
    )


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_line(text)}"
        case Paragraph(text):
            return _line(text)
        case Bullets(items):
            return "\n".join(f"- {_line(item)}" for item in items)
        case Table(columns, rows):
            lines = [columns, ["---"] * len(columns), *rows]
            cells = [[_line(cell).replace("|", "\\|") for cell in line] for line in lines]
            return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _line(text: str) -> str:
    """Text that stays one line of text: no markup, no link, no block of its own."""
    return " ".join(printable(text).split()).replace("<", "&lt;").replace("](", "]\\(")


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Table(columns, rows):
            head = "".join(f"<th scope='col' class='left'>{escape(name)}</th>" for name in columns)
            body = "".join(
                "<tr><th scope='row'>"
                + escape(first)
                + "</th>"
                + "".join(f"<td class='left'>{escape(cell)}</td>" for cell in rest)
                + "</tr>"
                for first, *rest in rows
            )
            return scroll(f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>")
