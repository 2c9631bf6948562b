# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.selection import load_engine
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools.benchmark import inputs as benchmark_inputs
from aitable_ros.tools.benchmark.inputs import (
    BenchmarkInputsError,
    Cases,
    compare,
    load_cases,
    make_cases,
    save_cases,
    with_reference,
)

DETECTION = CONTRACTS['face_detection']  # a small network


def answers_of(cases: Cases) -> dict[str, npt.NDArray[np.float32]]:
    """Some answer to every image that depends on it."""
    means = cases.images.reshape(len(cases.images), -1).mean(axis=1, dtype=np.float32)
    shapes = {output.name: output.shape[1:] for output in DETECTION.outputs}
    return {
        name: np.multiply.outer(means, np.linspace(-1, 1, math.prod(shape)).reshape(shape)).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


@pytest.fixture(scope='module')
def cases() -> Cases:
    plain = make_cases(DETECTION)
    return Cases(plain.images, plain.crops, answers_of(plain), 'something right')


class TestImages:
    @pytest.mark.parametrize('name', CONTRACTS)
    def test_they_are_what_the_network_takes(self, name: str) -> None:
        spec = CONTRACTS[name]
        made = make_cases(spec)
        assert spec.inputs[0].accepts(made.images.shape)
        assert made.images.dtype == np.uint8
        assert made.crops == benchmark_inputs.CROPS
        assert len(made.images) == made.crops + benchmark_inputs.NOISE_IMAGES + 2
        assert made.images[-2].max() == 0
        assert made.images[-1].min() == 255

    def test_they_are_the_same_every_time_but_not_for_another_seed(self) -> None:
        first, again, other = (make_cases(DETECTION, seed).images for seed in (0, 0, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert len({image.tobytes() for image in first}) == len(first)

    @pytest.mark.models
    def test_the_crops_show_a_face(self, engines_dir: Path) -> None:
        spec = CONTRACTS['face_mesh']
        made = make_cases(spec)
        with load_engine(spec, 'litert', engines_dir=engines_dir).engine as engine:
            presence = engine.infer({'image': made.images})['presence'][:, 0]
        assert (presence[: made.crops] > 3.0).all()
        assert (presence[made.crops :] < 0.0).all()

    @pytest.mark.models
    def test_the_detector_finds_it_in_its_own(self, engines_dir: Path) -> None:
        spec = CONTRACTS['face_detection']
        made = make_cases(spec)
        with load_engine(spec, 'litert', engines_dir=engines_dir).engine as engine:
            scores = engine.infer({'image': made.images})['scores'].max(axis=(1, 2))
        assert (scores[: made.crops] > 1.0).all()

    @pytest.mark.parametrize('size', [1, 5, 8, 12, 20])
    def test_batches_hold_every_image(self, cases: Cases, size: int) -> None:
        batches = cases.batches(size)
        assert {batch.shape for batch in batches} == {(size, *cases.images.shape[1:])}
        assert all(batch.flags.c_contiguous for batch in batches)
        joined = np.concatenate(batches)
        assert np.array_equal(joined[: len(cases.images)], cases.images)


class TestDifferences:
    def test_none_from_itself(self, cases: Cases) -> None:
        found = compare(cases, cases.expected)
        assert found is not None
        assert (found['absolute'], found['relative']) == (0.0, 0.0)

    def test_the_output_that_is_furthest_off_for_its_range(self, cases: Cases) -> None:
        answers = {name: values.copy() for name, values in cases.expected.items()}
        answers['boxes'][3, 2, 1] += 0.5
        found = compare(cases, answers)
        assert found is not None
        assert found['output'] == 'boxes'
        assert found['absolute'] == pytest.approx(0.5, rel=1e-4)
        assert found['relative'] == pytest.approx(0.5 / np.ptp(cases.expected['boxes']), rel=1e-4)

    def test_the_range_reaches_to_zero(self, cases: Cases) -> None:
        expected = {'presence': np.array([[20.0], [21.0]], np.float32)}
        found = compare(Cases(cases.images[:2], 2, expected), {'presence': np.full((2, 1), 20.0)})
        assert found == {
            'output': 'presence',
            'absolute': 1.0,
            'relative': pytest.approx(1 / 21),
        }

    def test_only_the_rows_asked_for(self, cases: Cases) -> None:
        answers = {name: values.copy() for name, values in cases.expected.items()}
        answers['boxes'][-1] += 1.0
        on_faces = compare(cases, answers, slice(cases.crops))
        on_noise = compare(cases, answers, slice(cases.crops, None))
        assert on_faces is not None
        assert on_noise is not None
        assert on_faces['absolute'] == 0.0
        assert on_noise['absolute'] == pytest.approx(1.0, rel=1e-4)

    @pytest.mark.parametrize('value', [np.nan, np.inf])
    def test_what_is_not_finite_is_furthest_off(self, cases: Cases, value: float) -> None:
        answers = {name: values.copy() for name, values in cases.expected.items()}
        answers['boxes'][0, 0, 0] = value
        far = {'output': 'boxes', 'absolute': None, 'relative': None}
        assert compare(cases, answers) == far

    def test_nothing_to_compare_with(self, cases: Cases) -> None:
        assert compare(Cases(cases.images, 8), cases.expected) is None
        assert compare(cases, cases.expected, slice(0)) is None


class TestRecording:
    def test_comes_back_as_it_was(self, cases: Cases, tmp_path: Path) -> None:
        path = tmp_path / 'recorded'
        save_cases(path, {DETECTION.name: cases})
        back = load_cases(path, DETECTION)
        assert back is not None
        assert np.array_equal(back.images, cases.images)
        assert (back.crops, back.reference) == (cases.crops, cases.reference)
        assert back.expected.keys() == cases.expected.keys()
        assert all(np.array_equal(back.expected[k], cases.expected[k]) for k in back.expected)
        assert load_cases(path, CONTRACTS['face_mesh']) is None

    @pytest.mark.parametrize('content', [b'', b'text', b'PK\x03\x04 and no more'])
    def test_another_file_is_refused(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / 'other.npz'
        path.write_bytes(content)
        with pytest.raises(BenchmarkInputsError, match='no recorded reference'):
            load_cases(path, DETECTION)

    def test_a_truncated_one_is_refused(self, cases: Cases, tmp_path: Path) -> None:
        path = tmp_path / 'cut.npz'
        save_cases(path, {DETECTION.name: cases})
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(BenchmarkInputsError):
            load_cases(path, DETECTION)

    def test_one_for_other_tensors_is_refused(self, cases: Cases, tmp_path: Path) -> None:
        path = tmp_path / 'other.npz'
        wrong = {**cases.expected, 'boxes': cases.expected['boxes'][:, :4]}
        save_cases(path, {DETECTION.name: Cases(cases.images, cases.crops, wrong)})
        with pytest.raises(BenchmarkInputsError, match=r'expected boxes float32\[N,896,16\]'):
            load_cases(path, DETECTION)

    def test_objects_are_not_unpickled(self, tmp_path: Path) -> None:
        path = tmp_path / 'hostile.npz'
        with path.open('wb') as file:
            np.savez(file, **{f'{DETECTION.name}/images': np.array([object()], dtype=object)})
        with pytest.raises(BenchmarkInputsError, match='pickle'):
            load_cases(path, DETECTION)


def test_an_engine_s_own_answers_are_the_reference(cases: Cases) -> None:
    class Fixed:
        inputs, outputs = DETECTION.inputs, DETECTION.outputs

        def infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
            return answers_of(Cases(inputs['image'], 0))

    made = with_reference(Cases(cases.images, cases.crops), Fixed(), 'fixed')  # type: ignore[arg-type]
    assert made.reference == 'fixed'
    assert all(np.array_equal(made.expected[k], cases.expected[k]) for k in cases.expected)
