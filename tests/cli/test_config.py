"""Files, variables, presets and flags: what wins, where it is from, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import typer

from david_cli.cli import config_files
from david_cli.cli.app import app, run
from david_cli.cli.config_command import ConfigurableGroup
from david_cli.cli.config_layers import SILENCES
from david_cli.cli.presets import ABOUT, PRESETS
from tests.cli.test_deblur import frames_of
from tests.conftest import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with no configuration around it; the user's file is its `user.toml`."""
    monkeypatch.delenv("DAVID_CONFIG")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(config_files, "user_file", lambda: folder / "user.toml")
    return folder


@pytest.fixture
def group() -> ConfigurableGroup:
    found = typer.main.get_command(app)
    assert isinstance(found, ConfigurableGroup)
    return found


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """What `david config show` says of a command, option -> (value, origin)."""

    def show(command: str, *arguments: str) -> dict[str, Any]:
        assert run(["config", "show", "--json", command, *arguments]) == 0, capsys.readouterr().err
        facts = json.loads(capsys.readouterr().out)["commands"][command]
        return {key: (row["value"], row["origin"]) for key, row in facts.items()}

    return show


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a usage error."""
    assert run(arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith("david: error: ")
    assert line.count("\n") == 1
    return line


PLACES = ("flag", "own variable", "variable", "preset", "[deblur]", "project", "user")
"""Of a value, the one that decides first."""


def test_the_place_that_decides(
    project: Path, monkeypatch: pytest.MonkeyPatch, shown: Callable[..., dict[str, Any]]
) -> None:
    """Of any two places and of all, the higher one wins, and is named."""
    user, file = project / "user.toml", project / "david.toml"
    for chosen in chain.from_iterable(combinations(PLACES, n) for n in (0, 1, 2, len(PLACES))):
        said = {place: str(64 * n) for n, place in enumerate(PLACES, 1) if place in chosen}
        for name, place in (("DAVID_DEBLUR_TILE", "own variable"), ("DAVID_TILE", "variable")):
            monkeypatch.setenv(name, said.get(place, ""))
        lines = [f"tile = {said['project']}"] if "project" in said else []
        lines += ["[deblur]", f"tile = {said['[deblur]']}"] if "[deblur]" in said else []
        lines += ["[presets.mine]", f"tile = {said['preset']}"] if "preset" in said else []
        file.write_text("\n".join(lines))
        user.write_text(f"tile = {said['user']}" if "user" in said else "")
        arguments = ["--tile", said["flag"]] if "flag" in said else []
        arguments += ["--preset", "mine"] if "preset" in said else []
        origins = {
            "flag": "command line",
            "own variable": "DAVID_DEBLUR_TILE",
            "variable": "DAVID_TILE",
            "preset": "preset mine",
            "[deblur]": str(file),
            "project": str(file),
            "user": str(user),
        }
        expected = (said[chosen[0]], origins[chosen[0]]) if chosen else ("auto", "default")
        assert shown("deblur", *arguments)["tile"] == expected


def test_a_preset_stands_just_below_what_names_it(
    project: Path, shown: Callable[..., dict[str, Any]]
) -> None:
    (project / "user.toml").write_text('model = "mine.safetensors"\nprecision = "bf16"\n')
    (project / "david.toml").write_text('preset = "best"\nprecision = "fp16"\n')
    found = shown("deblur")
    assert found["precision"] == ("fp16", str(project / "david.toml"))
    assert found["model"] == ("auto", "preset best")
    assert shown("deblur", "--preset", "fast")["model"] == ("david-lite", "preset fast")
    assert shown("deblur", "--preset", "fast")["crf"] == (None, "default")
    assert shown("frames")["model"] == ("auto", "preset best")  # which has no codec to set
    assert shown("frames")["precision"] == ("fp16", str(project / "david.toml"))


@pytest.mark.parametrize(
    ("below", "arguments", "gone"),
    [
        ("crf = 20", ["--lossless"], "crf"),
        ("lossless = true", ["--crf", "20"], "lossless"),
        ("lossless = true", ["--match-source"], "lossless"),
        ('codec = "av1"\ncrf = 20', ["--match-source"], "codec"),
        ('codec = "av1"\ncrf = 20\nencoder-preset = 8', ["--codec", "h264"], "encoder-preset"),
        ('device = "cuda"', ["--devices", "cpu:2"], "device"),
    ],
)
def test_what_would_contradict_a_flag_is_taken_back(
    below: str,
    arguments: list[str],
    gone: str,
    project: Path,
    shown: Callable[..., dict[str, Any]],
) -> None:
    (project / "david.toml").write_text(below)
    assert shown("deblur")[gone][1] != "default"
    assert shown("deblur", *arguments)[gone][1] == "default"
    assert shown("deblur", "--quiet")[gone][1] != "default"


def test_flags_can_be_taken_back(
    project: Path, shown: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "david.toml").write_text("lossless = true\ncrf = 20\n[deblur]\nverify = true\n")
    assert shown("deblur")["verify"][0] is True
    assert shown("deblur", "--no-verify")["verify"] == (False, "command line")
    assert shown("deblur", "--no-lossless")["lossless"][0] is False
    for text, value in (("1", True), ("true", True), ("0", False), ("no", False)):
        monkeypatch.setenv("DAVID_DEBLUR_VERIFY", text)
        assert shown("deblur")["verify"] == (value, "DAVID_DEBLUR_VERIFY")


def test_lists_and_numbers(
    project: Path, shown: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "david.toml").write_text(
        'strength = 0.5\ntile = 256\nencoder_option = ["tune=grain", "aq-mode=3"]\n'
    )
    found = shown("deblur")
    assert found["strength"][0] == 0.5
    assert found["tile"][0] == "256"
    assert found["encoder-option"][0] == ["tune=grain", "aq-mode=3"]
    monkeypatch.setenv("DAVID_ENCODER_OPTION", "g=5 bf=0")
    assert shown("deblur")["encoder-option"][0] == ["g=5", "bf=0"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle = 'david'", ("'modle'", "did you mean model?")),
        ("[deblurr]\ncrf = 1", ("'deblurr'", "did you mean deblur?")),
        ("[deblur]\nlosless = true", ("[deblur]", "did you mean lossless?")),
        ("[presets.web]\nkrf = 3", ("[presets.web]", "did you mean crf?")),
        ("[presets.fast]\ncrf = 3", ("david's own",)),
        ("presets = 3", ("[presets.NAME]",)),
        ("[model]\nname = 3", ("no command", "'model'")),
        ("[presets]\nweb = 3", ("[presets.NAME]",)),
        ("retry = 2", ("retry", "[batch]")),
        ("codec = 'h266'", ("unknown codec 'h266'", "--codec is set by")),
        ("progress = 'Json'", ("'--progress': 'Json' is not one of",)),
        ("retri = 2", ("did you mean retry?",)),
        ("start = 00:01:20", ("start = 00:01:20", "in quotes")),
        ("preset = ''", ("there are fast, balanced, best and archive;",)),
        ("lossless = 'yes'", ("lossless", "true or false")),
        ("crf = true", ("crf", "a text or a number")),
        ("crf = [1]", ("crf", "a text or a number")),
        ("crf = 2020-01-01", ("crf", "a text or a number")),
        ("[deblur]\ncrf = {a = 1}", ("[deblur] crf", "a text or a number")),
        ("crf = \n", ("not TOML", "line 1")),
        ("preset = 'bset'", ("'bset'", "did you mean best?", "archive")),
        ("preset = 'veryslow'", ("--encoder-preset veryslow",)),
        ("overlap = 'much'", ("--overlap", "david.toml")),
        ("tile = 'much'", ("--tile much", "--tile is set by", "david.toml")),
        ("strength = 3", ("--strength 3", "--strength is set by")),
    ],
)
def test_what_means_nothing_is_refused_with_its_file(
    text: str, words: tuple[str, ...], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "david.toml"
    file.write_text(text)
    line = refused(["deblur", "a.mp4"], capsys)
    assert str(file) in line
    assert [word for word in words if word not in line] == []


def test_the_error_boundary_hears_of_files(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "david.toml").write_text("[deblur]\nprogress = 'json'\ndebug = true\n")
    assert run(["deblur", "nothing.mp4"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["event"] == "error"
    assert "Traceback" in err


@pytest.mark.parametrize("arguments", [["--help"], ["deblur", "--help"], ["config", "path"]])
def test_help_needs_no_file(
    arguments: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "david.toml").write_text("what is this")
    assert run(arguments) == 0
    refused(["config", "show"], capsys)


def test_errors_of_flags_name_no_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "david.toml").write_text("tile = 'auto'")
    assert "set by" not in refused(["deblur", "a.mp4", "--tile", "x"], capsys)
    assert "encoder-preset medium" in refused(["deblur", "a", "--preset", "medium"], capsys)


@pytest.mark.parametrize("arguments", [["--crf", "x"], ["--tile", "8", "--verfy"], ["a", "b"]])
def test_show_refuses_what_the_command_would(
    arguments: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["config", "show", "deblur", *arguments], capsys)


def test_show_names_the_file_of_a_value_that_cannot_be(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "david.toml").write_text("crf = 'good'")
    assert str(project / "david.toml") in refused(["config", "show"], capsys)


def test_files_of_other_editors_are_read(
    project: Path, shown: Callable[..., dict[str, Any]]
) -> None:
    """With a byte order mark and line ends of Windows."""
    (project / "david.toml").write_bytes(b"\xef\xbb\xbfmodel = 'david'\r\n[deblur]\r\ncrf = 12\r\n")
    assert (shown("deblur")["model"][0], shown("deblur")["crf"][0]) == ("david", 12.0)


def test_paths_start_from_the_folder_of_their_file(
    project: Path, monkeypatch: pytest.MonkeyPatch, shown: Callable[..., dict[str, Any]]
) -> None:
    (project / "david.toml").write_text(
        "model = 'mine.safetensors'\n[deblur]\noutput = '-'\nreport-file = '~/r.html'\n"
        "[plan]\noutput = 'out/a.mkv'\nmodel = 'david'\n[synth]\nphotos = ['a', '/b']\n"
    )
    (project / "day1").mkdir()
    monkeypatch.chdir(project / "day1")
    assert shown("deblur")["model"][0] == str(project / "mine.safetensors")
    assert shown("deblur")["output"][0] == "-"
    assert shown("deblur")["report-file"][0] == os.path.expanduser("~/r.html")
    assert shown("plan")["output"][0] == str(project / "out" / "a.mkv")
    assert shown("plan")["model"][0] == "david"
    assert shown("synth")["photos"][0] == [str(project / "a"), os.path.abspath("/b")]


def test_the_crf_of_a_preset_is_not_for_the_codec_of_a_file(
    project: Path, shown: Callable[..., dict[str, Any]]
) -> None:
    """ProRes has none; AV1 has another scale. A preset of one's own means what it says."""
    assert shown("deblur", "--preset", "best")["crf"][0] == 12
    (project / "david.toml").write_text("codec = 'prores'\n[presets.mine]\ncrf = 20\n")
    found = shown("deblur", "--preset", "best")
    assert (found["crf"][0], found["codec"][0], found["model"][0]) == (None, "prores", "auto")
    assert shown("deblur", "--preset", "mine")["crf"][0] == 20
    assert shown("deblur", "--preset", "archive")["codec"][0] == "ffv1"


