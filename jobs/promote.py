"""Make the best admitted version champion, or refuse and say why.

reads   registry  the verdicts of the versions evaluated at the cutoff
writes  registry  tags of the version, then, last, the alias `champion`
        warehouse `models`: what was said of each, where there is a warehouse

The rule is in the configuration, under `gate`; nothing here bends it. A second run changes nothing.

    python -m jobs.promote --cutoff 2017-11-28 --by "Ada Lovelace"
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from contracts.errors import NotAdmittedError, PromotionRefusedError
from jobs.evaluate import find_champion
from jobs.published_models import tell_readers
from jobs.registries import open_registry, signing_key
from jobs.running.program import run
from jobs.running.settings import Settings
from models.judging.gate import Verdict, best
from models.registry.admission import admit, evaluation_of, require_admitted
from models.registry.registry import CHAMPION, ModelVersion, Registry
from models.registry.signing import SigningKey, VerdictKey

THE_RULE = "the written rule"  # who promotes where nobody is named


def main(argv: Sequence[str] | None = None) -> int:
    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--by", default=THE_RULE, metavar="NAME", help="who asks for it")

    return run(
        "promote",
        body,
        argv,
        description="Move the alias champion to the best version that the gate admits.",
        arguments=arguments,
    )


def body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    registry, cutoff = open_registry(settings), options.cutoff
    judged = [version.version for version in registry.versions(evaluated_cutoff=str(cutoff))]
    try:
        key = signing_key(settings)
        said = promote(registry, key=key, cutoff=cutoff, by=options.by, now=datetime.now(UTC))
    except PromotionRefusedError as refused:
        refused.details["models"] = tell_readers(settings, registry, judged)
        raise
    return {**said, "models": tell_readers(settings, registry, judged)}


def promote(
    registry: Registry, *, key: SigningKey, cutoff: date, by: str, now: datetime
) -> dict[str, Any]:
    """Raises PromotionRefusedError with every reason; then the alias has not moved.

    A verdict counts as far as it is signed: NotAdmittedError, DamagedModelError.
    """
    champion = find_champion(registry)
    current = champion.version if champion else None
    evaluated = registry.versions(evaluated_cutoff=cutoff.isoformat())
    standing = [version for version in evaluated if version.tags.get("status") != "rolled_back"]
    winner = best([verdict_of(version, key) for version in standing], champion=current)
    if winner is None:
        raise PromotionRefusedError(registry.model, reasons=_refusals(evaluated, cutoff, key))
    version = next(version for version in standing if version.version == winner.version)
    said = {
        "version": version.version,
        "encoder": version.encoder,
        "gain": round(winner.gain, 6),
        "reasons": list(winner.reasons),
        "previous_champion": current,
    }
    if winner.version == current:
        if not is_admitted(version, key):  # made champion before promotions were signed, or by hand
            admit(registry, version, key, by=by, now=now)
        return {"is_promoted": False, **said, "why": "the champion is the best admitted version"}
    _refuse_stale(registry, version, current)
    admit(registry, version, key, by=by, now=now)
    tags = {
        "promoted_at": now.isoformat(timespec="seconds"),
        "promoted_by": by,
        "previous_champion": current or "",
        "status": CHAMPION,
    }
    registry.set_tags(version.version, tags)
    registry.set_alias(CHAMPION, version.version)  # last: what is served changes with this alone
    if current is not None:
        registry.set_tags(current, {"status": "retired"})
    return {"is_promoted": True, **said, "by": by}


def verdict_of(version: ModelVersion, key: VerdictKey) -> Verdict:
    """What `jobs.evaluate` signed. Raises NotAdmittedError."""
    said = evaluation_of(version, key)
    gain = said["gain"]
    return Verdict(
        version=version.version,
        admitted=bool(said["admitted"]),
        reasons=tuple(said["reasons"]),
        gain=float("-inf") if gain is None else float(gain),
        gains=said["gains"],
    )


def is_admitted(version: ModelVersion, key: VerdictKey) -> bool:
    try:
        require_admitted(version, key)
    except NotAdmittedError:
        return False
    return True


def _refusals(evaluated: Sequence[ModelVersion], cutoff: date, key: VerdictKey) -> list[str]:
    reasons = []
    for version in evaluated:
        named = f"version {version.version} ({version.encoder})"
        if version.tags.get("status") == "rolled_back":
            reasons.append(f"{named}: it was rolled back")
        else:
            reasons += [f"{named}: {reason}" for reason in verdict_of(version, key).reasons]
    return reasons or [f"no version evaluated at {cutoff}"]


def _refuse_stale(registry: Registry, version: ModelVersion, current: str | None) -> None:
    """A version must have been compared with the champion that it replaces."""
    compared = json.loads(version.tags["evaluation"])["champion"]
    if compared == current:
        return
    raise PromotionRefusedError(
        registry.model,
        reasons=[
            f"version {version.version} ({version.encoder}): it was compared with "
            f"{f'champion {compared}' if compared else 'no champion'}, "
            f"and {f'version {current}' if current else 'none'} is champion now"
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
