# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
EmoNet as a PyTorch module, written from a description of the architecture.

A. Toisoul, J. Kossaifi, A. Bulat, G. Tzimiropoulos, M. Pantic: Estimation of continuous valence
and arousal levels from faces in naturalistic conditions, Nature Machine Intelligence 3 (2021). A
face alignment network (two stacked hourglasses that give heatmaps of 68 landmarks) looks at the
face; its features, weighted with where the landmarks are, go through an emotion head.

The names in the state_dict are those of the published checkpoints, which users bring themselves.
This module needs PyTorch 2.1 or newer; nothing else of aitable imports it before it is needed.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from aitable_ros.inference.engine import one_line
from aitable_ros.model_zoo.emonet.contract import CLASS_COUNTS, INPUT_SIZE_PX

LANDMARK_HEATMAPS = 68
"""Landmarks of the face alignment network, in the order of 300-W."""

MAX_FILE_BYTES = 128 * 2**20
"""Larger files cannot be checkpoints of EmoNet, which have 56 MB, and are not read."""

_MODULES = 2
_DEPTH = 4
_FEATURES = 256
_PREFIX = 'module.'
_COUNTER = 'num_batches_tracked'
_LISTED = 8

# For random weights. Heatmaps of a trained network are near 0 almost everywhere.
_HEATMAP_GAIN = 0.1
_CALIBRATION_IMAGES = 2

# How the two file formats of torch.save begin: since PyTorch 1.6, and before (a pickled number).
_ZIP_MAGIC = b'PK\x03\x04'
_LEGACY_MAGIC = b'\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.'


class EmoNetWeightsError(ValueError):
    """A file does not hold the weights of EmoNet; the message says what is wrong with it."""


class ConvBlock(nn.Module):
    """
    Three convolutions in a row, whose outputs are joined and added to the input.

    Each is preceded by batch norm and ReLU. (Bulat & Tzimiropoulos 2017, arXiv:1703.00862.)

    :param inputs: channels in.
    :param outputs: channels out: a half, a quarter and a quarter from the three convolutions.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample: nn.Sequential | None = None
        if inputs != outputs:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        first = self.conv1(functional.relu(self.bn1(x)))
        second = self.conv2(functional.relu(self.bn2(first)))
        third = self.conv3(functional.relu(self.bn3(second)))
        residual = x if self.downsample is None else self.downsample(x)
        return torch.cat((first, second, third), dim=1) + residual


class Hourglass(nn.Module):
    """
    Features at four scales, from coarse to fine, in one map (Newell et al. 2016).

    The blocks are attributes ``b1_4`` ... ``b3_1`` and ``b2_plus_1``, 4 being the finest scale.
    """

    def __init__(self) -> None:
        super().__init__()
        for level in range(_DEPTH, 0, -1):
            for branch in ('b1', 'b2', 'b3'):
                self.add_module(f'{branch}_{level}', ConvBlock(_FEATURES, _FEATURES))
        self.b2_plus_1 = ConvBlock(_FEATURES, _FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 256, H, W), H and W multiples of 16, to the same shape."""
        return self._level(_DEPTH, x)

    def _level(self, level: int, x: Tensor) -> Tensor:
        upper = self.get_submodule(f'b1_{level}')(x)
        lower = self.get_submodule(f'b2_{level}')(functional.max_pool2d(x, 2))
        lower = self._level(level - 1, lower) if level > 1 else self.b2_plus_1(lower)
        lower = self.get_submodule(f'b3_{level}')(lower)
        return upper + functional.interpolate(lower, scale_factor=2.0, mode='nearest')


