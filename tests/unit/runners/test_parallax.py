from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.errors import Cancelled, InputRefused
from models.runners import parallax
from models.runners.base import RunRequest, Stage
from models.types import CameraMove, ClipPlan, Fit, Framing, Geometry, Intensity

PHOTOGRAPHS = Path(__file__).parents[3] / "examples" / "photographs"
FACE = (0.346, 0.129, 0.186, 0.186)
Picture = NDArray[np.uint8]


def photograph(name: str) -> Image.Image:
    with Image.open(PHOTOGRAPHS / f"{name}.jpg") as image:
        return image.convert("RGB")


@dataclass
class Listener:
    """Hears the runner; cancels at a step when told to."""

    cancel_at: int | None = None
    previews: bool = False
    stages: list[Stage] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)

    def step(self, done: int, total: int, preview: Picture | None = None) -> None:
        if done == self.cancel_at:
            raise Cancelled("asked to stop")
        self.steps.append((done, total))
        if preview is not None:
            self.pictures.append(preview)

    def wants_preview(self) -> bool:
        return self.previews


def wish(
    *moves: CameraMove,
    image: Image.Image | None = None,
    size: tuple[int, int] = (192, 128),
    frames: int = 9,
    fit: Fit = Fit.CROP,
    seed: int = 1,
    intensity: Intensity | None = None,
    faces: tuple[tuple[float, float, float, float], ...] = (),
    last_image: Image.Image | None = None,
) -> RunRequest:
    effective = Geometry(*size, frames, 24.0)
    # The renderer makes what is delivered: another native shape must not matter.
    native = Geometry(64, 64, 5, 8.0)
    return RunRequest(
        image=image if image is not None else photograph("portrait"),
        prompt="she smiles",
        plan=ClipPlan(effective, native, Framing(fit, 1.0, 1.0)),
        seed=seed,
        camera=moves,
        intensity=intensity,
        faces=faces,
        last_image=last_image,
    )


def runner() -> parallax.ParallaxRunner:
    # A renderer reads neither card nor offer.
    return parallax.load(None, None, checkpoint=None, device="cpu")  # type: ignore[arg-type]


def clip(request: RunRequest) -> list[Picture]:
    return list(runner().generate(request, Listener()).frames)


@pytest.mark.parametrize("move", list(CameraMove))
def test_every_move_gives_the_planned_frames_and_all_but_static_move(move: CameraMove) -> None:
    frames = clip(wish(move, faces=(FACE,)))
    assert len(frames) == 9
    assert {(f.shape, f.dtype.name) for f in frames} == {((128, 192, 3), "uint8")}
    change = np.abs(frames[0].astype(int) - frames[-1]).mean()
    assert (change == 0) if move is CameraMove.STATIC else (change > 2)


@pytest.mark.parametrize("name", ["portrait", "landscape", "product"])
@pytest.mark.parametrize(("size", "frames"), [((160, 96), 1), ((98, 162), 5), ((130, 130), 2)])
def test_any_photograph_fits_any_frame(name: str, size: tuple[int, int], frames: int) -> None:
    made = clip(wish(CameraMove.ORBIT_LEFT, image=photograph(name), size=size, frames=frames))
    assert [f.shape for f in made] == [(size[1], size[0], 3)] * frames


def test_neighbouring_frames_differ_little() -> None:
    frames = clip(wish(CameraMove.TRUCK_LEFT, frames=48, faces=(FACE,)))
    change = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]
    assert max(change) < 6
    # Eased: the middle moves, the ends hardly.
    assert max(change[0], change[-1]) < 0.25 * max(change)


