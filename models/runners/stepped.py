"""One clip in this process: denoised step by step, paused by not going on, resumed from its folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import torch

from models.errors import CheckpointUnusable, RunnerError
from models.runners.base import Place, RunResult, Stage
from models.runners.delivery import delivered
from models.runners.joins import ahead, joins_of, notes_of, own_frames
from models.runners.resume import (
    ClipState,
    Identity,
    conditioning_file,
    read_clip_state,
    read_conditioning,
    write_clip_state,
    write_conditioning,
)
from models.runners.sharing import crew_for
from models.runners.sound import joined, read_sound
from models.runners.tape import forget
from models.runners.underway import Underway

if TYPE_CHECKING:
    from pathlib import Path

    from models.card import Offer
    from models.runners.base import Frame, RunMonitor, Sound
    from models.runners.crew import Crew
    from models.runners.families import Segment
    from models.runners.reel import Reel
    from models.runners.segments import Chain
    from models.runners.sharing import Sharing
    from models.runners.underway import Loaded


class DiffusersClip:
    """`OpenClip` of the diffusers runner. All calls must come from one thread."""

    def __init__(
        self,
        loaded: Loaded,
        offer: Offer,
        row: Chain,
        reel: Reel,
        folder: Path | None,
        sharing: Sharing | None,
    ) -> None:
        """A clip that is still to be placed by `begin` or `resume`.

        Args:
            loaded: The runner's pipeline.
            offer: Whose adapter and flow shift it takes.
            row: Its segments.
            reel: Where finished segments' pictures are kept.
            folder: Where its state is kept; None for a clip that is made in one go.
            sharing: How a crew shares a forward; None outside gangs.
        """
        self._loaded, self._offer, self._row, self._reel = loaded, offer, row, reel
        self._folder, self._sharing = folder, sharing
        request = row.request
        self._identity = Identity.of(
            loaded.card,
            offer,
            loaded.pipe,
            request.plan,
            steps=row.steps,
            guidance=row.guidance,
            seed=request.seed,
        )
        self._place = Place(0, row.count, 0, row.steps)
        self._running: Underway | None = None
        self._heard = False
        self._open: Iterator[Frame] | None = None

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self._place

    def crew(self, ranks: tuple[int, ...]) -> Crew:
        """How these ranks share the clip: guidance's two passes first, then the tokens of each.

        Raises:
            ConfigError: the model cannot be split over that many ranks.
        """
        return crew_for(self._loaded.family, self._loaded.pipe, ranks, self._row.guidance)

    # --- beginning and resuming --------------------------------------------------------------

    def begin(self) -> None:
        """Encode the photograph and the words of the first segment; saves where there is a folder."""
        self._begin(0, self._row.first())

    def resume(self) -> None:
        """Take up the state that lies in the folder.

        Raises:
            CheckpointUnusable: it cannot be read, or is not of this clip.
        """
        folder, device = self._needed_folder(), str(self._loaded.device)
        state = read_clip_state(folder, self._identity, device)
        place = state.place
        if (place.segments, place.steps) != (self._row.count, self._row.steps):
            raise CheckpointUnusable(
                f"the saved state stands in {place.segments} segments of {place.steps} steps; this clip has "
                f"{self._row.count} of {self._row.steps}"
            )
        if not self._loaded.prepared(self._offer):
            self._begin(place.segment, self._anew(place.segment, state))
            return
        calls = read_conditioning(folder, self._identity, place.segment, device)
        segment = self._row.again(place.segment)
        self._running = Underway.resumed(self._loaded, self._offer, segment, state, calls)
        self._place = place

    def _begin(self, index: int, segment: Segment) -> None:
        self._running = Underway.begun(self._loaded, self._offer, segment)
        self._place = Place(index, self._row.count, 0, self._row.steps)
        if self._folder is not None:
            if self._loaded.prepared(self._offer):
                write_conditioning(self._folder, self._identity, index, self._running.calls)
            self.save()
        forget(self._running.calls)

    def _anew(self, index: int, state: ClipState) -> Segment:
        """A segment of a family of which nothing is kept between a segment's ends."""
        if index == 0:
            return self._row.first()
        segment = self._row.next(index, self._before(index), self._row.again(index - 1))
        segment.generator.set_state(state.generator)
        return segment

    def _before(self, index: int) -> tuple[Frame, ...]:
        return self._reel.last(index, max(1, self._row.overlap))

    # --- denoising ---------------------------------------------------------------------------

    def advance(self, steps: int, crew: Crew, monitor: RunMonitor) -> Place:
        """Denoise up to `steps` steps, never beyond the segment's end.

        The monitor is told after each step; when it raises `Cancelled` the step is done, and the clip could
        still go on.
        """
        running, leads = self._under_way(), self._leads(crew)
        if not self._heard:
            self._heard = True
            monitor.stage(Stage.DENOISING)
        with running.denoising(), self._loaded.variants.laid(self._offer), self._shared(running, crew):
            for _ in range(min(steps, self._place.steps - self._place.step)):
                running.step()
                at = self._place
                self._place = Place(at.segment, at.segments, at.step + 1, at.steps)
                picture = running.preview() if leads and monitor.wants_preview() else None
                monitor.step(self._place.done, self._place.total, picture)
        return self._place

    def _leads(self, crew: Crew) -> bool:
        return crew.degree == 1 or (self._sharing is not None and self._sharing.blocks.rank == crew.leader)

    @contextmanager
    def _shared(self, running: Underway, crew: Crew) -> Iterator[None]:
        """The hooks stay for the crew's next steps; after an error nothing may stay."""
        sharing = self._sharing
        if sharing is None:
            if crew.degree > 1:
                raise RunnerError(f"this process is in no gang; it cannot be one of {crew.degree} ranks")
            yield
            return
        try:
            sharing.lay(running.pipe, self._loaded.family, crew, running.branches)
            yield
        except BaseException:
            sharing.lift()
            raise

    # --- keeping -----------------------------------------------------------------------------

    def save(self) -> None:
        """Write the state of this moment to the folder, in one piece or not at all.

        Of a family (or solver) that cannot be taken up in mid-segment, the segment's beginning is written.

        Raises:
            OSError: the folder has no space.
        """
        running, place = self._under_way(), self._place
        if self._loaded.prepared(self._offer):
            state = running.state(place)
        else:
            state = running.beginning(Place(place.segment, place.segments, 0, place.steps))
        write_clip_state(self._needed_folder(), self._identity, state)

    def _needed_folder(self) -> Path:
        if self._folder is None:
            raise RunnerError("this clip is made in one go and has no folder to be kept in")
        return self._folder

    # --- decoding ----------------------------------------------------------------------------

    def turn(self, monitor: RunMonitor) -> Place:
        """Decode the denoised segment, keep its pictures in the folder, and begin the next one; saves.

        Raises:
            RunnerError: the segment is not denoised, or is the last one.
        """
        running, index = self._denoised(), self._place.segment
        if self._place.last:
            raise RunnerError("the last segment has no next one; finish the clip")
        output, sound = running.output()
        self._reel.add(index, list(self._added(running, output.frames, monitor)), sound)
        self._begin(index + 1, self._row.next(index + 1, self._before(index + 1), running.segment))
        if self._folder is not None:
            conditioning_file(self._folder, index).unlink(missing_ok=True)
        return self._place

    def finish(self, monitor: RunMonitor) -> RunResult:
        """Decode the last segment and deliver the whole clip (frames are decoded while they are taken).

        Raises:
            RunnerError: it is not denoised to its end.
        """
        running, index, request = self._denoised(), self._place.segment, self._row.request
        if not self._place.last:
            raise RunnerError(f"segment {index + 1} of {self._place.segments} is not the last one")
        monitor.stage(Stage.DECODING)
        output, sound = running.output()
        last = self._added(running, output.frames, monitor)
        # A chain's joins are measured, for which the last segment's first pictures are decoded now.
        begun, last = ahead(last) if index else ((), last)
        fps = request.plan.native.fps
        self._open = delivered(chain(self._reel.frames(index), last), request.plan)
        sounds = [*self._reel.sounds(index), *([] if sound is None else [sound])]
        return RunResult(
            frames=self._open,
            notes=(*self._row.notes(), *notes_of(joins_of(self._reel, index, begun))),
            audio=joined(sounds, overlap=self._row.overlap / fps, each=self._row.made / fps)
            or self._carried(),
        )

    def close(self) -> None:
        """Let go of what this process holds of it; the folder stays."""
        if self._running is not None:
            self._running.call.close()
            self._running = None
        close = getattr(self._open, "close", None)
        if close is not None:
            close()
        self._open = None

    def _added(self, running: Underway, latents: torch.Tensor, monitor: RunMonitor) -> Iterator[Frame]:
        """What the segment adds to the clip."""
        return own_frames(
            self._watched(running.decoded(latents), monitor),
            segment=self._place.segment,
            native=self._row.made,
            overlap=self._row.overlap,
        )

    def _watched(self, chunks: Iterator[list[Frame]], monitor: RunMonitor) -> Iterator[Frame]:
        """A sign of life, and a look at the cancel flag, with every few pictures."""
        place = self._place
        for frames in chunks:
            monitor.step(place.done, place.total)
            yield from frames

    def _carried(self) -> Sound | None:
        """The driving video's own sound, where the card says that its clips have it."""
        request = self._row.request
        if request.driving_video is None or self._loaded.card.controls.audio_out == "none":
            return None
        return read_sound(request.driving_video, request.plan.effective.seconds)

    # --- states ------------------------------------------------------------------------------

    def _under_way(self) -> Underway:
        if self._running is None:
            raise RunnerError("the clip was closed")
        return self._running

    def _denoised(self) -> Underway:
        place = self._place
        if not place.denoised:
            raise RunnerError(f"{place.step} of {place.steps} steps are done; denoise the rest first")
        return self._under_way()
