"""Measure one case on one device. Models are kept between cases and built anew when a lever spoilt them."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.gpu.building import build, parameters
from benchmarks.gpu.caching import caches
from benchmarks.gpu.cases import Case
from benchmarks.gpu.closeness import error_of
from benchmarks.gpu.codec import CODEC_EAGER, CODEC_LEVERS, codec, decoded, random_latents, searching
from benchmarks.gpu.costing import decode_flops, predicted, step_flops
from benchmarks.gpu.inputs import NOISY, Calls, Inputs, converted, forward, random_inputs
from benchmarks.gpu.levers import EAGER, LEVERS, Lever, Unavailable, lay, missing
from benchmarks.gpu.peaks import Peak
from benchmarks.gpu.subjects import Shape, Subject
from benchmarks.gpu.timing import figures, measure

Record = Mapping[str, Any]

_LEVERS = {lever.key: lever for lever in LEVERS}
_CODEC_LEVERS = {lever.key: lever for lever in CODEC_LEVERS}
_GUESS_FLOPS = 300e12
"""Rate by which a case's time is guessed before anything was measured on a GPU: what H100s reach on Wan."""
_COMPILE_S = 60.0
_BUILD_S = 10.0


@dataclass(slots=True)
class Bench:
    """What is held on the device between cases.

    Attributes:
        device: Where.
        dtype: Of transformers.
        peak: Of the device; None where it is not known.
        repeats: Timed runs of each case.
        steps: Of the run that caches are measured over.
    """

    device: torch.device
    dtype: torch.dtype
    peak: Peak | None
    repeats: int
    steps: int
    _model: tuple[Subject, Any] | None = None
    _reference: tuple[tuple[str, Shape, str], list[torch.Tensor]] | None = None
    _missing: dict[str, str | None] = field(default_factory=dict)

    def run(self, case: Case) -> Record:
        """Measure a case.

        Returns:
            A record with `status` `measured`, `missing` (the machine or model has not what it needs) or
            `failed` (with the error); never an exception, so that one lever cannot end the run.
        """
        began = time.monotonic()
        try:
            record = self._run(case)
        except Unavailable as error:
            record = {"status": "missing", "reason": str(error)}
        except Exception as error:  # noqa: BLE001 - a lever that fails is a result
            self.free()
            lines = str(error).strip().splitlines()
            record = {"status": "failed", "error": f"{type(error).__name__}: {lines[0] if lines else ''}"}
        return {**record, "took_s": round(time.monotonic() - began, 2)}

    def guess_s(self, case: Case, eager_step_s: float | None) -> float:
        """Seconds that a case will probably take, building included.

        Args:
            case: What.
            eager_step_s: A measured step of the same model and shape, where there is one.
        """
        if self.device.type != "cuda":
            return 0.0
        if case.what == "decode":
            return _BUILD_S + 4.0 * case.shape.width * case.shape.height * case.shape.frames * 30e6 / 100e12
        step = eager_step_s or step_flops(case.subject, case.shape).total / _GUESS_FLOPS
        if case.what == "rounding":
            return _BUILD_S + 25.0 * step  # float32 without tensor cores
        if case.what == "caches":
            return _BUILD_S + 4.0 * self.steps * step
        lever = _LEVERS[case.lever]
        # Warm-up, timed runs, and the reference once more when another case came between.
        return _BUILD_S + (_COMPILE_S if lever.compiles else 0.0) + (2 + self.repeats) * step

    def free(self) -> None:
        """Give the device's memory back."""
        self._model = self._reference = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # --- one kind of case each ---------------------------------------------------------------

    def _run(self, case: Case) -> Record:
        if case.what == "step":
            return self._step(case.subject, case.shape, _LEVERS[case.lever])
        if case.what == "decode":
            return self._decode(case)
        if case.what == "rounding":
            return self._rounding(case)
        return self._caches(case)

    def _step(self, subject: Subject, shape: Shape, lever: Lever) -> Record:
        if lever.key not in self._missing:
            self._missing[lever.key] = missing(lever, self.device, self.dtype)
        if (reason := self._missing[lever.key]) is not None:
            return {"status": "missing", "reason": reason}
        reference = None if lever is EAGER else self._eager(subject, shape)
        model = self._transformer(subject)
        calls, size = self._calls(subject, shape), parameters(model)
        kept: list[torch.Tensor] = []
        began = time.monotonic()
        undo = lay(model, lever, self.device)
        try:
            forward(model, calls[:1])
            laid = time.monotonic() - began

            def work() -> None:
                kept[:] = forward(model, calls)

            # What compiles or picks kernels for the second pass is not timed.
            timing = measure(work, self.device, repeats=self.repeats, warmups=1 if lever.compiles else 0)
        finally:
            undo()
            if lever.spoils:
                self._model = None
        if reference is None:
            self._reference, reference = ((subject.key, shape, EAGER.key), list(kept)), kept
        flops = step_flops(subject, shape)
        rate = flops.total / timing.median_s
        prediction = predicted(subject, shape, self.peak.gpu_type if self.peak else None)
        return {
            "status": "measured",
            "what": lever.what,
            **timing.told(),
            "first_forward_s": round(laid, 3),
            "tokens": subject.tokens(shape),
            "step_tflop": {
                "linear": figures(flops.linear / 1e12), "attention": figures(flops.attention / 1e12),
            },
            "tflop_per_s": figures(rate / 1e12),
            "share_of_peak": figures(rate / self.peak.bfloat16) if self.peak else None,
            "predicted_s": figures(prediction.step_s) if prediction else None,
            "error": error_of(kept, reference).told(),
            "parameters": size,
        }  # fmt: skip

    def _decode(self, case: Case) -> Record:
        lever = _CODEC_LEVERS[case.lever]
        self._model = None
        truth = self._decoded(case.subject, case.shape)
        made = codec(case.subject, lever, self.device)
        latents = random_latents(case.subject, case.shape, lever, self.device)
        kept: list[torch.Tensor] = []

        def work() -> None:
            kept[:] = [decoded(made, latents)]

        with searching(lever):
            timing = measure(work, self.device, repeats=min(2, self.repeats))
        prediction = predicted(case.subject, case.shape, self.peak.gpu_type if self.peak else None)
        flops = decode_flops(case.subject, case.shape)
        return {
            "status": "measured",
            "what": lever.what,
            **timing.told(),
            "predicted_s": figures(prediction.decode_s) if prediction else None,
            "tflop_per_s": figures(flops / timing.median_s / 1e12) if flops else None,
            "error": error_of(kept, [tensor.to(self.device) for tensor in truth]).told(),
        }

    def _rounding(self, case: Case) -> Record:
        outputs = forward(self._transformer(case.subject), calls := self._calls(case.subject, case.shape))
        exact = self._transformer(case.subject).float()
        self._model = None
        truth = forward(exact, converted(calls, torch.float32))
        return {
            "status": "measured",
            "what": "eager in bfloat16 against the same weights in float32",
            "error": error_of(outputs, truth).told(),
        }

    def _caches(self, case: Case) -> Record:
        model = self._transformer(case.subject)
        inputs = self._inputs(case.subject, case.shape)
        found = caches(model, inputs, self.device, self.steps)
        return {
            "status": "measured",
            "what": "step-driven caches over one denoising run; ratios of these random weights",
            **{
                name: {
                    "steps": cached.steps,
                    "skipped": round(cached.skipped, 2),
                    "seconds_per_step": figures(cached.seconds_per_step),
                    "eager_seconds_per_step": figures(cached.eager_seconds_per_step),
                    "error": cached.error.told(),
                }
                for name, cached in found.items()
            },
        }

    # --- what cases share --------------------------------------------------------------------

    def _transformer(self, subject: Subject) -> Any:
        if self._model is None or self._model[0] is not subject:
            self._drop_model()
            self._model = (subject, build(subject.transformer, subject.config, self.device, self.dtype))
        return self._model[1]

    def _drop_model(self) -> None:
        self._model = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _inputs(self, subject: Subject, shape: Shape) -> Inputs:
        return random_inputs(subject, shape, self.device, self.dtype)

    def _calls(self, subject: Subject, shape: Shape) -> Calls:
        inputs = self._inputs(subject, shape)
        return inputs.calls(inputs.noise, NOISY)

    def _eager(self, subject: Subject, shape: Shape) -> list[torch.Tensor]:
        """The outputs that levers are compared with; computed again after another case came between."""
        key = (subject.key, shape, EAGER.key)
        if self._reference is None or self._reference[0] != key:
            outputs = forward(self._transformer(subject), self._calls(subject, shape))
            self._reference = (key, outputs)
        return self._reference[1]

    def _decoded(self, subject: Subject, shape: Shape) -> list[torch.Tensor]:
        key = (subject.key, shape, "decode")
        if self._reference is None or self._reference[0] != key:
            made = codec(subject, CODEC_EAGER, self.device)
            latents = random_latents(subject, shape, CODEC_EAGER, self.device)
            # On the host: a clip of floats is large, and the peak of each lever is told.
            self._reference = (key, [decoded(made, latents).cpu()])
        return self._reference[1]
