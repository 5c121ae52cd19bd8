"""A folder of awkward videos: each becomes a right result or one clear error (see robust.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import robust
from tests.footage import KnownNetwork, Look, known_deblurrer, noise, write_video

SAMPLE = (  # small, and each awkward in another way
    "1x1px__test_video.mp4",
    "attpic__h264-png.mkv",
    "audioonly__aac.m4a",
    "auxtracks__sample_with_fake_auxiliary_tracks.mp4",
    "corrupt__corrupted.mp4",
    "gen__anim.gif",
    "gen__bad_truncated_mid_packet.ts",
    "gen__dvvideo_pal.dv",
    "gen__ext_wrong_mp4_named.avi",
    "gen__h264_tiny_34x18.mp4",
    "gen__h264_two_audio.mp4",
    "gen__h264_start_offset_1h.ts",
    "gen__h264_vfr_gap_10s.mp4",
    "gen__mpeg2_interlaced_576i.mpg",
    "stub-mov__QuickTime.mov",
    "ts-mpeg2__sample_h262_mpeg_audio.ts",
)
LOSSLESS = ("--codec", "ffv1")


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "robust"


@pytest.mark.parametrize("name", SAMPLE)
def test_awkward_files_work_or_say_why(name: str, folder: Path) -> None:
    row = robust.examine(folder / name, [])
    assert row.verdict == "ok", row


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [(), LOSSLESS, ("--strength", "0", *LOSSLESS)],
    ids=["default", "ffv1", "ffv1 at strength 0"],
)
def test_every_file_works_or_says_why(options: tuple[str, ...], folder: Path) -> None:
    paths = sorted(p for p in folder.iterdir() if p.is_file())
    rows = [robust.examine(path, options) for path in paths]
    assert len(rows) == 121
    assert [row for row in rows if row.verdict != "ok"] == []


@pytest.mark.parametrize("markdown", [False, True])
def test_the_table_tells_right_from_wrong(
    markdown: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look = Look("yuv420p", codec="libx264")
    write_video(tmp_path / "good.mp4", noise(look, 3), look)
    (tmp_path / "bad.mp4").write_bytes(b"junk" * 100)
    options = ["--folder", str(tmp_path), "--strength", "0", *LOSSLESS]
    assert robust.main([*options, *(["--markdown"] if markdown else [])]) == 0
    out = capsys.readouterr().out
    rows = {line.strip("| ").split()[0]: line for line in out.splitlines() if ".mp4" in line}
    assert "0 -> error 3" in rows["bad.mp4"]
    assert "3 -> 3" in rows["good.mp4"]
    assert "exact" in rows["good.mp4"]
    assert "inf" in rows["good.mp4"]
    assert "\n2 files: 2 ok; of what they hold: " in out and out.endswith(" 0 lost, 0 wrong\n")


def test_a_lost_frame_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table would be worth nothing if it could not say WRONG."""
    look = Look("yuv420p", codec="libx264")
    source = write_video(tmp_path / "good.mp4", noise(look, 5), look)
    pictures = robust.pictures

    def more(path: Path):
        yield from pictures(path)
        if path.name == "good.mp4":
            yield from list(pictures(path))[:1]

    monkeypatch.setattr(robust, "pictures", more)
    assert "another number of frames" in robust.examine(source, ["--strength", "0"]).verdict


def test_another_effect_of_the_network_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Look("yuv420p", codec="libx264")
    source = write_video(tmp_path / "good.mp4", noise(look, 3), look)
    assert robust.examine(source, LOSSLESS).verdict == "ok"
    other = known_deblurrer(KnownNetwork((0.9,) * 3, (0.05,) * 3))
    monkeypatch.setattr(robust, "known_deblurrer", lambda network: other)
    assert "other codes from frame 0 on" in robust.examine(source, LOSSLESS).verdict


def test_no_folder_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert robust.main(["--folder", str(tmp_path / "no")]) == 0
    assert "not here" in capsys.readouterr().out
