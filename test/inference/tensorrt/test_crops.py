# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Regions cut out on the GPU: the same pixels as OpenCV's, and no more sent than they need."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from tensorrt_fixtures import SPEC, toy_network
from warped import some_maps, warp

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt import crops
from aitable_ros.inference.tensorrt.engine import TensorRtEngine

REAL_COMPILE = crops.compile_kernel.__wrapped__  # the fixtures replace it
PICTURE = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)


def by_opencv(image, maps, size, *, replicate):
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack(
        [cv2.warpAffine(image, m, size[::-1], flags=flags, borderMode=border) for m in maps]
    )


def kernel_on_the_cpu(folder):
    """Compile the kernel's text as C++, and return what runs it as :func:`warp` does."""
    compiler = shutil.which('g++') or shutil.which('c++')
    if compiler is None:
        pytest.skip('no C++ compiler')
    (folder / 'cut.cpp').write_text(
        """
        #include <algorithm>
        #include <cmath>
        #define __global__
        using std::min; using std::max;
        struct Index { int x, y, z; };
        static Index blockIdx, blockDim{1, 1, 1}, threadIdx{0, 0, 0};
        static int __double2int_rn(double value) { return (int)std::nearbyint(value); }
        """
        + crops.SOURCE
        + """
        extern "C" void all(const unsigned char* rows, int width, int height, int first,
            const double* maps, unsigned char* out, int columns, int lines, int replicate, int n)
        {
            for (int z = 0; z < n; ++z) for (int y = 0; y < lines; ++y)
                for (int x = 0; x < columns; ++x) {
                    blockIdx = {x, y, z};
                    cut(rows, width, height, first, maps, out, columns, lines, replicate);
                }
        }
        """
    )
    library = folder / 'cut.so'
    command = (compiler, '-O1', '-ffp-contract=off', '-shared', '-fPIC', folder / 'cut.cpp')
    subprocess.run([*command, '-o', library], check=True)
    run = ctypes.CDLL(str(library)).all

    def cut(image, maps, size, *, replicate):
        out = np.zeros((len(maps), *size, 3), np.uint8)
        needed = crops.rows_needed(maps, size, image.shape[0])
        rows = image[needed].copy()
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (rows, maps, out)]
        run(
            *(pointers[0], image.shape[1], image.shape[0], needed.start, *pointers[1:]),
            *(size[1], size[0], int(replicate), len(maps)),
        )
        return out

    return cut


@pytest.mark.parametrize('replicate', [True, False])
def test_the_kernel_gives_the_pixels_of_opencv(tmp_path, replicate):
    cut = kernel_on_the_cpu(tmp_path)
    for size, seed in (((48, 48), 0), ((20, 32), 1)):
        maps = some_maps(60, size[1], PICTURE.shape[:2], seed)
        want = by_opencv(PICTURE, maps, size, replicate=replicate)
        np.testing.assert_array_equal(cut(PICTURE, maps, size, replicate=replicate), want)
        # what the tests on the GPU compare with
        np.testing.assert_array_equal(warp(PICTURE, maps, size, replicate=replicate), want)


@pytest.mark.parametrize(
    ('top', 'rows'), [(10, (9, 16)), (-100, (0, 1)), (-2, (0, 4)), (86, (85, 90)), (500, (89, 90))]
)
def test_only_the_rows_that_regions_touch_are_sent(top, rows):
    plain = np.array([[[1.0, 0.0, 3.0], [0.0, 1.0, top]]])
    needed = crops.rows_needed(plain, (4, 6), 90)
    assert (needed.start, needed.stop) == rows


@pytest.mark.parametrize('cuda_graph', [True, False])
@pytest.mark.parametrize('mapped', [True, False])
def test_answers_are_those_for_the_crops(gpu, trt, path, cuda_graph, mapped):
    how = {'cuda_graph': cuda_graph, 'mapped_memory': mapped}
    with TensorRtEngine(SPEC, path, gpu_crops=True, **how) as engine:
        assert engine.cuts_crops
        for count, replicate in ((1, True), (4, False), (9, True), (1, False)):  # 4 are a piece
            maps = some_maps(count, 6, PICTURE.shape[:2], seed=count)
            want = toy_network(by_opencv(PICTURE, maps, (4, 6), replicate=replicate))
            got = engine.infer_crops(PICTURE, maps, replicate=replicate)['sums']
            np.testing.assert_array_equal(got, want)
        bgr = np.ascontiguousarray(PICTURE[..., ::-1])
        again = engine.infer_crops(bgr[..., ::-1], maps, replicate=replicate)['sums']
        np.testing.assert_array_equal(again, want)  # also where the picture is a view
        images = by_opencv(PICTURE, maps, (4, 6), replicate=True)
        np.testing.assert_array_equal(engine.infer({'image': images})['sums'], toy_network(images))
    assert not gpu.live


def test_misuse_is_refused(gpu, trt, path):
    maps = some_maps(1, 6, PICTURE.shape[:2])
    with TensorRtEngine(SPEC, path) as engine:
        assert not engine.cuts_crops
        with pytest.raises(InferenceError, match='without gpu_crops'):
            engine.infer_crops(PICTURE, maps, replicate=True)
    with TensorRtEngine(SPEC, path, gpu_crops=True) as engine:
        for image in (PICTURE / 255, PICTURE[..., 0], PICTURE[:0]):
            with pytest.raises(InferenceError, match=r'expected uint8\[H,W,3\]'):
                engine.infer_crops(image, maps, replicate=True)
        for wrong in (maps[0], maps[:0], maps * np.nan):
            with pytest.raises(InferenceError, match='expected finite maps'):
                engine.infer_crops(PICTURE, wrong, replicate=True)
        engine.infer_crops(PICTURE, maps, replicate=True)
    with pytest.raises(InferenceError, match='after close'):
        engine.infer_crops(PICTURE, maps, replicate=True)


def test_an_engine_that_takes_no_pixels_cannot_cut_crops(gpu, trt, path):
    trt.plan.tensors['image'] = ('in', 'FLOAT', (-1, 4, 6, 3))
    with pytest.raises(InferenceError, match=r'gpu_crops needs an engine that takes uint8'):
        TensorRtEngine(SPEC, path, gpu_crops=True)
    assert not gpu.live


def test_without_nvrtc_it_says_what_to_install(gpu, trt, path, monkeypatch):
    monkeypatch.setattr(crops, 'compile_kernel', REAL_COMPILE)
    monkeypatch.setattr(crops, '_library_names', lambda: ['libno_such_nvrtc.so'])
    with pytest.raises(
        InferenceError, match=r'gpu_crops cannot be had: .* libnvrtc .*pip install'
    ):
        TensorRtEngine(SPEC, path, gpu_crops=True)
    assert not gpu.live
