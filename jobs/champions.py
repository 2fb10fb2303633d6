"""Who is champion, and how another becomes it."""

from datetime import datetime

from contracts.errors import NoChampionError
from models.registry.admission import admit
from models.registry.registry import CHAMPION, ModelVersion, Registry
from models.registry.signing import SigningKey


def find_champion(registry: Registry) -> ModelVersion | None:
    try:
        return registry.resolve(CHAMPION)
    except NoChampionError:
        return None


def move_alias(
    registry: Registry,
    version: ModelVersion,
    key: SigningKey,
    *,
    previous: str | None,
    by: str,
    now: datetime,
) -> None:
    """Sign the admission, tell of it in tags, and move the alias last: it alone serves another.

    Raises NotAdmittedError, DamagedModelError; then nothing has moved.
    """
    admit(registry, version, key, by=by, now=now)
    tags = {
        "promoted_at": now.isoformat(timespec="seconds"),
        "promoted_by": by,
        "previous_champion": previous or "",
        "status": CHAMPION,
    }
    registry.set_tags(version.version, tags)
    registry.set_alias(CHAMPION, version.version)
    if previous is not None:
        registry.set_tags(previous, {"status": "retired"})
