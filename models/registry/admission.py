"""Which version may speak: one whose admission this deployment has signed, with these very files.

An alias in MLflow says who is champion, and anybody who reaches MLflow can move it. So a version
carries two texts, each with a signature by a key that MLflow never holds:

evaluation   what the gate found of it, and a digest of each of its files
admission    that it was promoted, by whom, on which evaluation, and the same digests

A text is signed as it stands, after its own name, so that one is never taken for the other.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, NoReturn

from contracts.errors import NotAdmittedError
from models.model_files import read_json
from models.registry.registry import TRY_ANY, ModelVersion, Registry
from models.registry.signing import SigningKey, VerdictKey, open_verdict_key
from models.registry.version_files import ADMISSION_FILE, check_digests

EVALUATION, ADMISSION = "evaluation", "admission"
ROLLED_BACK = "rolled_back"
KEY_FILE = "NIGHTSHIFT_VERDICT_KEY"  # environment: path of verdict.pub, for who serves a version


def signed(
    kind: str, version: ModelVersion, facts: Mapping[str, Any], key: SigningKey
) -> dict[str, str]:
    """Two tags: the text, which names its version, and the signature."""
    named = {"model": version.name, "version": version.version, "run_id": version.run_id}
    text = json.dumps({**named, **facts})
    return {kind: text, f"{kind}_signature": key.sign(f"{kind}\n{text}")}


def opened(
    kind: str,
    tags: Mapping[str, str],
    key: VerdictKey,
    *,
    name: str,
    version: str,
    run_id: str | None = None,
) -> dict[str, Any]:
    """The text of these tags. Raises NotAdmittedError where it is not signed, or of another.

    Where MLflow is not at hand, neither is the ``run_id``.
    """
    where = f"{name} version {version}"
    text, signature = tags.get(kind), tags.get(f"{kind}_signature", "")
    if text is None:
        _refuse(where, f"no {kind}")
    if not key.has_signed(f"{kind}\n{text}", signature):
        _refuse(where, f"{kind} that this deployment's key has not signed")
    facts: dict[str, Any] = json.loads(text)
    if (facts["model"], facts["version"]) != (name, version):
        _refuse(where, f"{kind} of {facts['model']} version {facts['version']}")
    if run_id is not None and facts["run_id"] != run_id:
        _refuse(where, f"{kind} of run {facts['run_id']}")
    return facts


def evaluation_of(
    version: ModelVersion, key: VerdictKey, *, cutoff: date | None = None
) -> dict[str, Any]:
    """What the gate found of it, at the cutoff if one is given. Raises NotAdmittedError."""
    facts = _opened_of(EVALUATION, version, key)
    if cutoff is not None and facts["cutoff"] != cutoff.isoformat():
        _refuse(
            f"{version.name} version {version.version}",
            f"{EVALUATION} of {facts['cutoff']} in the place of that of {cutoff}",
        )
    return facts


def admission_of(version: ModelVersion, key: VerdictKey) -> dict[str, Any]:
    """By whom and when it was promoted, with its files. Raises NotAdmittedError."""
    return _opened_of(ADMISSION, version, key)


def require_admitted(version: ModelVersion, key: VerdictKey) -> dict[str, Any]:
    """`admission_of`, of a version that is to speak from now on: not of one rolled back."""
    if version.tags.get("status") == ROLLED_BACK:
        _refuse(f"{version.name} version {version.version}", "a version that was rolled back")
    return admission_of(version, key)


def fetch_admitted(registry: Registry, version: ModelVersion, key: VerdictKey, to: Path) -> Path:
    """Its folder, of the files that were judged. Raises NotAdmittedError, DamagedModelError."""
    facts = admission_of(version, key)
    folder = registry.download(version, to)
    check_digests(f"{version.name} version {version.version}", root_of(folder), facts["files"])
    return folder


def admit(
    registry: Registry, version: ModelVersion, key: SigningKey, *, by: str, now: datetime
) -> None:
    """Sign that it is promoted, on its signed evaluation; say so beside its files too.

    Raises NotAdmittedError where that does not admit it, DamagedModelError where its files are not
    those that were judged.
    """
    facts = evaluation_of(version, key)
    where = f"{version.name} version {version.version}"
    if not facts["admitted"]:
        _refuse(where, "an evaluation that refuses it")
    with tempfile.TemporaryDirectory(prefix="nightshift-") as folder:
        check_digests(where, root_of(registry.download(version, Path(folder))), facts["files"])
        about = {
            "by": by,
            "at": now.isoformat(timespec="seconds"),
            "evaluated_cutoff": facts["cutoff"],
            "files": facts["files"],
        }
        tags = signed(ADMISSION, version, about, key)
        file = Path(folder) / ADMISSION_FILE
        file.write_text(json.dumps(tags, indent=1))
        registry.attach(version, file)
    registry.set_tags(version.version, tags)


def root_of(folder: Path) -> Path:
    """The whole version, of which ``data/<folder>`` is what was trained."""
    return folder.parents[1]


def refuse_unadmitted(folder: Path) -> None:
    """Of a version that MLflow serves: what lies beside it must admit it, as far as can be checked.

    With ``NIGHTSHIFT_VERDICT_KEY`` the signature is checked; without it only that the files are
    those of the admission. Raises NotAdmittedError, DamagedModelError.
    """
    if os.environ.get(TRY_ANY) == "1":
        return
    root = root_of(folder)
    file = root / ADMISSION_FILE
    if not file.is_file():
        _refuse(str(root), f"no {ADMISSION_FILE}", tried=True)
    tags = read_json(file)
    facts = json.loads(tags[ADMISSION])
    name, number = facts["model"], facts["version"]
    if given := os.environ.get(KEY_FILE):
        opened(ADMISSION, tags, open_verdict_key(Path(given)), name=name, version=number)
    check_digests(f"{name} version {number}", root, facts["files"], is_imported=True)


def _opened_of(kind: str, version: ModelVersion, key: VerdictKey) -> dict[str, Any]:
    return opened(
        kind, version.tags, key,
        name=version.name, version=version.version, run_id=version.run_id,
    )  # fmt: skip


def _refuse(where: str, found: str, *, tried: bool = False) -> NoReturn:
    raise NotAdmittedError(where, found=found, hint=TRY_ANY if tried else None)