def test_the_seed_decides_and_nothing_else() -> None:
    first, again, other = (clip(wish(CameraMove.SHAKE, seed=seed)) for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_frames_are_drawn_as_they_are_read() -> None:
    listener = Listener()
    frames = runner().generate(wish(CameraMove.PAN_LEFT), listener).frames
    assert isinstance(frames, Iterator)
    assert listener.steps == []
    next(frames)
    assert listener.steps == [(1, 9)]
    assert listener.stages == [Stage.ENCODING_INPUT, Stage.RENDERING]
    assert len(list(frames)) == 8
    assert listener.steps[-1] == (9, 9)


def test_a_cancel_stops_within_the_frame() -> None:
    listener = Listener(cancel_at=4)
    frames = runner().generate(wish(CameraMove.PAN_LEFT), listener).frames
    read = []
    with pytest.raises(Cancelled):
        read.extend(frames)
    assert listener.steps == [(1, 9), (2, 9), (3, 9)]


def test_previews_are_given_only_when_wanted() -> None:
    for wanted, count in ((True, 9), (False, 0)):
        listener = Listener(previews=wanted)
        frames = list(runner().generate(wish(CameraMove.ROLL), listener).frames)
        assert len(listener.pictures) == count
        assert all(np.array_equal(p, f) for p, f in zip(listener.pictures, frames, strict=False))


def test_notes_say_that_nothing_is_generated_and_what_was_chosen() -> None:
    notes = runner().generate(wish(), Listener()).notes
    assert parallax.NOTHING_GENERATED in notes
    assert any("push_in" in note for note in notes)
    notes = runner().generate(wish(CameraMove.STATIC, faces=(FACE,)), Listener()).notes
    assert any("stands still" in note for note in notes)
    assert any("1 face" in note for note in notes)


def test_shortened_travel_is_told() -> None:
    moves = (CameraMove.PAN_LEFT, CameraMove.TRUCK_LEFT, CameraMove.ROLL)
    notes = runner().generate(wish(*moves, intensity=Intensity.EXTREME, frames=72), Listener()).notes
    assert any("travels less" in note for note in notes)


def test_frames_of_a_still_clip_belong_to_the_reader() -> None:
    frames = runner().generate(wish(CameraMove.STATIC), Listener()).frames
    first = next(frames)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(next(frames), kept)


def test_a_static_camera_shows_the_photograph() -> None:
    image = photograph("product").resize((192, 128), Image.Resampling.LANCZOS)
    frame = clip(wish(CameraMove.STATIC, image=image, frames=1))[0]
    assert np.abs(frame.astype(int) - np.asarray(image)).mean() < 2


def test_a_last_image_is_refused_by_name() -> None:
    image = Image.new("RGB", (32, 32))
    with pytest.raises(InputRefused) as refused:
        runner().generate(wish(CameraMove.PAN_LEFT, last_image=image), Listener())
    assert refused.value.param == "last_image"


def test_bars_of_a_padded_fit_stay_where_they_are() -> None:
    image = photograph("portrait")
    frames = clip(wish(CameraMove.TRUCK_LEFT, image=image, size=(256, 128), fit=Fit.PAD))
    for frame in frames:
        assert frame[:, :64].max() == 0
        assert frame[:, 192:].max() == 0
        assert frame[:, 64:192].mean() > 60
    assert np.abs(frames[0].astype(int) - frames[-1])[:, 64:192].mean() > 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 800), (800, 1)])
@pytest.mark.parametrize("fit", [Fit.CROP, Fit.PAD])
def test_degenerate_photographs_make_clips(shape: tuple[int, int], fit: Fit) -> None:
    frames = clip(
        wish(CameraMove.ORBIT_LEFT, image=Image.new("RGB", shape, (200, 100, 50)), fit=fit, frames=2)
    )
    assert [f.shape for f in frames] == [(128, 192, 3)] * 2


def test_other_modes_are_read_as_rgb() -> None:
    grey = photograph("portrait").convert("L")
    frame = clip(wish(CameraMove.STATIC, image=grey, frames=1))[0]
    assert np.ptp(frame.astype(int), axis=2).max() <= 2


def test_a_zoom_draws_on_the_detail_of_a_large_photograph() -> None:
    image = photograph("product")
    small = image.resize((192, 128), Image.Resampling.LANCZOS)
    sharpness = []
    for source in (image, small):
        last = clip(wish(CameraMove.ZOOM_IN, image=source, intensity=Intensity.EXTREME, frames=24))[-1]
        sharpness.append(cv2.Laplacian(cv2.cvtColor(last, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
    assert sharpness[0] > 1.2 * sharpness[1]


def test_a_face_keeps_its_place_in_a_push() -> None:
    """The face is the aim: found by its own pixels, it must not wander."""
    frames = clip(wish(CameraMove.PUSH_IN, size=(256, 256), frames=12, faces=(FACE,)))
    x, y, w, h = (round(v * 256) for v in FACE)
    template = frames[0][y : y + h, x : x + w]
    score = cv2.matchTemplate(frames[5], template, cv2.TM_CCOEFF_NORMED)
    _, best, _, (left, top) = cv2.minMaxLoc(score)
    assert best > 0.8
    assert abs(left - x) <= 3
    assert abs(top - y) <= 3


def test_unload_leaves_a_runner_that_still_works() -> None:
    made = runner()
    made.unload()
    assert len(list(made.generate(wish(CameraMove.PAN_LEFT, frames=2), Listener()).frames)) == 2
