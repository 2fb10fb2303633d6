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
from contracts.night import NO_VERSION
from jobs.champions import move_alias
from jobs.promotion_choice import choose
from jobs.published_models import tell_readers
from jobs.registries import open_registry, signing_key
from jobs.running.program import run
from jobs.running.settings import Settings
from models.registry.admission import admit, require_admitted
from models.registry.registry import ModelVersion, Registry
from models.registry.signing import SigningKey, VerdictKey

THE_RULE = "the written rule"  # who promotes where nobody is named


def main(argv: Sequence[str] | None = None) -> int:
    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--by", default=THE_RULE, metavar="NAME", help="who asks for it")
        parser.add_argument("--demand", action="store_true", help="of the demand forecasters")
        parser.add_argument(
            "--version",
            type=agreed_version,
            metavar="N",
            help=f"this one, or nothing; `{NO_VERSION}`: nothing was agreed to. Default: the best",
        )

    return run(
        "promote",
        body,
        argv,
        description="Move the alias champion to the best version that the gate admits.",
        arguments=arguments,
    )


def agreed_version(text: str) -> str:
    """A version's number, or ``none``; an empty text would leave open which one is meant."""
    if text != NO_VERSION and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a version or {NO_VERSION!r}")
    return text


def body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    cutoff = options.cutoff
    registry = open_registry(settings, settings.demand.model if options.demand else None)
    judged = [version.version for version in registry.versions(evaluated_cutoff=str(cutoff))]
    try:
        key = signing_key(settings)
        said = promote(
            registry,
            key=key,
            cutoff=cutoff,
            by=options.by,
            now=datetime.now(UTC),
            agreed=options.version,
            newest_alone=options.demand,
        )
    except PromotionRefusedError as refused:
        refused.details["models"] = tell_readers(settings, registry, judged)
        raise
    return {**said, "models": tell_readers(settings, registry, judged)}


def promote(
    registry: Registry,
    *,
    key: SigningKey,
    cutoff: date,
    by: str,
    now: datetime,
    agreed: str | None = None,
    newest_alone: bool = False,
) -> dict[str, Any]:
    """Raises PromotionRefusedError with every reason; then the alias has not moved.

    ``agreed`` is the version that a person has agreed to: no other is promoted in its place, and
    with ``none`` nothing is. A verdict counts as far as it is signed: NotAdmittedError,
    DamagedModelError.
    """
    choice = choose(registry, key=key, cutoff=cutoff, newest_alone=newest_alone)
    version, current = choice.winner, choice.current
    if version is None:
        raise PromotionRefusedError(registry.model, reasons=list(choice.reasons))
    if agreed not in (None, NO_VERSION, version.version):
        raise PromotionRefusedError(
            registry.model,
            reasons=[f"version {version.version} is the best now, agreed was version {agreed}"],
        )
    said = {
        "version": version.version,
        "encoder": version.encoder,
        "gain": round(choice.gain, 6),
        "reasons": list(choice.reasons),
        "previous_champion": current,
    }
    if agreed == NO_VERSION:
        since = f"version {version.version}, admitted since, needs its own"
        return {"is_promoted": False, **said, "why": f"the review showed no version; {since}"}
    if not choice.would_move:
        if not is_admitted(version, key):  # made champion before promotions were signed, or by hand
            admit(registry, version, key, by=by, now=now)
        return {"is_promoted": False, **said, "why": "the champion is the best admitted version"}
    _refuse_stale(registry, version, current)
    move_alias(registry, version, key, previous=current, by=by, now=now)
    return {"is_promoted": True, **said, "by": by}


def is_admitted(version: ModelVersion, key: VerdictKey) -> bool:
    try:
        require_admitted(version, key)
    except NotAdmittedError:
        return False
    return True


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
