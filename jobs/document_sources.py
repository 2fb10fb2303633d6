"""Write the README's table of sources from `configs/sources`, so that it cannot be out of date.

python -m jobs.document_sources
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.running.settings import PROJECT
from jobs.sources.description import describe_format, describe_time, describe_user
from jobs.sources.mapping import Source, load_source
from jobs.sources.parts import ConstantType, EventType, MappedType

FILE = PROJECT / "README.md"
FOLDER = PROJECT / "configs" / "sources"
START = "<!-- made by `python -m jobs.document_sources` -->\n"
END = "<!-- end -->\n"


def readme(text: str, folder: Path) -> str:
    """The README's text with the table as the folder's mappings have it."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return before + START + sources_table(folder) + END + after


def sources_table(folder: Path) -> str:
    """One row a mapping."""
    head = "| source | log | format | user | event types | time |\n|---|---|---|---|---|---|\n"
    files = sorted(folder.glob("*.yaml"))
    return head + "".join(_row(file.stem, load_source(file)) for file in files)


def _row(name: str, source: Source) -> str:
    logs = source.all_logs
    cells = [
        f"[`{name}`](configs/sources/{name}.yaml)",
        source.about,
        *(
            "; ".join(dict.fromkeys(part))
            for part in (
                [describe_format(log.format) for log in logs],
                [describe_user(log.user_id) for log in logs],
                [", ".join(_types(log.event_type)) for log in logs],
                [describe_time(log.event_time) for log in logs],
            )
        ),
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _types(form: EventType) -> list[str]:
    if isinstance(form, ConstantType):
        return [form.constant]
    words = form.map if isinstance(form, MappedType) else form.matches
    return list(dict.fromkeys(words.values()))


def main(argv: Sequence[str] | None = None) -> int:
    argparse.ArgumentParser(prog="document_sources", description=__doc__).parse_args(argv)
    FILE.write_text(readme(FILE.read_text(), FOLDER))
    print(FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
