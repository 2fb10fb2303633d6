"""The README's table of sources: made from the mappings, and never behind them."""

from jobs.document_sources import FILE, FOLDER, readme, sources_table
from jobs.sources.mapping import load_source

SOURCES = sorted(FOLDER.glob("*.yaml"))


def test_the_table_in_the_readme_is_what_the_mappings_say():
    """Whoever changes or adds a mapping sees it in the README, or this fails."""
    text = FILE.read_text()

    assert sources_table(FOLDER) in text, "run `python -m jobs.document_sources`"
    assert readme(text, FOLDER) == text


def test_every_mapping_has_its_row_and_says_what_log_it_reads():
    rows = sources_table(FOLDER).splitlines()[2:]

    assert len(rows) == len(SOURCES) > 0
    for file, row in zip(SOURCES, rows, strict=True):
        assert load_source(file).about
        assert row.startswith(
            f"| [`{file.stem}`](configs/sources/{file.name}) | {load_source(file).about} | "
        )
