"""What the processes of one training tell each other. Alone, each says it to itself."""

import os
import zlib
from contextlib import suppress
from datetime import timedelta

import torch
import torch.distributed

from contracts.errors import BusyError

FAREWELL_SECONDS = 5  # how long ranks that end alike wait for one another


def join() -> None:
    """Meet the processes that torchrun has started beside this one. Lightning finds them met."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or are_many():
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if on_gpu else "gloo")


def are_many() -> bool:
    """Is this process one of several that have joined?"""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def highest(value: int) -> int:
    """The highest value of all ranks, which each of them must call for."""
    if not are_many():
        return value
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    values = torch.tensor([value], device=device)
    torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
    return int(values)


def agree_on(run: str) -> None:
    """Raise BusyError on every rank unless all of them are about to train the same."""
    number = zlib.crc32(run.encode())
    if highest(number) != -highest(-number):
        end_together()
        raise BusyError(
            "--from",
            found="a version on one process and another on the next",
            expected="one on all",
            do="An alias has moved while they started: run this again.",
        )


def end_together() -> None:
    """Where all ranks end alike: none closes its connections before rank 0 has read what it sent.

    A rank that is done first would else cut off the last answer of those that are not: gloo drops
    what has arrived and was not read when the other side closes.
    """
    if are_many() and torch.distributed.get_backend() == "gloo":
        with suppress(RuntimeError):  # one is gone: the error that is on its way says more
            torch.distributed.monitored_barrier(timeout=timedelta(seconds=FAREWELL_SECONDS))


def leave() -> None:
    """Part from the other ranks. gloo closes the connections only when the process ends."""
    if are_many():
        torch.distributed.destroy_process_group()
