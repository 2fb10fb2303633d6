"""A line is written in one piece."""

import io

from jobs.running.lines import say_line


class Written(io.RawIOBase):
    """Every write that reached the system, apart."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        self.pieces.append(bytes(piece))
        return len(self.pieces[-1])


def test_a_line_and_its_end_are_one_write():
    """As the two processes of a training say why they refuse: neither breaks the other's line."""
    raw = Written()
    unbuffered = io.TextIOWrapper(raw, write_through=True)

    say_line('{"job": "train", "exit_code": 2}', unbuffered)

    assert raw.pieces == [b'{"job": "train", "exit_code": 2}\n']


def test_print_would_have_made_it_two():
    """Should this fail, Python has changed, and `say_line` may go."""
    raw = Written()

    print("train", file=io.TextIOWrapper(raw, write_through=True))

    assert raw.pieces == [b"train", b"\n"]
