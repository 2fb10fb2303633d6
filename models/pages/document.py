"""The frame of every page: one file that needs nothing from outside, and runs nothing.

A page is opened from a disk or as an artifact of MLflow, so its policy stands in the page itself.
Text from logs is escaped wherever it stands; the policy holds where an escape was forgotten.
"""

from models.pages.parts import escape
from models.pages.style import STYLE

# Styles are inline and pictures are inline SVG: nothing else is needed, and nothing else allowed.
# https://www.w3.org/TR/CSP3/
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(title: str, body: str) -> str:
    """The whole page as HTML; ``title`` is text, ``body`` is markup."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
