"""A model's file that somebody else has written: refused by name, whatever it is."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from contracts.errors import DamagedModelError
from models.model_files import read_json
from models.model_weights import read_weights

pytestmark = pytest.mark.torch

DO = (
    " Nothing was made with it. Restore the file from a copy, go back to the champion before with "
    "`nightshift rollback`, or train, evaluate and promote again; and find out who writes to "
    "MLflow's folder."
)


def weights(folder: Path, **values: list[float]) -> Path:
    file = folder / "weights.safetensors"
    save_file({name: torch.tensor(value) for name, value in values.items()}, file)
    return file


def refusal(read, file: Path) -> str:
    """Why it was refused, without the folder and the advice."""
    with pytest.raises(DamagedModelError) as raised:
        read(file)
    assert str(raised.value).endswith(DO)
    return str(raised.value).removesuffix(DO).removeprefix(f"{file.parent}/")


def test_weights_that_are_numbers_are_read(tmp_path):
    """As they were written."""
    file = weights(tmp_path, a=[1.0, 2.0], b=[3.0])

    assert read_weights(file)["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path, value):
    """One is enough: every score of it would be none."""
    file = weights(tmp_path, good=[1.0], bad=[1.0, value, 3.0])

    assert refusal(read_weights, file) == (
        "weights.safetensors: found 1 of 3 values of bad NaN or infinite, expected numbers."
    )


def test_a_header_that_claims_more_than_the_file_has_is_refused_unread(tmp_path):
    """2^60 bytes are neither read nor reserved."""
    file = tmp_path / "weights.safetensors"
    file.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")

    assert refusal(read_weights, file) == (
        "weights.safetensors: found 10 bytes, with a header of 1152921504606846976, "
        "expected weights as this code writes them."
    )


def test_a_cut_file_is_refused_wherever_it_was_cut(tmp_path):
    """In the length, in the header, in the numbers."""
    file = weights(tmp_path, a=[1.0] * 64)
    whole = file.read_bytes()
    for length in (0, 3, 8, 20, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])

        assert "weights as this code writes them" in refusal(read_weights, file)


class Bomb:
    def __reduce__(self):
        return os._exit, (7,)


def test_a_pickle_in_its_place_is_not_unpickled(tmp_path):
    """Loading it would end this process."""
    file = tmp_path / "weights.safetensors"
    file.write_bytes(pickle.dumps(Bomb()))

    assert "weights as this code writes them" in refusal(read_weights, file)


def test_offsets_that_point_out_of_the_file_are_refused(tmp_path):
    """The header is well formed, and lies."""
    header = {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    text = json.dumps(header).encode()
    file = tmp_path / "weights.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * 64)

    assert "weights as this code writes them" in refusal(read_weights, file)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[" * 200_000, "lists within lists without end"),
        ('{"a": ' + "1" * 5000 + "}", "Exceeds the limit (4300 digits)"),
        ('{"a": NaN}', "NaN, which is no number"),
        ('{"a": ', "Expecting value"),
        ("", "Expecting value"),
    ],
    ids=["nested", "digits", "nan", "cut", "empty"],
)
def test_json_that_no_training_writes_is_refused(tmp_path, text, found):
    """Bombs among it: the process stands."""
    file = tmp_path / "item_index.json"
    file.write_text(text)

    assert found in refusal(read_json, file)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "item_index.json"
    file.write_bytes(b'{"a": "\xff"}')

    assert refusal(read_json, file) == (
        "item_index.json: found bytes that are not UTF-8, expected JSON as this code writes it."
    )


@pytest.mark.parametrize("read", [read_json, read_weights])
def test_a_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path, read):
    """/dev/zero has no end, a pipe no beginning."""
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("/dev/zero")
    os.mkfifo(pipe)

    assert refusal(read, link) == "link: found a link, expected a file of a version."
    assert refusal(read, pipe) == "pipe: found no regular file, expected a file of a version."
