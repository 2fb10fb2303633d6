"""A line in one piece, whatever other processes write to the same place at the same time.

Where a stream is not buffered, as torchrun makes those of its processes, `print` writes a line and
its end apart, and the line of another process may come between them.
"""

from typing import TextIO

from contracts.printable import printable


def say_line(line: str, stream: TextIO) -> None:
    stream.write(f"{printable(line)}\n")
    stream.flush()
