"""A report made up for tests, with names and texts as hostile as they come."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO

from PIL import Image

from david_cli.inference.guard import GuardEvents
from david_cli.review.report_data import FileFacts, Moment, Point, Report, Run, Views
from david_cli.video.comparison import Finding

HOSTILE = (
    "<script>alert('$title')</script> & \"<img src=http://evil.example/x>\" \udc80\u202e\n.mp4"
)


def jpeg(shade: int, size: tuple[int, int] = (64, 48)) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, (shade, 80, 120)).save(file, "JPEG")
    return file.getvalue()


def views(width: int = 64, height: int = 48) -> Views:
    return Views(width, height, jpeg(40, (width, height)), jpeg(200, (width, height)))


def point(number: int, before: float = 0.5, after: float = 0.6, change: float = 0.01) -> Point:
    time = Fraction(number - 1, 25)
    return Point(number, time, time + 2, before, after, change)


def moment(of: Point, *reasons: str) -> Moment:
    return Moment(of, reasons or ("typical frame",), views(), views(32, 24), (0.25, 0.5, 0.5, 0.5))


def file_facts(name: str = HOSTILE) -> FileFacts:
    return FileFacts(
        name=name,
        bytes=1_234_567,
        container="mov,mp4,m4a",
        codec="h264",
        pixel_format="yuv420p",
        width=64,
        height=48,
        rate=25.0,
        seconds=0.4,
        bit_rate=None,
        rotation=90,
        hdr=True,
        chapters=0,
        streams=(HOSTILE, "audio stream 1 (aac)"),
    )


def run(**changes: object) -> Run:
    facts = {
        "source": HOSTILE,
        "start": Fraction(2),
        "end": None,
        "settings": {"model": HOSTILE, "weights, sha256": "ab" * 32, "part": ""},
        "versions": {"david": "1", "FFmpeg": HOSTILE},
        "frames": 10,
        "done": 6,
        "seconds": 75.0,
        "fps": 0.08,
        "bottleneck": "network",
        "stage_seconds": {"decode": 0.5, "network": 70.0, HOSTILE: 7.0},
        "guard": GuardEvents(kept=3),
        "kept": ("kept " + HOSTILE,),
        "losses": ("lost " + HOSTILE,),
        "notes": ("note " + HOSTILE,),
        "warnings": ("warning " + HOSTILE,),
    }
    return Run(**{**facts, **changes})  # type: ignore[arg-type]


def report(**changes: object) -> Report:
    points = tuple(point(number, after=0.5 + number / 100) for number in range(1, 11))
    facts = {
        "made": "2026-01-02T03:04:05+00:00",
        "maker": {"david": "2", "FFmpeg": "8"},
        "source": file_facts(),
        "result": file_facts("result " + HOSTILE),
        "run": run(),
        "kept": ("kept " + HOSTILE,),
        "losses": ("lost " + HOSTILE,),
        "points": points,
        "moments": (moment(points[2], "largest change"), moment(points[7])),
        "findings": (
            Finding("frames", "kept", "10"),
            Finding(HOSTILE, "lost", HOSTILE),
            Finding("times", "wrong", "late"),
        ),
        "remarks": (HOSTILE,),
    }
    return Report(**{**facts, **changes})  # type: ignore[arg-type]
