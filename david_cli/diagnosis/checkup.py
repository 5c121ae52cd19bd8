"""Every check in turn, each on its own: whatever one runs into, the next one still runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from david_cli.diagnosis.encoders import check_encoders, check_ffmpeg
from david_cli.diagnosis.finding import Finding
from david_cli.diagnosis.libraries import check_extras, check_libraries, in_one_line
from david_cli.diagnosis.machine import (
    check_devices,
    check_disk,
    check_memory,
    check_processor,
    check_system,
)
from david_cli.diagnosis.models import check_loading, check_weights
from david_cli.diagnosis.privacy import anonymous
from david_cli.diagnosis.trial import check_deblurring
from david_cli.errors import DavidError

Check = Callable[[], Iterable[Finding]]

LIBRARIES = "libraries"

CHECKS: Mapping[str, tuple[Check, ...]] = {  # what everything needs comes first
    "system": (check_system,),
    LIBRARIES: (check_libraries,),
    "machine": (check_processor, check_memory, check_devices),
    "weights": (check_weights, check_loading),
    "video": (check_ffmpeg, check_encoders),
    "disk": (check_disk,),
    "extras": (check_extras,),
    "self-test": (check_deblurring,),
}


def examine(checks: Mapping[str, tuple[Check, ...]] = CHECKS) -> Iterator[Finding]:
    """Run the checks; findings come as they are made, without anybody's name in them."""
    broken: list[str] = []
    for topic, group in checks.items():
        for check in group:
            for finding in _isolated(check, broken):
                if topic == LIBRARIES and finding.facts.get("error"):
                    broken.append(finding.name)
                yield replace(
                    finding,
                    topic=topic,
                    what=anonymous(finding.what),
                    advice=anonymous(finding.advice),
                    facts=anonymous(finding.facts),
                )


def _isolated(check: Check, broken: Sequence[str]) -> Iterator[Finding]:
    """What a check finds, and how it ended where it ended badly.

    Args:
        check: what to run.
        broken: libraries that are known not to load, which then is the cause.
    """
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        yield from check()
    except DavidError as err:
        yield Finding(name, "problem", str(err), "see the other findings", err.exit_code)
    except Exception as err:
        what = f"the check itself failed: {in_one_line(err)}"
        advice = "please report this with all of this page"
        if broken:
            what = f"not looked at, as {', '.join(broken)} does not load"
            advice = "first mend the libraries above"
        yield Finding(name, "problem", what, advice, DavidError.exit_code)
