"""What a night must not recommend: `recommendations` in the configuration.

``exclude_bought`` leaves out what a user has bought before. ``exclude_items_file`` names a text
file, one item id a line in UTF-8, of what can be offered to nobody, such as what is out of stock;
``{cutoff}`` in its name stands for the night's, so that a past night finds the list that it had.
"""

from datetime import date

from contracts.errors import ConfigError
from jobs.running.settings import Settings
from models.registry.exclusion import Exclusion


def exclusion_of(settings: Settings, cutoff: date) -> Exclusion:
    """Raises ConfigError where the file is not there, or is no list of item ids."""
    said = settings.recommendations
    items: frozenset[str] = frozenset()
    if said.exclude_items_file is not None:
        items = _read(settings, said.exclude_items_file.replace("{cutoff}", str(cutoff)))
    return Exclusion(bought=said.exclude_bought, item_ids=items)


def _read(settings: Settings, name: str) -> frozenset[str]:
    file = settings.home / name
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"recommendations.exclude_items_file: {file}",
            found=getattr(error, "strerror", None) or "bytes that are not UTF-8",
            expected="a text file in UTF-8 with one item id a line",
            do="Nothing was scored. Write the file, or take the setting out, then score again.",
        ) from None
    return frozenset(line for line in map(str.strip, text.splitlines()) if line)
