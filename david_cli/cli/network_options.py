"""The options of commands that run a network: which one, where, and on what of the pictures."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from david_cli.network.shipped import DEFAULT_OVERLAP

DeinterlaceMode = Literal["auto", "off", "bwdif"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
Engine = Literal["auto", "torch", "openvino"]

MODEL_PANEL = "Model and device"


def _complete_models(incomplete: str) -> list[str]:
    return [name for name in ("auto", "david", "david-lite") if name.startswith(incomplete)]


def _complete_devices(incomplete: str) -> list[str]:
    return [name for name in ("auto", "cpu", "cuda", "mps") if name.startswith(incomplete)]


ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        show_default=False,
        metavar="NAME",
        help="A name that `david models` lists, or a .safetensors file. "
        "auto is david-lite, the cheapest within 0.1 dB of the best.",
        rich_help_panel=MODEL_PANEL,
        autocompletion=_complete_models,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        show_default=False,
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N or mps. auto takes the first GPU, else the CPU.",
        rich_help_panel=MODEL_PANEL,
        autocompletion=_complete_devices,
    ),
]
DevicesOption = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="LIST",
        help="Share the work: auto (all GPUs, else the CPU), GPUs such as 0,1 or processes such as "
        "cpu:2.",
        rich_help_panel=MODEL_PANEL,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        show_default=False,
        metavar="NAME",
        help="auto, fp32, fp16 or bf16. auto is fp16 on CUDA, bf16 on CPUs made for it, else fp32.",
        rich_help_panel=MODEL_PANEL,
    ),
]
ExactPrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="auto, fp32, fp16 or bf16. fp32 gives the same figures on every machine; auto is what "
        "david deblur takes on this one.",
        rich_help_panel=MODEL_PANEL,
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        show_default=False,
        metavar="NAME",
        help="What computes the network: auto, torch or openvino (on a CPU; extra openvino). "
        "auto is torch.",
        rich_help_panel=MODEL_PANEL,
    ),
]
TileOption = Annotated[
    str,
    typer.Option(
        "--tile",
        show_default=False,
        metavar="N",
        help="Side of the tiles in pixels; 0 takes whole frames, auto (the default) looks at "
        "the free memory.",
        rich_help_panel=MODEL_PANEL,
    ),
]
OverlapOption = Annotated[
    int,
    typer.Option(
        "--overlap",
        show_default=False,
        metavar="N",
        help=f"Pixels by which neighbouring tiles overlap: {DEFAULT_OVERLAP} if not given.",
        rich_help_panel=MODEL_PANEL,
    ),
]
StrengthOption = Annotated[
    float,
    typer.Option(
        "--strength",
        show_default=False,
        metavar="0..1",
        help="How much of the change is applied: 1 is all of it, 0 gives the source exactly.",
        rich_help_panel=MODEL_PANEL,
    ),
]
OnlyBlurryOption = Annotated[
    bool,
    typer.Option(
        "--only-blurry",
        metavar="",
        help="Leave frames alone that are sharp already: they skip the network. Every picture is "
        "measured; see --sharp-above.",
        rich_help_panel=MODEL_PANEL,
    ),
]
SharpAboveOption = Annotated[
    float | None,
    typer.Option(
        "--sharp-above",
        metavar="0..1",
        help="With --only-blurry: sharpness above which a frame is left alone, 0.78 if not given. "
        "Less skips more.",
        rich_help_panel=MODEL_PANEL,
    ),
]
DeinterlaceOption = Annotated[
    DeinterlaceMode,
    typer.Option(
        "--deinterlace",
        show_default=False,
        metavar="NAME",
        help="auto, off or bwdif. auto makes interlaced frames progressive, one for one; bwdif "
        "does so with every frame; off keeps the fields.",
        rich_help_panel=MODEL_PANEL,
    ),
]
