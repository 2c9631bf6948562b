# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The pictures that INT8 is calibrated on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_network import HEAD, toy

from aitable_ros.model_zoo.engine_building import calibration


class TestPictures:
    def test_are_brought_to_the_network_s_size(self, tmp_path: Path) -> None:
        import cv2

        picture = np.zeros((50, 80, 3), np.uint8)
        picture[..., 0] = 200  # blue, as OpenCV has it
        cv2.imwrite(str(tmp_path / 'a.png'), picture)
        images = calibration.load_images(tmp_path, 4, 6)
        assert images.shape == (1, 4, 6, 3)
        np.testing.assert_array_equal(images[0, 0, 0], [0, 0, 200])

    def test_are_limited_in_number(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(calibration, 'MAX_IMAGES', 5)
        np.save(tmp_path / 'a.npy', np.zeros((9, 2, 2, 3), np.uint8))
        assert len(calibration.load_images(tmp_path, 2, 2)) == 5

    @pytest.mark.parametrize(
        ('name', 'content', 'told'),
        [
            ('a.txt', b'', 'has no pictures'),
            ('a.png', b'no picture', 'cannot be read as a picture'),
            ('a.npy', b'no array', 'cannot be read'),
        ],
    )
    def test_that_are_none_are_an_error(
        self, tmp_path: Path, name: str, content: bytes, told: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(calibration.CalibrationError, match=told):
            calibration.load_images(tmp_path, 4, 4)

    def test_of_another_size_or_type_are_an_error(self, tmp_path: Path) -> None:
        np.save(tmp_path / 'a.npy', np.zeros((3, 5, 5, 3), np.uint8))
        with pytest.raises(calibration.CalibrationError, match=r'expected uint8\[N,4,4,3\]'):
            calibration.load_images(tmp_path, 4, 4)

    def test_a_folder_that_is_missing_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(calibration.CalibrationError, match='cannot be listed'):
            calibration.load_images(tmp_path / 'absent', 4, 4)

    @pytest.mark.parametrize(
        ('count', 'size', 'expected'),
        [(11, 4, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 0]]), (2, 8, [[0, 1]]), (1, 1, [[0]])],
    )
    def test_come_in_full_batches(self, count: int, size: int, expected: list[list[int]]) -> None:
        images = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)
        batches = calibration.Batches(images, size)
        assert [batch.ravel().tolist() for batch in batches] == expected
        assert len(batches) == len(expected)


def test_quantizing_puts_pairs_around_what_is_not_kept() -> None:
    import onnxruntime

    images = np.random.default_rng(0).integers(0, 256, (16, 4, 4, 3), np.uint8)
    model = toy()
    quantized = calibration.quantize(model, images, keep=set(HEAD))
    producers = {node.output[0]: node.op_type for node in quantized.graph.node}
    by_name = {node.name: node for node in quantized.graph.node}
    inputs = [producers.get(name) for name in by_name['Conv_2'].input[:2]]
    assert inputs == ['DequantizeLinear', 'DequantizeLinear']
    assert producers[by_name['Conv_4'].input[0]] == 'Relu'
    options = onnxruntime.SessionOptions()
    # x86 without VNNI: sums of two products of bytes saturate in 16 bits, unless told otherwise
    options.add_session_config_entry('session.x64quantprecision', '1')
    want, got = (
        onnxruntime.InferenceSession(
            m.SerializeToString(), options, providers=['CPUExecutionProvider']
        ).run(None, {'image': images})[0]
        for m in (model, quantized)
    )
    assert 0 < np.abs(got - want).max() < 0.05 * np.abs(want).max()
