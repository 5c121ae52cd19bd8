"""The computer: system, processor, memory, graphics devices, and room on its disks."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from david_cli import __version__
from david_cli.diagnosis.finding import Finding
from david_cli.diagnosis.libraries import installed_version
from david_cli.errors import DeviceError, OutputError
from david_cli.processor import processor_name, usable_cores

if TYPE_CHECKING:
    import torch

GIB = 2**30
LEAST_MEMORY, LEAST_DISK = 1.0, 2.0
"""GiB below which something will fail sooner or later."""
_VARIABLES = ("DAVID_", "CUDA_", "OMP_", "MKL_", "KMP_", "TORCH_", "PYTORCH_", "NO_COLOR", "FORCE_")
_FEATURES = {  # of torch.cpu.get_capabilities -> what to call it
    "avx2": "AVX2",
    "avx512_f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "bf16 by AVX-512",
    "amx_bf16": "bf16 by AMX",
    "bf16": "bf16",
    "sve": "SVE",
}
_ANSWER_WITHIN = 10.0  # seconds, for nvidia-smi: a broken driver may never answer


def check_system() -> Iterator[Finding]:
    """What runs david, and the variables that change how."""
    tree = (Path(__file__).resolve().parents[2] / "pyproject.toml").is_file()
    where = "from a source tree" if tree else "installed"
    yield Finding("david", "ok", f"{__version__}, {where}", facts={"version": __version__})
    build = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding("python", "ok", build, facts={"executable": sys.executable})
    yield Finding("system", "ok", f"{platform.platform()}, {platform.machine()}")
    found = {key: value for key, value in sorted(os.environ.items()) if key.startswith(_VARIABLES)}
    if found:
        said = ", ".join(f"{key}={value}" for key, value in found.items())
        yield Finding("environment", "ok", said, facts=found)


def check_memory() -> Iterator[Finding]:
    """Whether there is room to work in."""
    import psutil

    memory = psutil.virtual_memory()
    what = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB available"
    facts = {"total": memory.total, "available": memory.available}
    if memory.available < LEAST_MEMORY * GIB:
        advice = "close other programs, or use small tiles: --tile 256"
        yield Finding("memory", "warning", what, advice, 0, facts)
    else:
        yield Finding("memory", "ok", what, facts=facts)


def check_processor() -> Iterator[Finding]:
    """The processor, what it can do as torch sees it, and how many threads torch uses."""
    import torch

    name, cores = processor_name(), usable_cores()
    level = torch.backends.cpu.get_cpu_capability()
    features = processor_features()
    facts = {"name": name, "cores": cores, "level": level, "features": features}
    said = f"{name}, cores: {cores}; torch uses {level}"
    if features:
        said += f" ({', '.join(features)})"
    if level == "DEFAULT" and platform.machine().lower() in ("x86_64", "amd64"):
        advice = "this processor has no AVX2: david works, but slowly; a GPU would help most"
        yield Finding("processor", "warning", said, advice, 0, facts)
    else:
        yield Finding("processor", "ok", said, facts=facts)
    yield _threads(torch.get_num_threads(), cores)


def check_devices() -> Iterator[Finding]:
    """The devices that networks can run on; each is tried with a small sum."""
    import torch

    driver = nvidia_driver()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(count):
        yield _try_device(torch.device("cuda", number), driver)
    if torch.backends.mps.is_available():
        yield _try_device(torch.device("mps"), "")
    elif not count:
        yield _no_gpu(driver, torch.version.cuda, " ".join(str(w.message) for w in said))


def check_disk() -> Iterator[Finding]:
    """Free space where results and temporary files go."""
    try:
        yield _check_folder("working folder", Path.cwd())
    except FileNotFoundError:  # it was deleted under our feet
        advice = "go to a folder that exists"
        yield Finding("working folder", "warning", "it does not exist any more", advice)
    try:
        yield _check_folder("temporary folder", Path(tempfile.gettempdir()))
    except FileNotFoundError as err:
        advice = "let the variable TMPDIR name a folder that can be written to"
        code = OutputError.exit_code
        yield Finding("temporary folder", "problem", f"there is none: {err}", advice, code)


def processor_features() -> list[str]:
    """What of the processor matters to networks, where this torch can tell."""
    import torch

    ask = getattr(torch.cpu, "get_capabilities", None)  # which older ones have not
    capabilities = ask() if ask else {}
    return [name for key, name in _FEATURES.items() if capabilities.get(key)]


def nvidia_driver() -> str:
    """The version of the NVIDIA driver; empty where there is none that answers."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_WITHIN, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(answer.stdout.split()), "")


def _threads(threads: int, cores: int) -> Finding:
    what, facts = f"{threads} (cores: {cores})", {"torch": threads, "cores": cores}
    if threads < cores and "OMP_NUM_THREADS" in os.environ:
        advice = "OMP_NUM_THREADS holds torch back; unset it where david may use the whole machine"
        return Finding("threads", "note", what, advice, 0, facts)
    return Finding("threads", "ok", what, facts=facts)


def _try_device(device: torch.device, driver: str) -> Finding:
    import torch

    name = str(device)
    facts: dict[str, Any] = {"driver": driver, "cuda": torch.version.cuda}
    try:
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            memory = (
                f", {free / GIB:.1f} of {total / GIB:.1f} GiB free, driver {driver or 'unknown'}"
            )
            what = f"{torch.cuda.get_device_name(device)}{memory}, CUDA {torch.version.cuda}"
            facts |= {"free": free, "total": total}
        else:
            what = "Apple GPU by Metal"
        assert torch.ones(64, device=device).sum().item() == 64
    except Exception as err:  # drivers raise all kinds
        said = " ".join(str(err).split())
        advice = f"update the driver, or stay on the CPU: --device cpu ({said})"
        code = DeviceError.exit_code
        return Finding(name, "problem", "it is there and does not compute", advice, code, facts)
    return Finding(name, "ok", what, facts=facts)


def _no_gpu(driver: str, built_for: str | None, said: str) -> Finding:
    """Why there is none, and what that means."""
    facts = {"driver": driver, "cuda": built_for}
    if driver and built_for is None:
        what = f"an NVIDIA driver ({driver}) is here, but this PyTorch was built without CUDA"
        advice = (
            "uninstall torch and install a build with CUDA, by the command that "
            "https://pytorch.org/get-started gives; david is many times faster on a GPU"
        )
        return Finding("gpu", "warning", what, advice, 0, facts)
    if driver:
        what = f"PyTorch for CUDA {built_for} finds no GPU with the NVIDIA driver {driver}"
        advice = "update the driver, look at CUDA_VISIBLE_DEVICES, or install PyTorch for its CUDA"
        return Finding("gpu", "warning", f"{what}. {said}".strip(" ."), advice, 0, facts)
    what = "none; networks run on the CPU"
    advice = "nothing to mend: david-lite is the model for CPUs; a GPU is many times faster"
    return Finding("gpu", "note", what, advice, 0, {**facts, "torch": installed_version("torch")})


def _check_folder(name: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    what, facts = f"{folder}: {free / GIB:.1f} GiB free", {"path": str(folder), "free": free}
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as err:
        advice = "write elsewhere with -o, or work in another folder"
        why = f"{what}, but nothing can be written there ({err.strerror})"
        return Finding(name, "warning", why, advice, 0, facts)
    if free < LEAST_DISK * GIB:
        return Finding(name, "warning", what, "free some space: videos are large", 0, facts)
    return Finding(name, "ok", what, facts=facts)
