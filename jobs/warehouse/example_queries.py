"""The questions of `jobs/warehouse/questions/`, for the page on the tables and for the tests.

A file begins with `-- for whom: the question`, and may go on with a line on how to read the answer.
"""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "questions"


@dataclass(frozen=True)
class Question:
    name: str
    readers: str  # marketing, inventory or both
    question: str
    remark: str  # may be empty
    sql: str


def questions() -> list[Question]:
    """In the order of their files."""
    return [_read(file) for file in sorted(FOLDER.glob("*.sql"))]


def _read(file: Path) -> Question:
    lines = file.read_text().splitlines()
    said = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    readers, _, question = said[0].partition(": ")
    sql = "\n".join(lines[len(said) :])
    return Question(file.stem, readers, question, " ".join(said[1:]), sql)
