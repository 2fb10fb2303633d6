"""Which version a promotion at a cutoff would make champion, by the signed verdicts alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from jobs.champions import find_champion
from models.judging.gate import Verdict, best
from models.registry.admission import ROLLED_BACK, evaluation_of
from models.registry.registry import ModelVersion, Registry
from models.registry.signing import VerdictKey


@dataclass(frozen=True)
class Choice:
    """What a promotion at a cutoff would do, and why."""

    model: str
    champion: ModelVersion | None
    winner: ModelVersion | None  # the best admitted version, which may be the champion
    gain: float
    reasons: tuple[str, ...]  # of the winner; where there is none, of everybody
    facts: Mapping[str, Any]  # the winner's signed evaluation

    @property
    def would_move(self) -> bool:
        """Would the alias?"""
        return self.winner is not None and self.winner.version != self.current

    @property
    def current(self) -> str | None:
        return self.champion.version if self.champion else None


def choose(
    registry: Registry, *, key: VerdictKey, cutoff: date, newest_alone: bool = False
) -> Choice:
    """The best version that a signed verdict of the cutoff admits. Raises NotAdmittedError.

    With ``newest_alone`` an older one is not asked: forecasters are compared with the champion, and
    not with one another.
    """
    champion = find_champion(registry)
    evaluated = registry.versions(evaluated_cutoff=cutoff.isoformat())
    standing = [version for version in evaluated if version.tags.get("status") != ROLLED_BACK]
    if newest_alone:
        standing = standing[-1:]
    current = champion.version if champion else None
    best_one = best(
        [verdict_of(version, key, cutoff=cutoff) for version in standing], champion=current
    )
    if best_one is None:
        reasons = tuple(_refusals(evaluated, cutoff, key))
        return Choice(registry.model, champion, None, 0.0, reasons, {})
    winner = next(version for version in standing if version.version == best_one.version)
    facts = evaluation_of(winner, key, cutoff=cutoff)
    return Choice(registry.model, champion, winner, best_one.gain, best_one.reasons, facts)


def verdict_of(version: ModelVersion, key: VerdictKey, *, cutoff: date) -> Verdict:
    """What `jobs.evaluate` signed at the cutoff: the tag by which a version is found is unsigned.

    Raises NotAdmittedError.
    """
    said = evaluation_of(version, key, cutoff=cutoff)
    gain = said["gain"]
    return Verdict(
        version=version.version,
        admitted=bool(said["admitted"]),
        reasons=tuple(said["reasons"]),
        gain=float("-inf") if gain is None else float(gain),
        gains=said["gains"],
    )


def _refusals(evaluated: Sequence[ModelVersion], cutoff: date, key: VerdictKey) -> list[str]:
    reasons = []
    for version in evaluated:
        named = f"version {version.version} ({version.encoder})"
        if version.tags.get("status") == ROLLED_BACK:
            reasons.append(f"{named}: it was rolled back")
        else:
            reasons += [
                f"{named}: {reason}" for reason in verdict_of(version, key, cutoff=cutoff).reasons
            ]
    return reasons or [f"no version evaluated at {cutoff}"]
