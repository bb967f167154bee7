"""How long reading a 12-megapixel JPEG takes on one core, and how much memory it needs beside the file.

    python -m benchmarks.features [--repeats 30] [--out benchmarks/results/features.json]

The photographs of `examples/photographs` are brought to 12 megapixels (3464 or 4000 pixels wide) and saved as
phones do: JPEG quality 88, baseline; once more as progressive. What is timed is `read_image_features(bytes)`,
decoding included, in a process that is pinned to one core with OpenCV's threads off. Wall time is the
promise; CPU time is given beside it, because on a busy machine only that is the product's own.

Peer, on the same bytes in the same process: Pillow decodes the whole picture and the same Haar cascade
(frontalface_alt2, OpenCV's defaults) searches all of it, which is how face detection is usually shown.
Memory is measured in fresh processes: the rise of the peak resident set while one photograph is read, after
a small picture has been read (cascades loaded), and again with that first loading included.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.report import ROOT, Report, Target, arguments, median, percentiles
from router.features.image import read_image_features
from router.features.prompt import read_prompt

PHOTOGRAPHS = ("portrait", "landscape", "product")
PIXELS = 12_000_000
QUALITY = 88
PROMPT = (
    "The woman slowly turns her head towards the window and smiles while the camera gently pushes in, "
    "her hair moving softly in the breeze, clouds drifting behind her."
)


def twelve_megapixels(name: str, *, progressive: bool = False) -> bytes:
    """The example photograph at 12 megapixels, as a JPEG."""
    with Image.open(ROOT / "examples" / "photographs" / f"{name}.jpg") as picture:
        scale = (PIXELS / (picture.width * picture.height)) ** 0.5
        size = (round(picture.width * scale), round(picture.height * scale))
        large = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=QUALITY, progressive=progressive)
    return buffer.getvalue()


def timed(act: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Wall and CPU milliseconds of each call, after one that is not counted."""
    act()
    wall, cpu = [], []
    for _ in range(repeats):
        begun, used = time.perf_counter(), time.thread_time()
        act()
        wall.append((time.perf_counter() - begun) * 1e3)
        cpu.append((time.thread_time() - used) * 1e3)
    return wall, cpu


def peer(data: bytes) -> int:
    """Whole decode, whole search; returns the number of hits."""
    folder = Path(cv2.__file__).parent / "data"
    cascade = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_alt2.xml"))
    grey = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    return len(cascade.detectMultiScale(grey))


def extra_memory(what: str, name: str) -> dict[str, float]:
    """MiB by which the peak resident set rises in a fresh process that runs `what` on one photograph."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.features", "--memory-of", what, "--photograph", name],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    loading, reading = (float(value) for value in done.stdout.split())
    return {"first_picture_mib": loading, "photograph_mib": reading}


def measure_memory(what: str, name: str) -> None:
    """Child process: print the rise (MiB) for a small first picture, then for the photograph itself."""
    read: Callable[[bytes], Any] = read_image_features if what == "features" else peer
    # The bytes come from a process of their own, so that making them does not raise this one's peak.
    code = (
        "import sys; from benchmarks.features import twelve_megapixels as t; "
        f"sys.stdout.buffer.write(t({name!r}))"
    )
    data = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True).stdout
    small = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 150, 120)).save(small, "JPEG")
    rises = []
    for picture in (small.getvalue(), data):
        before = reset_peak()
        read(picture)
        rises.append(peak_mib() - before)
    print(*rises)


def peak_mib() -> float:
    """Peak resident set of this process (`ru_maxrss` would start at the parent's)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def reset_peak() -> float:
    """Start the peak anew from what is resident now; returns that, in MiB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_mib()


def figures(repeats: int, peer_repeats: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures by photograph, ours and the peer's."""
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    for name in PHOTOGRAPHS:
        data = twelve_megapixels(name)
        wall, cpu = timed(lambda data=data: read_image_features(data), repeats)  # type: ignore[misc]
        late = twelve_megapixels(name, progressive=True)
        late_wall, late_cpu = timed(lambda late=late: read_image_features(late), repeats)  # type: ignore[misc]
        read = read_image_features(data)
        ours[name] = {
            "file_bytes": len(data),
            "wall_ms": percentiles(wall),
            "cpu_ms": percentiles(cpu),
            "progressive_wall_ms": percentiles(late_wall),
            "progressive_cpu_ms": percentiles(late_cpu),
            "subject": read.subject,
            "faces": read.face_count,
            **extra_memory("features", name),
        }
        peer_wall, peer_cpu = timed(lambda data=data: peer(data), peer_repeats)  # type: ignore[misc]
        theirs[name] = {
            "wall_ms": percentiles(peer_wall),
            "cpu_ms": percentiles(peer_cpu),
            "faces": peer(data),
            **extra_memory("peer", name),
        }
    return ours, theirs


def worst(table: dict[str, Any], *path: str) -> float:
    """The largest figure over the photographs."""
    values: Sequence[Any] = list(table.values())
    for part in path:
        values = [value[part] for value in values]
    return max(float(value) for value in values)


def main() -> None:
    """Run it."""
    options = arguments(
        __doc__,
        repeats=(30, "timed readings of each photograph"),
        peer_repeats=(3, "timed runs of the peer"),
        out=("", "where the JSON goes; empty: benchmarks/results/features.json"),
        memory_of=("", "internal: features or peer, in a child process"),
        photograph=("portrait", "internal: which one"),
    )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    if options.memory_of:
        measure_memory(options.memory_of, options.photograph)
        return
    ours, theirs = figures(options.repeats, options.peer_repeats)
    words, words_cpu = timed(lambda: read_prompt(PROMPT), 200)
    ratios = {
        name: round(theirs[name]["cpu_ms"]["p50"] / ours[name]["cpu_ms"]["p50"], 1) for name in PHOTOGRAPHS
    }
    Report(
        name="features",
        summary="Reading a 12-megapixel JPEG on one core: decode, faces, light, scene.",
        settings={"pixels": PIXELS, "jpeg_quality": QUALITY, "repeats": options.repeats},
        figures={
            "photographs": ours,
            "prompt_ms": percentiles(words),
            "prompt_cpu_ms": percentiles(words_cpu),
        },
        peer={
            "what": "Pillow decodes the whole picture, OpenCV's frontalface_alt2 searches all of it",
            "photographs": theirs,
            "cpu_times_ours": ratios,
        },
        targets=[
            Target(
                "12-megapixel JPEG, CPU time, median, slowest photograph",
                worst(ours, "cpu_ms", "p50"),
                "<=",
                30,
                "ms",
            ),
            Target(
                "12-megapixel JPEG, wall time, fastest run, slowest photograph",
                worst(ours, "wall_ms", "min"),
                "<=",
                30,
                "ms",
            ),
            Target(
                "extra memory while reading, largest photograph",
                worst(ours, "photograph_mib"),
                "<=",
                150,
                "MiB",
            ),
            Target(
                "peer's CPU time over ours, median over photographs", median(list(ratios.values())), ">=", 1
            ),
        ],
        notes=(
            "Four fifths of a reading are the JPEG's entropy decoding and the bounded face search; "
            "a progressive file is read from its first scans.",
            "The peer also reports faces where there are none.",
        ),
    ).write(Path(options.out) if options.out else None)


if __name__ == "__main__":
    main()
