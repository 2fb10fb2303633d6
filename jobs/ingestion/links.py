"""No link in a raw folder leads out of it: what a collector may write is not what we may read."""

import os
from fnmatch import fnmatchcase

from contracts.errors import DataError


def refuse_links(folder: str, *, within: str, pattern: str = "*") -> None:
    """Raise DataError for a link in a folder that leads out of another, or nowhere.

    Where the folder is ``within`` itself, only entries whose names have the pattern are looked at.
    """
    inside = os.path.realpath(within)
    if folder == within:
        with os.scandir(folder) as entries:
            links = [e.path for e in entries if e.is_symlink() and fnmatchcase(e.name, pattern)]
    else:
        links = [folder] if os.path.islink(folder) else []
        for parent, folders, files in os.walk(folder):
            paths = (os.path.join(parent, name) for name in (*folders, *files))
            links += [path for path in paths if os.path.islink(path)]
    for link in sorted(links):
        target = os.path.realpath(link)
        if not target.startswith(f"{inside}{os.sep}") or not os.path.exists(target):
            raise DataError(
                link,
                found=f"a link to {target}",
                expected=f"files, and links to files, that lie in {inside}",
                do="Nothing was committed. Copy the file to where the link is, "
                "or name the other folder as `raw` in the configuration.",
            )
