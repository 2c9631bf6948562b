# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""EmoNet on PyTorch, run in the usual ways, for the benchmark to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from aitable_ros.model_zoo.emonet.network import EmoNet, random_emonet
from aitable_ros.tools.benchmark.timing import Runner, joined

VARIANTS: Mapping[str, tuple[bool, bool, bool]] = MappingProxyType(
    {
        'torch fp32': (False, False, False),
        'torch fp16': (True, False, False),
        'torch fp16 graph': (True, True, False),
        'torch fp16 graph nhwc': (True, True, True),
    }
)
"""By name: half precision, CUDA graph, channels-last memory format."""

_CAPTURE_WARM_UPS = 3  # PyTorch, 'CUDA semantics': run a few times on a side stream, then capture


def variants() -> tuple[str, ...]:
    """Return those that this machine can run: on the CPU, FP32 alone."""
    return tuple(VARIANTS) if torch.cuda.is_available() else ('torch fp32',)


def reference_answers(images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """
    Return what the network answers in FP32 on the CPU, one image at a time.

    :param images: (K, 256, 256, 3) RGB.
    :returns: (K, ...) by output of :func:`aitable_ros.model_zoo.emonet.contract.emonet_spec`.
    """
    model = random_emonet()
    return joined([_answers(_forward(model, torch.from_numpy(image[None]))) for image in images])


def _forward(
    model: EmoNet, pixels: torch.Tensor, *, half: bool = False, channels_last: bool = False
) -> dict[str, torch.Tensor]:
    """Scale uint8 (N, H, W, 3) and run the network, where the pixels are."""
    image = pixels.permute(0, 3, 1, 2).to(torch.float16 if half else torch.float32) / 255
    layout = torch.channels_last if channels_last else torch.contiguous_format
    with torch.inference_mode():
        return model(image.contiguous(memory_format=layout))


def _answers(outputs: Mapping[str, torch.Tensor]) -> dict[str, npt.NDArray[np.float32]]:
    return {
        name: outputs[name].float().cpu().numpy().reshape(len(outputs[name]), -1)
        for name in ('expression', 'valence', 'arousal')
    }


class TorchRunner(Runner):
    """
    EmoNet with the random weights of seed 0: images on the host in, arrays on the host out.

    The eager variants are what one writes first: pixels to the device, scaled there, one kernel
    launched after the other, outputs to the host. The graph variants do all of it on pinned
    memory and launch it as one CUDA graph per batch size, which is the best that PyTorch gives
    without a compiler.

    :param variant: a key of :data:`VARIANTS`.
    :raises RuntimeError: when PyTorch cannot, for example without a GPU.
    """

    def __init__(self, variant: str) -> None:
        self.label = variant
        self._half, self._use_graph, self._channels_last = VARIANTS[variant]
        self.on_gpu = torch.cuda.is_available()
        if self._half and not self.on_gpu:
            raise RuntimeError(f'{variant} needs a CUDA device')
        self._device = torch.device('cuda' if self.on_gpu else 'cpu')
        torch.backends.cudnn.benchmark = True  # shapes are fixed: let it choose the kernels
        model = random_emonet().to(self._device)
        if self._half:
            model = model.half()
        layout = torch.channels_last if self._channels_last else torch.contiguous_format
        self._model: EmoNet | None = model.to(memory_format=layout)  # type: ignore[call-overload]
        self._graphs: dict[int, _Graph] = {}
        self.details: dict[str, Any] = {
            'torch': str(torch.__version__),
            'tf32_convolutions': torch.backends.cudnn.allow_tf32 and not self._half,
        }

    def infer(self, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray]:
        """See :class:`Runner`; images (N, 256, 256, 3) RGB."""
        if self._use_graph:
            graph = self._graph(len(images))
            graph.pixels.numpy()[:] = images
            graph.graph.replay()
            torch.cuda.current_stream().synchronize()
            return {name: value.numpy().copy() for name, value in graph.answers.items()}
        return _answers(self._run(torch.from_numpy(images).to(self._device)))

    def device_s(self, batch: int) -> float | None:
        """See :class:`Runner`; what the GPU needs once its input is there."""
        if not self.on_gpu:
            return None
        pixels = torch.zeros((batch, 256, 256, 3), dtype=torch.uint8, device=self._device)
        graph = self._graph(batch) if self._use_graph else None
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        if graph is None:
            self._run(pixels)
        else:
            graph.graph.replay()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    def close(self) -> None:
        """See :class:`Runner`."""
        self._graphs.clear()
        self._model = None
        if self.on_gpu:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()

    def _run(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        assert self._model is not None
        return _forward(self._model, pixels, half=self._half, channels_last=self._channels_last)

    def _graph(self, batch: int) -> _Graph:
        if batch not in self._graphs:
            self._graphs[batch] = _Graph(self._run, batch)
        return self._graphs[batch]


class _Graph:
    """
    Copy-in, network and copy-out as one CUDA graph.

    :param run: the network on pixels on the device.
    :param batch: number of images.
    """

    def __init__(self, run: Callable[[torch.Tensor], dict[str, torch.Tensor]], batch: int) -> None:
        self.pixels = torch.zeros((batch, 256, 256, 3), dtype=torch.uint8, pin_memory=True)
        self._on_device = torch.zeros_like(self.pixels, device='cuda')
        self.answers = {
            name: torch.zeros((batch, values.shape[-1]), pin_memory=True)
            for name, values in _answers(run(self._on_device)).items()
        }
        self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(_CAPTURE_WARM_UPS):
                self._record(run)
        self._stream.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self._stream):
            self._record(run)

    def _record(self, run: Callable[[torch.Tensor], dict[str, torch.Tensor]]) -> None:
        self._on_device.copy_(self.pixels, non_blocking=True)
        outputs = run(self._on_device)
        for name, answer in self.answers.items():
            answer.copy_(outputs[name].float().reshape(answer.shape), non_blocking=True)
