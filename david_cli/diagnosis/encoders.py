"""FFmpeg and the encoders that really open: each encodes a few frames, which are read back."""

from __future__ import annotations

from collections.abc import Iterator

from david_cli.diagnosis.finding import Finding
from david_cli.errors import OutputError

DEFAULTS = ("libx264", "libx265")
"""Encoders that david takes when nobody says otherwise."""
GPL_NOTE = (
    "x264 and x265 in it are GPL-2.0-or-later: fine to install and use; a program or image that "
    "ships this build falls under the GPL"
)


def check_ffmpeg() -> Iterator[Finding]:
    """The FFmpeg that came with PyAV, and under which licence."""
    from david_cli.video.build import encoder_version, ffmpeg_build

    build = ffmpeg_build()
    libraries = ", ".join(
        f"{name} {build.libraries[name]}"
        for name in ("libavcodec", "libavformat", "libswscale")
        if name in build.libraries
    )
    facts = {"libraries": build.libraries, "configuration": list(build.configuration)}
    yield Finding("ffmpeg", "ok", f"{build.version} ({libraries})", facts=facts)
    said = f"FFmpeg calls itself {build.licence}"
    yield Finding("licence", "ok", f"{said}; {GPL_NOTE}" if build.has_gpl_encoders else said)
    for name in DEFAULTS:
        try:
            version = encoder_version(name)
        except Exception:  # that it does not open is what the next check says
            continue
        if version:
            yield Finding(name.removeprefix("lib"), "ok", version, facts={"version": version})


def check_encoders() -> Iterator[Finding]:
    """Every encoder that david writes with; those in hardware by the reason they do not work."""
    from david_cli.video.codecs import CODECS
    from david_cli.video.hardware import HARDWARE
    from david_cli.video.probe import probe_encoder

    tried = {name: probe_encoder(name) for choice in CODECS.values() for name in choice.encoders}
    working = [
        codec for codec, c in CODECS.items() if any(tried[name].works for name in c.encoders)
    ]
    for codec, choice in CODECS.items():
        for name in choice.encoders:
            yield _software(
                codec, name, tried[name].reason, works=tried[name].works, others=working
            )
    hardware = {name: probe_encoder(name) for name in HARDWARE}
    yield _hardware({name: "" if p.works else p.reason for name, p in hardware.items()})


def _hardware(reasons: dict[str, str]) -> Finding:
    """Of encoders in chips: which work, and why the others do not (empty where one works)."""
    able = [name for name, reason in reasons.items() if not reason]
    why = [
        f"{', '.join(name for name in reasons if reasons[name] == reason)} ({reason})"
        for reason in dict.fromkeys(filter(None, reasons.values()))
    ]
    facts = {"works": able, "not": {name: said for name, said in reasons.items() if said}}
    what = ", ".join(able) or "none works here"
    if why:
        what += f"; not {'; '.join(why)}"
    if able:
        return Finding("hardware", "ok", what, "to use it: --encoder auto", 0, facts)
    advice = "nothing to mend: software gives the better picture for the bits"
    return Finding("hardware", "note", what, advice, 0, facts)


def _software(codec: str, name: str, reason: str, *, works: bool, others: list[str]) -> Finding:
    facts = {"codec": codec, "works": works, "reason": reason}
    if works:
        return Finding(name, "ok", f"{codec} works", facts=facts)
    instead = [other for other in others if other != codec]
    advice = "this is not PyAV's own wheel, or a damaged one: pip install --force-reinstall av"
    if instead:
        advice += f"; until then write with --codec {instead[0]}"
    what = f"{codec} does not work: {reason}"
    if name in DEFAULTS:
        return Finding(name, "problem", what, advice, OutputError.exit_code, facts)
    return Finding(name, "warning", what, advice, 0, facts)