def test_a_variable_that_means_nothing_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAVID_MODLE", "david")
    assert run(["models", "/nowhere.safetensors"]) == 5
    warning = capsys.readouterr().err.splitlines()[0]
    assert warning.startswith("david: warning: DAVID_MODLE ")
    assert warning.endswith("did you mean DAVID_MODEL?")


def test_the_nearest_file_upwards(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "david.toml").touch()
    (project / "day1" / "rushes").mkdir(parents=True)
    monkeypatch.chdir(project / "day1" / "rushes")
    assert config_files.config_paths() == [project / "david.toml"]
    (project / "day1" / "david.toml").touch()
    (project / "user.toml").touch()
    nearest = [project / "day1" / "david.toml", project / "user.toml"]
    assert config_files.config_paths() == nearest
    monkeypatch.setenv("DAVID_CONFIG", str(project / "david.toml"))
    assert config_files.config_paths() == [project / "david.toml"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_no_file_of_a_stranger(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "david.toml").touch()
    (project / "own").mkdir()
    monkeypatch.chdir(project / "own")
    os.chown(project, 12345, -1)
    assert config_files.config_paths() == []


def test_paths(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "user.toml").touch()
    assert run(["config", "path"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"project  {project / 'david.toml'} (not there)",
        f"user     {project / 'user.toml'}",
    ]
    monkeypatch.setenv("DAVID_CONFIG", str(project / "mine.toml"))
    assert "mine.toml" in refused(["config", "path"], capsys)
    (project / "mine.toml").touch()
    assert run(["config", "path"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"DAVID_CONFIG  {project / 'mine.toml'}\n")
    assert "user.toml (not read)" in out


def test_what_is_shown_of_all_commands(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show"]) == 0
    assert "nothing is configured" in capsys.readouterr().out
    (project / "david.toml").write_text("[batch]\nretry = 2\n[presets.web]\ncrf = 30\n")
    assert run(["config", "show"]) == 0
    assert capsys.readouterr().out == f"[batch]\n  retry  2  {project / 'david.toml'}\n"
    assert run(["config", "presets"]) == 0
    assert "web       yours\n          --crf 30\n" in capsys.readouterr().out
    assert "deblur" in refused(["config", "show", "debur"], capsys)


def test_every_option_has_a_variable_of_its_own(group: ConfigurableGroup) -> None:
    words = group.words
    names = [words.variables(c, key)[0] for c, options in words.commands.items() for key in options]
    shared = {f"DAVID_{key.replace('-', '_').upper()}" for key in words.shared}
    assert len(names) == len(set(names)) > 100
    assert not shared & {*names, "DAVID_CONFIG"}
    assert {"model", "device", "crf", "quiet"} <= words.shared.keys()
    assert "synth" not in words.shared["strength"]  # which is another one
    assert SILENCES.keys() <= words.commands["deblur"].keys()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit(name: str, group: ConfigurableGroup) -> None:
    from david_cli.video.wishes import EncodeOptions

    values = PRESETS[name]
    assert values.keys() <= group.words.commands["deblur"].keys()
    wishes = {k: v for k, v in values.items() if k in ("codec", "encoder", "lossless")}
    EncodeOptions(**wishes)  # type: ignore[arg-type]
    assert ABOUT.keys() == PRESETS.keys()


def test_a_run_is_the_same_from_files_and_from_flags(
    project: Path, clip: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames of one, and the plan of one continued by the other."""
    source = shutil.copy(clip, project / "a.mp4")
    flags = ["--model", str(tiny_model), "--device", "cpu", "--strength", "0.5", "--codec", "ffv1"]
    flags += ["--segment", "5"]
    assert run(["deblur", str(source), "-o", "flags.mkv", *flags, "-q"]) == 0
    plan = ["plan", str(source), "-o", "out.mkv", "--json"]
    assert run([*plan, *flags]) == 0
    first = Path(json.loads(capsys.readouterr().out)["plan"])
    written = first.read_bytes()
    (project / "david.toml").write_text(
        f"model = '{tiny_model}'\ndevice = 'cpu'\nsegment = 5\nquiet = true\n"
        "preset = 'mine'\n[presets.mine]\nstrength = 0.5\ncodec = 'ffv1'\n"
    )
    assert run(plan) == 0
    assert Path(json.loads(capsys.readouterr().out)["plan"]) == first
    assert first.read_bytes() == written
    assert run(["deblur", str(source), "-o", "file.mkv"]) == 0
    assert capsys.readouterr().err == ""
    one, other = frames_of(project / "flags.mkv"), frames_of(project / "file.mkv")
    assert len(one) == 12
    assert all(s == t and (a == b).all() for (s, a), (t, b) in zip(one, other, strict=True))


def test_the_file_of_the_documentation_means_something(
    project: Path, shown: Callable[..., dict[str, Any]]
) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    (project / "david.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    found = shown("deblur", "--preset", "web")
    assert {key: found[key][0] for key in ("model", "crf", "codec", "verify")} == {
        "model": "david",
        "crf": 30.0,
        "codec": "av1",
        "verify": True,
    }
    for name, values in PRESETS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        told = [value for value in values.values() if isinstance(value, str)]
        assert name == "archive" or [value for value in told if value not in row] == []
