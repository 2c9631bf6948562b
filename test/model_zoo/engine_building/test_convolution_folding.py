# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fewer and larger convolutions that give the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from aitable_ros.inference.engine import DYNAMIC, TensorSpec
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.conversion import tflite_to_onnx
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder
from aitable_ros.model_zoo.engine_building import convolution_folding
from aitable_ros.model_zoo.engine_building.convolution_folding import Folded, fold_convolutions
from aitable_ros.tools.benchmark.inputs import make_cases

onnxruntime = pytest.importorskip('onnxruntime')

CHANNELS = 4
Draw = Callable[..., npt.NDArray[np.float32]]


class Net:
    """A network of one image (N, 4, 8, 8), written layer by layer with random weights."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self.builder = GraphBuilder()
        self.image = 'image'

    def _draw(self, *shape: int) -> str:
        return self.builder.constant(self._rng.normal(0, 0.5, shape).astype(np.float32))

    def conv(
        self,
        x: str,
        weights: Sequence[int],
        *,
        group: int = 1,
        pads: Sequence[int] = (0, 0, 0, 0),
        strides: Sequence[int] = (1, 1),
        bias: bool = True,
        output: str | None = None,
    ) -> str:
        inputs = [x, self._draw(*weights), *([self._draw(weights[0])] if bias else [])]
        return self.builder.node(
            'Conv',
            inputs,
            output=output,
            group=group,
            pads=list(pads),
            strides=list(strides),
            kernel_shape=list(weights[2:]),
        )

    def separable(self, x: str, channels: int = CHANNELS, outputs: int = CHANNELS, **how: object):
        pads = how.pop('pads', (1, 1, 1, 1))
        deep = self.conv(x, (channels, 1, 3, 3), group=channels, pads=pads, **how)
        return self.conv(deep, (outputs, channels, 1, 1))

    def add(self, *x: str) -> str:
        return self.builder.node('Add', x)

    def pool(self, x: str) -> str:
        return self.builder.node('MaxPool', [x], kernel_shape=[2, 2], strides=[2, 2])

    def widen(self, x: str, by: int, value: float | None = None) -> str:
        amounts = self.builder.constant(np.array([0, 0, 0, 0, 0, by, 0, 0], np.int64))
        more = [] if value is None else [self.builder.constant(np.float32(value))]
        return self.builder.node('Pad', [x, amounts, *more])

    def prelu(self, x: str, channels: int = CHANNELS) -> str:
        return self.builder.node('PRelu', [x, self._draw(channels, 1, 1)])

    def model(self, output: str, shape: tuple[int, ...]) -> onnx.ModelProto:
        self.builder.node('Identity', [output], output='result')
        float32 = np.dtype(np.float32)
        return self.builder.model(
            'net',
            [TensorSpec('image', (DYNAMIC, CHANNELS, 8, 8), float32)],
            [TensorSpec('result', (DYNAMIC, *shape), float32)],
        )


@pytest.fixture
def net() -> Net:
    return Net()


def run(model: onnx.ModelProto, images: npt.NDArray) -> dict[str, npt.NDArray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in model.graph.output]
    return dict(zip(names, session.run(names, {'image': images})))


def same(net: Net, output: str, shape: tuple[int, ...], *, rectify: bool = True) -> Folded:
    """Fold, and check that the answers stay."""
    model = net.model(output, shape)
    before = model.SerializeToString(deterministic=True)
    folded = fold_convolutions(model, rectify=rectify)
    assert model.SerializeToString(deterministic=True) == before
    images = np.random.default_rng(1).normal(size=(2, CHANNELS, 8, 8)).astype(np.float32)
    want, got = run(model, images)['result'], run(folded.model, images)['result']
    assert np.abs(want).max() > 0.1
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    return folded


def operators(folded: Folded) -> Counter[str]:
    return Counter(node.op_type for node in folded.model.graph.node)


class TestSeparable:
    @pytest.mark.parametrize(
        ('strides', 'pads', 'outputs', 'size'),
        [
            ((1, 1), (1, 1, 1, 1), CHANNELS, 8),
            ((2, 2), (0, 0, 1, 1), 7, 4),
            ((2, 1), (1, 0, 1, 2), 3, 8),
        ],
    )
    def test_becomes_one_dense_convolution(
        self, net: Net, strides: tuple[int, int], pads: tuple[int, ...], outputs: int, size: int
    ) -> None:
        y = net.separable('image', outputs=outputs, strides=strides, pads=pads)
        rows = 4 if strides[0] == 2 else 8
        folded = same(net, y, (outputs, rows, size))
        assert (folded.separable, operators(folded)['Conv']) == (1, 1)

    def test_in_groups_and_without_bias_too(self, net: Net) -> None:
        deep = net.conv('image', (6, 2, 3, 3), group=2, pads=(1, 1, 1, 1), bias=False)
        folded = same(net, net.conv(deep, (5, 6, 1, 1), bias=False), (5, 8, 8))
        assert (folded.separable, operators(folded)['Conv']) == (1, 1)

    def test_stays_where_something_else_sees_the_middle(self, net: Net) -> None:
        deep = net.conv('image', (4, 1, 3, 3), group=4, pads=(1, 1, 1, 1))
        folded = same(net, net.add(net.conv(deep, (4, 4, 1, 1)), deep), (4, 8, 8))
        assert folded.separable == 0

    def test_stays_where_something_nonlinear_lies_between(self, net: Net) -> None:
        deep = net.conv('image', (4, 1, 3, 3), group=4, pads=(1, 1, 1, 1))
        relu = net.builder.node('Relu', [deep])
        folded = same(net, net.conv(relu, (4, 4, 1, 1)), (4, 8, 8))
        assert folded.separable == 0

    def test_stays_where_the_second_is_not_pointwise(self, net: Net) -> None:
        deep = net.conv('image', (4, 1, 3, 3), group=4, pads=(1, 1, 1, 1))
        folded = same(net, net.conv(deep, (4, 4, 3, 3), pads=(1, 1, 1, 1)), (4, 8, 8))
        assert folded.separable == 0

    def test_stays_where_it_would_take_too_much(
        self, net: Net, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = net.model(net.separable('image'), (4, 8, 8))
        needed = 4 * 4 * 3 * 3 * 8 * 8
        for limit, expected in ((needed, 1), (needed - 1, 0)):
            monkeypatch.setattr(convolution_folding, 'MAX_MULTIPLICATIONS', limit)
            assert fold_convolutions(model).separable == expected

    def test_stays_in_a_model_with_branches(self, net: Net) -> None:
        model = net.model(net.separable('image'), (4, 8, 8))
        text = 'g () => (float[1] y) { y = Constant <value_floats = [0.0]> () }'
        branch = onnx.parser.parse_graph(text)
        condition = onnx.helper.make_tensor('condition', onnx.TensorProto.BOOL, [], [True])
        model.graph.initializer.append(condition)
        node = onnx.helper.make_node('If', ['condition'], ['z'], then_branch=branch)
        node.attribute.append(onnx.helper.make_attribute('else_branch', branch))
        model.graph.node.append(node)
        onnx.checker.check_model(model)
        assert fold_convolutions(model).model is model

    def test_a_model_with_nothing_to_fold_comes_back(self, net: Net) -> None:
        model = net.model(net.conv('image', (4, 4, 1, 1)), (4, 8, 8))
        assert fold_convolutions(model).model is model


class TestResidual:
    @pytest.mark.parametrize('swapped', [False, True])
    def test_becomes_a_tap(self, net: Net, swapped: bool) -> None:
        x = net.builder.node('Relu', ['image'])
        terms = (x, net.separable(x))
        folded = same(net, net.add(*(terms[::-1] if swapped else terms)), (4, 8, 8))
        assert (folded.residual, operators(folded)['Add']) == (1, 0)

    def test_becomes_a_tap_with_channels_of_zeros_appended(self, net: Net) -> None:
        x = net.builder.node('Relu', ['image'])
        folded = same(net, net.add(net.widen(x, 2), net.separable(x, outputs=6)), (6, 8, 8))
        assert (folded.residual, operators(folded)['Pad']) == (1, 0)

    def test_channels_appended_stay_where_others_need_them(self, net: Net) -> None:
        wide = net.widen('image', 2)
        total = net.add(wide, net.separable('image', outputs=6))
        folded = same(net, net.add(total, net.builder.node('Relu', [wide])), (6, 8, 8))
        assert (folded.residual, operators(folded)['Pad']) == (1, 1)

    def test_stays_where_other_than_zeros_are_appended(self, net: Net) -> None:
        wide = net.widen('image', 2, value=1.0)
        folded = same(net, net.add(wide, net.separable('image', outputs=6)), (6, 8, 8))
        assert folded.residual == 0

    def test_stays_where_something_else_is_added(self, net: Net) -> None:
        other = net.builder.node('Relu', ['image'])
        folded = same(net, net.add(other, net.separable('image')), (4, 8, 8))
        assert folded.residual == 0

    def test_stays_where_the_convolution_has_other_users(self, net: Net) -> None:
        y = net.separable('image')
        folded = same(net, net.add(net.add('image', y), y), (4, 8, 8))
        assert folded.residual == 0

    def test_stays_where_one_is_spread_over_the_other(self, net: Net) -> None:
        one = net.conv('image', (1, 4, 1, 1))
        many = net.add(one, net.conv(one, (4, 1, 1, 1)))
        wide = net.widen(many, 2)
        folded = same(net, net.add(wide, net.conv(many, (1, 4, 1, 1))), (6, 8, 8))
        assert folded.residual == 0

    def test_the_centre_follows_the_padding(self, net: Net) -> None:
        y = net.conv('image', (4, 4, 3, 3), pads=(2, 0, 0, 2))
        folded = same(net, net.add('image', y), (4, 8, 8))
        assert folded.residual == 1


class TestPRelu:
    def test_becomes_relu_between_convolutions(self, net: Net) -> None:
        y = net.prelu(net.conv('image', (4, 4, 3, 3), pads=(1, 1, 1, 1)))
        folded = same(net, net.conv(y, (3, 4, 1, 1)), (3, 8, 8))
        assert folded.rectified == 1
        assert (operators(folded)['Conv'], operators(folded)['PRelu']) == (2, 0)

    def test_is_put_together_again_for_what_is_no_convolution(self, net: Net) -> None:
        y = net.prelu(net.conv('image', (4, 4, 1, 1)))
        total = net.add(net.pool(y), net.conv(y, (4, 4, 3, 3), pads=(0, 0, 1, 1), strides=(2, 2)))
        folded = same(net, total, (4, 4, 4))
        assert (folded.rectified, operators(folded)['Conv']) == (1, 3)

    @pytest.mark.parametrize('widened', [False, True])
    @pytest.mark.parametrize('swapped', [False, True])
    def test_behind_an_addition_gets_both_halves_of_it(
        self, net: Net, widened: bool, swapped: bool
    ) -> None:
        outputs = 6 if widened else 4
        pooled = net.pool('image')
        beside = net.widen(pooled, 2) if widened else pooled
        down = net.conv('image', (outputs, 4, 3, 3), pads=(0, 0, 1, 1), strides=(2, 2))
        terms = (beside, down)
        y = net.prelu(net.add(*(terms[::-1] if swapped else terms)), outputs)
        folded = same(net, net.conv(y, (3, outputs, 1, 1)), (3, 4, 4))
        assert folded.rectified == 1
        assert (operators(folded)['Pad'], operators(folded)['PRelu']) == (0, 0)

    def test_stays_where_it_would_take_two_kernels_more(self, net: Net) -> None:
        down = net.conv('image', (4, 4, 3, 3), pads=(0, 0, 1, 1), strides=(2, 2))
        y = net.prelu(net.add(net.pool('image'), down))
        assert same(net, net.pool(y), (4, 2, 2)).rectified == 0

    def test_stays_where_others_see_what_is_added(self, net: Net) -> None:
        down = net.conv('image', (4, 4, 3, 3), pads=(0, 0, 1, 1), strides=(2, 2))
        other = net.conv('image', (4, 4, 3, 3), pads=(0, 0, 1, 1), strides=(2, 2))
        y = net.conv(net.prelu(net.add(down, other)), (4, 4, 1, 1))
        assert same(net, net.add(net.add(y, down), other), (4, 4, 4)).rectified == 0

    def test_of_two_sums_with_one_operand_becomes_relu_in_both(self, net: Net) -> None:
        beside = net.pool('image')
        ends = []
        for _ in range(2):
            down = net.conv('image', (4, 4, 3, 3), pads=(0, 0, 1, 1), strides=(2, 2))
            ends.append(net.conv(net.prelu(net.add(beside, down)), (4, 4, 1, 1)))
        assert same(net, net.add(*ends), (4, 4, 4)).rectified == 2

    def test_stays_where_a_constant_is_spread_over_a_convolution(self, net: Net) -> None:
        level = net.builder.constant(np.ones((4, 1, 1), np.float32))
        y = net.prelu(net.add(net.conv('image', (4, 4, 1, 1)), level))
        assert same(net, net.conv(y, (3, 4, 1, 1)), (3, 8, 8)).rectified == 0

    def test_stays_where_it_is_an_output(self, net: Net) -> None:
        y = net.prelu(net.conv('image', (4, 4, 1, 1)))
        model = net.model(net.conv(y, (3, 4, 1, 1)), (3, 8, 8))
        assert fold_convolutions(model).rectified == 1
        shape = ['N', 4, 8, 8]
        info = onnx.helper.make_tensor_value_info(y, onnx.TensorProto.FLOAT, shape)
        model.graph.output.append(info)
        assert fold_convolutions(model).rectified == 0

    def test_stays_where_it_follows_no_convolution(self, net: Net) -> None:
        assert same(net, net.prelu(net.pool('image')), (4, 4, 4)).rectified == 0

    def test_stays_when_not_asked_for(self, net: Net) -> None:
        y = net.prelu(net.conv('image', (4, 4, 1, 1)))
        folded = same(net, net.conv(y, (3, 4, 1, 1)), (3, 8, 8), rectify=False)
        assert operators(folded)['PRelu'] == 1


@pytest.mark.models
class TestMediaPipe:
    @pytest.mark.parametrize(
        ('name', 'counts', 'convolutions'),
        [
            ('face_mesh', (20, 14, 23), 36),
            ('face_detection', (16, 13, 0), 21),
        ],
    )
    def test_networks_give_the_same(
        self, engines_dir: Path, name: str, counts: tuple[int, int, int], convolutions: int
    ) -> None:
        spec = CONTRACTS[name]
        style = tflite_to_onnx.GraphStyle.NATIVE
        model = tflite_to_onnx.convert(
            (engines_dir / f'{name}.tflite').read_bytes(), spec, style=style
        )
        folded = fold_convolutions(model)
        assert (folded.separable, folded.residual, folded.rectified) == counts
        assert operators(folded)['Conv'] == convolutions
        images = make_cases(spec).images[::3]
        want, got = run(model, images), run(folded.model, images)
        for output, expected in want.items():
            limit = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(got[output], expected, rtol=0, atol=limit)
