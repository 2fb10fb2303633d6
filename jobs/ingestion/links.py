"""The files of a local raw folder; no link leads out of it, and none is followed into a folder.

What a collector may write is not what we may read. Python lists the files, because Arrow follows
links into folders, in circles too, and takes no name that is not UTF-8.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase

from contracts.errors import DataError

_HIDDEN = (".", "_")  # files that are still being written, and notes of other programs


def is_hidden(path: str) -> bool:
    """Has a file, or a folder on the way to it, a name that is passed over?"""
    return any(part.startswith(_HIDDEN) for part in path.split("/"))


def files_under(folder: str, *, within: str) -> list[str]:
    """The paths of all files in a folder and in those below it; none where there is no folder.

    Raises DataError for a link that leads out of ``within``, to a folder, or nowhere, and for a
    name that is not UTF-8. The folder itself may be a link.
    """
    if os.path.islink(folder):
        _check_link(folder, os.path.realpath(within), may_be_folder=True)
    return [path for path in _paths_under(folder, within) if os.path.isfile(path)]


def files_in(folder: str, pattern: str) -> list[str]:
    """The paths of the files in a folder itself whose names have the pattern; errors as above."""
    if not os.path.isdir(folder):
        return []
    names = [name for name in os.listdir(folder) if fnmatchcase(name, pattern)]
    paths = [_checked(folder, name, os.path.realpath(folder)) for name in sorted(names)]
    return [path for path in paths if os.path.isfile(path)]


def _paths_under(folder: str, within: str) -> Iterator[str]:
    inside = os.path.realpath(within)
    for parent, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted([*folders, *files]):
            if not is_hidden(name):
                yield _checked(parent, name, inside)


def _checked(parent: str, name: str, inside: str) -> str:
    path = os.path.join(parent, name)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            parent,
            found=f"a name that is not UTF-8: {os.fsencode(name)!a}",
            expected="names of files in UTF-8",
            do="Nothing was committed. Rename it, or take it out of the folder, "
            "then run this again.",
        ) from None
    if os.path.islink(path):
        _check_link(path, inside, may_be_folder=False)
    return path


def _check_link(link: str, inside: str, *, may_be_folder: bool) -> None:
    target = os.path.realpath(link)
    is_inside = target.startswith(f"{inside}{os.sep}") and os.path.exists(target)
    if not is_inside or (os.path.isdir(target) and not may_be_folder):
        raise DataError(
            link,
            found=f"a link to {target}",
            expected=f"files, and links to files, that lie in {inside}",
            do="Nothing was committed. Copy the file to where the link is, "
            "or name the other folder as `raw` in the configuration.",
        )


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