class EmoNet(nn.Module):
    """
    The network. Weights are PyTorch's initial ones; see :func:`load_emonet`.

    :param classes: number of expressions: 8 (neutral, happy, sad, surprise, fear, disgust, anger,
        contempt) or 5 (the first four and anger).
    :raises ValueError: for another number.
    """

    def __init__(self, classes: int = 8) -> None:
        super().__init__()
        if classes not in CLASS_COUNTS:
            raise ValueError(f'expected 8 or 5 classes, got {classes}')
        self.classes = classes
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = ConvBlock(64, 128)
        self.conv3 = ConvBlock(128, 128)
        self.conv4 = ConvBlock(128, _FEATURES)
        for k in range(_MODULES):
            self.add_module(f'm{k}', Hourglass())
            self.add_module(f'top_m_{k}', ConvBlock(_FEATURES, _FEATURES))
            self.add_module(f'conv_last{k}', nn.Conv2d(_FEATURES, _FEATURES, 1))
            self.add_module(f'bn_end{k}', nn.BatchNorm2d(_FEATURES))
            self.add_module(f'l{k}', nn.Conv2d(_FEATURES, LANDMARK_HEATMAPS, 1))
        self.bl0 = nn.Conv2d(_FEATURES, _FEATURES, 1)
        self.al0 = nn.Conv2d(LANDMARK_HEATMAPS, _FEATURES, 1)
        self.conv1x1_input_emo_2 = nn.Conv2d((1 + _MODULES) * _FEATURES, _FEATURES, 1)
        emotion: list[nn.Module] = []
        for _ in range(4):
            emotion += [ConvBlock(_FEATURES, _FEATURES), nn.MaxPool2d(2)]
        self.emo_net_2 = nn.Sequential(*emotion)
        self.avg_pool_2 = nn.AvgPool2d(4)
        self.emo_fc_2 = nn.Sequential(
            nn.Linear(_FEATURES, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, classes + 2)
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """
        Apply the network.

        :param image: (N, 3, 256, 256) float, RGB, 0..1.
        :returns: ``heatmap`` (N, 68, 64, 64); ``expression`` (N, classes) logits; ``valence``
            and ``arousal`` (N,), about -1..1 but not clamped.
        """
        x = functional.relu(self.bn1(self.conv1(image)))
        x = functional.max_pool2d(self.conv2(x), 2)
        x = self.conv4(self.conv3(x))

        first, heatmap = self._stage(0, x)
        first = self.bl0(first)
        second, heatmap = self._stage(1, x + first + self.al0(heatmap))

        attention = heatmap.sum(dim=1, keepdim=True)
        features = torch.cat((x, torch.cat((first, second), dim=1) * attention), dim=1)
        features = self.emo_net_2(self.conv1x1_input_emo_2(features))
        result = self.emo_fc_2(self.avg_pool_2(features).flatten(1))
        return {
            'heatmap': heatmap,
            'expression': result[:, : self.classes],
            'valence': result[:, self.classes],
            'arousal': result[:, self.classes + 1],
        }

    def _stage(self, k: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, 256, H, W) and heatmaps (N, 68, H, W) of one hourglass."""
        for name in (f'm{k}', f'top_m_{k}', f'conv_last{k}', f'bn_end{k}'):
            x = self.get_submodule(name)(x)
        x = functional.relu(x)
        return x, self.get_submodule(f'l{k}')(x)


@dataclass(frozen=True)
class EmoNetWeights:
    """
    A checkpoint, loaded and checked.

    :param model: the network with these weights, in evaluation mode, without gradients.
    :param content: the file, as it was read.
    :param sha256: of the file, in hex.
    """

    model: EmoNet
    content: bytes = field(repr=False)
    sha256: str


def load_emonet(path: str | Path, *, classes: int | None = None) -> EmoNetWeights:
    """
    Load a checkpoint, all of it and nothing else.

    The file is read once and never executed: only tensors in plain containers are accepted
    (``torch.load(weights_only=True)``, in the formats that ``torch.save`` has written). Names,
    shapes and types must be the network's; a leading ``module.`` (of ``nn.DataParallel``) is
    dropped, and only the counters ``num_batches_tracked`` may be missing. The number of classes
    follows from the shapes.

    :param path: for instance ``emonet_8.pth``.
    :param classes: how many classes it must have; None for any published number.
    :raises EmoNetWeightsError: when it cannot be read, is not a checkpoint, is truncated, holds
        anything but tensors, or differs from the network; the message lists the differences.
    """
    try:
        with Path(path).open('rb') as file:
            content = file.read(MAX_FILE_BYTES + 1)
        model = _assemble(_state(content), classes)
    except OSError as error:
        raise EmoNetWeightsError(f'{path}: cannot be read: {error.strerror or error}') from error
    except EmoNetWeightsError as error:
        raise EmoNetWeightsError(f'{path}: {error}') from error
    return EmoNetWeights(model, content, hashlib.sha256(content).hexdigest())


def _state(content: bytes) -> dict[str, Tensor]:
    """Unpack a checkpoint without executing anything of it."""
    if len(content) > MAX_FILE_BYTES:
        raise EmoNetWeightsError(
            f'is larger than {MAX_FILE_BYTES >> 20} MiB, which no EmoNet checkpoint is'
        )
    if content.startswith(_ZIP_MAGIC):
        # Entries may be compressed, so that a small file can unpack to any size.
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            raise EmoNetWeightsError(f'is truncated or damaged: {error}') from error
        if unpacked > MAX_FILE_BYTES:
            raise EmoNetWeightsError(f'would unpack to {unpacked} bytes')
    elif not content.startswith(_LEGACY_MAGIC):
        raise EmoNetWeightsError(
            f'is not a PyTorch checkpoint: it begins with {content[:8]!r} ({len(content)} bytes)'
        )
    # From memory, because from a file older versions of torch.load also try the tar format,
    # whose contents they execute even with weights_only (CVE-2025-32434).
    try:
        loaded = torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)
    except Exception as error:  # its errors on damaged files are of many types
        reason = one_line(error)[:300]
        raise EmoNetWeightsError(
            'cannot be loaded: it is damaged, or holds something other than tensors, which is not'
            f' executed ({type(error).__name__}: {reason})'
        ) from error
    if not isinstance(loaded, Mapping):
        raise EmoNetWeightsError(
            f'expected a mapping of names to tensors, found {type(loaded).__name__}'
        )
    state: dict[str, Tensor] = {}
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise EmoNetWeightsError(
                f'expected a mapping of names to tensors, found {str(key)[:60]!r}:'
                f' {type(value).__name__}'
            )
        name = key.removeprefix(_PREFIX)
        if name in state:
            raise EmoNetWeightsError(f'{name} is there with and without {_PREFIX!r}')
        state[name] = value
    return state


def _assemble(state: Mapping[str, Tensor], classes: int | None) -> EmoNet:
    found = _classes_of(state)
    if classes is not None and found is not None and found != classes:
        raise EmoNetWeightsError(f'is of the {found}-class network, not of the {classes}-class')
    # Without memory of its own: every tensor is to come from the file.
    with torch.device('meta'):
        model = EmoNet(found or classes or CLASS_COUNTS[0])
    expected = model.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith(_COUNTER)]
    unexpected = [name for name in state if name not in expected]
    wrong = [
        f'{name} is {_describe(state[name])}, not {_describe(tensor)}'
        for name, tensor in expected.items()
        if name in state and _describe(state[name]) != _describe(tensor)
    ]
    found_wrong = {'missing': missing, 'unexpected': unexpected, 'of another shape or type': wrong}
    problems = [f'{len(n)} {kind}: {_some(n)}' for kind, n in found_wrong.items() if n]
    if problems:
        raise EmoNetWeightsError(f'is not a checkpoint of EmoNet: {"; ".join(problems)}')
    # Contiguous copies: tensors of a file may share memory or overlap in it.
    own = {
        name: state[name].detach().clone(memory_format=torch.contiguous_format)
        if name in state
        else torch.zeros((), dtype=tensor.dtype)
        for name, tensor in expected.items()
    }
    bad = [name for name, tensor in own.items() if not _is_sound(name, tensor)]
    if bad:
        raise EmoNetWeightsError(
            f'{len(bad)} hold NaN, infinite or impossible values: {_some(bad)}'
        )
    model.load_state_dict(own, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def _classes_of(state: Mapping[str, Tensor]) -> int | None:
    """Tell the number of classes from the last layer; None where that is no published one."""
    last = state.get('emo_fc_2.3.bias')
    classes = last.shape[0] - 2 if last is not None and last.dim() == 1 else None
    return classes if classes in CLASS_COUNTS else None


def _describe(tensor: Tensor) -> str:
    layout = '' if tensor.layout == torch.strided else f' ({tensor.layout})'
    return f'{str(tensor.dtype).removeprefix("torch.")}{list(tensor.shape)}{layout}'


def _is_sound(name: str, tensor: Tensor) -> bool:
    if name.endswith(_COUNTER):
        return True
    sound = bool(torch.isfinite(tensor).all())
    return sound and not (name.endswith('running_var') and bool((tensor < 0).any()))


def _some(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ', '.join(names[:_LISTED]) + (f' and {more} more' if more > 0 else '')


def random_emonet(classes: int = 8, seed: int = 0) -> EmoNet:
    """
    Return the network with random weights, for tests and benchmarks.

    Weights are drawn after He et al. (2015). Batch-norm statistics are set layer by layer to
    those of the activations that a few smooth random images cause, and then moved at random, so
    that activations stay near unit size through all layers, as in a trained network, and no
    statistic has a value that a mistake would not show.

    :param classes: 8 or 5.
    :param seed: the same seed gives the same weights, up to rounding between machines.
    :returns: the network in evaluation mode, without gradients.
    """
    generator = torch.Generator().manual_seed(seed)
    model = EmoNet(classes).requires_grad_(False)

    def normal(tensor: Tensor, std: float, mean: float = 0.0) -> None:
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * std + mean)

    norms: list[nn.BatchNorm1d | nn.BatchNorm2d] = []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            gain = _HEATMAP_GAIN if name in ('l0', 'l1') else 1.0
            normal(module.weight, gain * math.sqrt(2.0 / math.prod(module.weight.shape[1:])))
            if module.bias is not None:
                normal(module.bias, 0.1 * gain)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            normal(module.weight, 0.15, 1.0)
            normal(module.bias, 0.2)
            module.momentum = None  # the mean over all batches, of which there is one
            norms.append(module)
    coarse = torch.rand((_CALIBRATION_IMAGES, 3, 16, 16), generator=generator)
    images = functional.interpolate(
        coarse, size=(INPUT_SIZE_PX, INPUT_SIZE_PX), mode='bicubic', align_corners=False
    ).clamp(0.0, 1.0)
    model.train()(images)
    for norm in norms:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        if isinstance(norm, nn.BatchNorm1d):
            # One number per image: the variance of a few of them says little.
            variance += mean**2
        mean += 0.1 * variance.sqrt() * torch.randn(mean.shape, generator=generator)
        variance *= 0.8 + 0.4 * torch.rand(mean.shape, generator=generator)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.zero_()
        norm.momentum = 0.1
    return model.eval()
