# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')

from torch.nn import functional  # noqa: E402

from aitable_ros.model_zoo.emonet import network as emonet  # noqa: E402
from aitable_ros.model_zoo.emonet.network import (  # noqa: E402
    EmoNet,
    EmoNetWeightsError,
    load_emonet,
    random_emonet,
)

State = dict[str, Any]


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def model() -> EmoNet:
    return random_emonet(8, seed=1)


@pytest.fixture
def state(model: EmoNet) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _save(state: Any, path: Path, **options: Any) -> Path:
    torch.save(state, path, **options)
    return path


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ('weight', 'bias', 'running_mean', 'running_var')
    return {f'{name}.{part}': (channels,) for part in parts} | {f'{name}.num_batches_tracked': ()}


def _biased(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f'{name}.weight': shape, f'{name}.bias': shape[:1]}


def _block(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    half, quarter = outputs // 2, outputs // 4
    shapes = {
        **_norm(f'{name}.bn1', inputs),
        f'{name}.conv1.weight': (half, inputs, 3, 3),
        **_norm(f'{name}.bn2', half),
        f'{name}.conv2.weight': (quarter, half, 3, 3),
        **_norm(f'{name}.bn3', quarter),
        f'{name}.conv3.weight': (quarter, quarter, 3, 3),
    }
    if inputs != outputs:
        shapes |= _norm(f'{name}.downsample.0', inputs)
        shapes[f'{name}.downsample.2.weight'] = (outputs, inputs, 1, 1)
    return shapes


def published_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the published checkpoints."""
    shapes = {
        **_biased('conv1', 64, 3, 7, 7),
        **_norm('bn1', 64),
        **_block('conv2', 64, 128),
        **_block('conv3', 128, 128),
        **_block('conv4', 128, 256),
        **_biased('bl0', 256, 256, 1, 1),
        **_biased('al0', 256, 68, 1, 1),
        **_biased('conv1x1_input_emo_2', 256, 768, 1, 1),
        **_biased('emo_fc_2.0', 128, 256),
        **_norm('emo_fc_2.1', 128),
        **_biased('emo_fc_2.3', classes + 2, 128),
    }
    for k in (0, 1):
        blocks = [f'b{i}_{level}' for level in (1, 2, 3, 4) for i in (1, 2, 3)]
        for block in (*blocks, 'b2_plus_1'):
            shapes |= _block(f'm{k}.{block}', 256, 256)
        shapes |= _block(f'top_m_{k}', 256, 256)
        shapes |= _biased(f'conv_last{k}', 256, 256, 1, 1)
        shapes |= _norm(f'bn_end{k}', 256)
        shapes |= _biased(f'l{k}', 68, 256, 1, 1)
    for i in (0, 2, 4, 6):
        shapes |= _block(f'emo_net_2.{i}', 256, 256)
    return shapes


def described_network(state: State, image: Any, classes: int) -> State:
    """The network line by line as its description has it, without modules."""

    def norm(x: Any, name: str) -> Any:
        mean, var, weight, bias = (
            state[f'{name}.{part}'].reshape(1, -1, *[1] * (x.dim() - 2))
            for part in ('running_mean', 'running_var', 'weight', 'bias')
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def conv(x: Any, name: str, padding: int = 0, stride: int = 1) -> Any:
        bias = state.get(f'{name}.bias')
        return functional.conv2d(x, state[f'{name}.weight'], bias, stride, padding)

    def block(x: Any, name: str) -> Any:
        o1 = conv(norm(x, f'{name}.bn1').relu(), f'{name}.conv1', 1)
        o2 = conv(norm(o1, f'{name}.bn2').relu(), f'{name}.conv2', 1)
        o3 = conv(norm(o2, f'{name}.bn3').relu(), f'{name}.conv3', 1)
        res = x
        if f'{name}.downsample.2.weight' in state:
            res = conv(norm(x, f'{name}.downsample.0').relu(), f'{name}.downsample.2')
        return torch.cat((o1, o2, o3), 1) + res

    def pool(x: Any) -> Any:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5))

    def hourglass(x: Any, name: str, level: int) -> Any:
        up = block(x, f'{name}.b1_{level}')
        low = block(pool(x), f'{name}.b2_{level}')
        inner = hourglass(low, name, level - 1) if level > 1 else block(low, f'{name}.b2_plus_1')
        low = block(inner, f'{name}.b3_{level}')
        return up + low.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x = norm(conv(image, 'conv1', 3, 2), 'bn1').relu()
    x = block(block(pool(block(x, 'conv2')), 'conv3'), 'conv4')
    lls, heatmap, previous = [], None, x
    for k in (0, 1):
        ll = block(hourglass(previous, f'm{k}', 4), f'top_m_{k}')
        ll = norm(conv(ll, f'conv_last{k}'), f'bn_end{k}').relu()
        heatmap = conv(ll, f'l{k}')
        if k == 0:
            ll = conv(ll, 'bl0')
            previous = previous + ll + conv(heatmap, 'al0')
        lls.append(ll)
    mask = heatmap.sum(1, keepdim=True)
    y = conv(torch.cat((x, torch.cat(lls, 1) * mask), 1), 'conv1x1_input_emo_2')
    for i in (0, 2, 4, 6):
        y = pool(block(y, f'emo_net_2.{i}'))
    y = y.mean((2, 3))
    y = y @ state['emo_fc_2.0.weight'].T + state['emo_fc_2.0.bias']
    y = norm(y, 'emo_fc_2.1').relu()
    y = y @ state['emo_fc_2.3.weight'].T + state['emo_fc_2.3.bias']
    return {
        'heatmap': heatmap,
        'expression': y[:, :classes],
        'valence': y[:, classes],
        'arousal': y[:, classes + 1],
    }


@pytest.mark.parametrize(('classes', 'parameters'), [(8, 13_963_410), (5, 13_963_023)])
def test_names_shapes_and_sizes_are_the_published_ones(classes: int, parameters: int) -> None:
    with torch.device('meta'):
        network = EmoNet(classes)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == published_shapes(classes)
    assert len(shapes) == 682
    assert sum(not name.endswith('num_batches_tracked') for name in shapes) == 571
    assert sum(p.numel() for p in network.parameters()) == parameters
    alignment = {n: p.numel() for n, p in network.named_parameters() if 'emo_' not in n}
    assert sum(alignment.values()) == 12_106_504


@pytest.mark.parametrize('classes', [8, 5])
def test_the_module_computes_what_the_description_says(classes: int) -> None:
    network = random_emonet(classes, seed=classes)
    image = torch.rand((1, 3, 256, 256), generator=torch.Generator().manual_seed(3))
    outputs = network(image)
    expected = described_network(network.state_dict(), image, classes)
    assert {name: tuple(tensor.shape) for name, tensor in outputs.items()} == {
        'heatmap': (1, 68, 64, 64),
        'expression': (1, classes),
        'valence': (1,),
        'arousal': (1,),
    }
    for name, tensor in outputs.items():
        scale = expected[name].abs().max()
        assert float((tensor - expected[name]).abs().max() / scale) < 1e-4, name


@pytest.mark.parametrize('classes', [0, 7, 10])
def test_only_published_numbers_of_classes(classes: int) -> None:
    with pytest.raises(ValueError, match=f'8 or 5 classes, got {classes}'):
        EmoNet(classes)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'before PyTorch 1.6'])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_a_checkpoint_loads_with_every_number_in_its_place(
    model: EmoNet, state: State, tmp_path: Path, prefix: str, zipped: bool
) -> None:
    renamed = {prefix + name: tensor for name, tensor in state.items()}
    path = _save(renamed, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    loaded = load_emonet(path)
    assert loaded.model.classes == 8
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.content == path.read_bytes()
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_the_number_of_classes_follows_from_the_shapes(tmp_path: Path) -> None:
    path = _save(random_emonet(5).state_dict(), tmp_path / 'emonet_5.pth')
    assert load_emonet(str(path)).model.classes == 5
    with pytest.raises(EmoNetWeightsError, match='5-class network, not of the 8-class'):
        load_emonet(path, classes=8)


def test_only_the_counters_of_batch_norms_may_be_missing(state: State, tmp_path: Path) -> None:
    lean = {name: t for name, t in state.items() if not name.endswith('num_batches_tracked')}
    loaded = load_emonet(_save(lean, tmp_path / 'a.pth')).model
    assert all(tensor.device.type == 'cpu' for tensor in loaded.state_dict().values())
    image = torch.zeros((1, 3, 256, 256))
    assert torch.isfinite(loaded(image)['expression']).all()


def _without(state: State) -> State:
    return {k: v for k, v in state.items() if k not in ('l1.bias', 'm0.b2_3.bn1.running_var')}


def _renamed(state: State) -> State:
    return {k.replace('emo_fc_2', 'emo_fc'): v for k, v in state.items()}


def _changed(**tensors: Any) -> Callable[[State], State]:
    return lambda state: {
        k: tensors[k.replace('.', '__')](v) if k.replace('.', '__') in tensors else v
        for k, v in state.items()
    }


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (_without, r'2 missing: .*l1\.bias'),
        (_renamed, r'missing: emo_fc_2\.0\.weight.*unexpected: emo_fc\.0\.weight'),
        (lambda s: s | {'extra.weight': torch.zeros(3)}, r'1 unexpected: extra\.weight$'),
        (
            _changed(l0__weight=lambda t: t[:67]),
            r'l0\.weight is float32\[67, 256, 1, 1\], not float32\[68, 256, 1, 1\]',
        ),
        (_changed(bn1__bias=lambda t: t.half()), r'bn1\.bias is float16\[64\], not float32\[64\]'),
        (_changed(emo_fc_2__3__bias=lambda t: t[:9]), r'emo_fc_2\.3\.bias is float32\[9\]'),
        (
            lambda s: _changed(
                emo_fc_2__3__bias=lambda t: t[:9], emo_fc_2__3__weight=lambda t: t[:9]
            )(s),
            r'2 of another shape',
        ),
        (_changed(conv1__weight=lambda t: t * float('nan')), r'NaN.*conv1\.weight'),
        (_changed(bn1__running_var=lambda t: -t), r'impossible.*bn1\.running_var'),
        (lambda s: s | {'module.l0.bias': s['l0.bias']}, r'l0\.bias is there with and without'),
        (lambda s: {'state_dict': s}, r"found 'state_dict': dict"),
        (lambda s: list(s.values()), 'found list'),
        (lambda s: s | {'epoch': 3}, r"found 'epoch': int"),
        (lambda s: {}, r'571 missing: conv1\.weight, .* and 563 more$'),
    ],
)
def test_anything_else_is_refused_and_the_difference_named(
    state: State, tmp_path: Path, change: Callable[[State], Any], message: str
) -> None:
    path = _save(change(state), tmp_path / 'a.pth')
    with pytest.raises(EmoNetWeightsError, match=message) as refusal:
        load_emonet(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'before PyTorch 1.6'])
@pytest.mark.parametrize('share', [0.0, 1e-5, 0.3, 0.999])
def test_a_truncated_file_is_refused(
    state: State, tmp_path: Path, share: float, zipped: bool
) -> None:
    path = _save(state, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(EmoNetWeightsError, match='truncated|damaged|not a PyTorch checkpoint'):
        load_emonet(path)


def test_a_missing_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmoNetWeightsError, match='cannot be read: No such file'):
        load_emonet(tmp_path / 'none.pth')
    with pytest.raises(EmoNetWeightsError, match='cannot be read: Is a directory'):
        load_emonet(tmp_path)


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.pth'
    path.write_bytes(b'<!DOCTYPE html>')
    with pytest.raises(EmoNetWeightsError, match='not a PyTorch checkpoint'):
        load_emonet(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a.txt', 'hello')
    with pytest.raises(EmoNetWeightsError, match='cannot be loaded'):
        load_emonet(path)


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def _tarred(content: Any, path: Path) -> None:
    """The format of PyTorch 0.1, which older versions load with a plain unpickler."""
    import tarfile

    with tarfile.open(path, 'w') as archive:
        for name in ('sys_info', 'pickle', 'storages', 'tensors'):
            data = pickle.dumps(content if name == 'pickle' else 0)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize('form', ['zip', 'before PyTorch 1.6', 'plain pickle', 'tar'])
def test_code_in_a_checkpoint_is_not_executed(state: State, tmp_path: Path, form: str) -> None:
    trace, path = tmp_path / 'was_here', tmp_path / 'evil.pth'
    content = state | {'l0.bias': _Touch(trace)}
    if form == 'plain pickle':
        path.write_bytes(pickle.dumps(_Touch(trace)))
    elif form == 'tar':
        _tarred(_Touch(trace), path)
    else:
        _save(content, path, _use_new_zipfile_serialization=form == 'zip')
    with pytest.raises(EmoNetWeightsError, match='cannot be loaded|not a PyTorch checkpoint'):
        load_emonet(path)
    assert not trace.exists()
    # the trap works: a loader that trusts the file springs it
    if form in ('zip', 'before PyTorch 1.6'):
        torch.load(path, weights_only=False)
    else:
        pickle.loads(pickle.dumps(_Touch(trace)))
    assert trace.is_dir()


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'a.pth'
    with path.open('wb') as file:
        file.truncate(10 * emonet.MAX_FILE_BYTES)  # sparse: takes no room
    with pytest.raises(EmoNetWeightsError, match='larger than 128 MiB'):
        load_emonet(path)
    monkeypatch.setattr(emonet, 'MAX_FILE_BYTES', 2**20)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data/0', bytes(2**21))
    assert path.stat().st_size < 2**14
    with pytest.raises(EmoNetWeightsError, match='would unpack to 2097152 bytes'):
        load_emonet(path)


def test_tensors_of_a_file_do_not_share_memory(state: State, tmp_path: Path) -> None:
    state['m0.b1_4.bn1.bias'] = state['m0.b1_4.bn1.weight']
    state['bn_end0.bias'] = torch.zeros(1).expand(256)
    loaded = load_emonet(_save(state, tmp_path / 'a.pth')).model.state_dict()
    loaded['m0.b1_4.bn1.bias'].zero_()
    assert float(loaded['m0.b1_4.bn1.weight'].abs().max()) > 0.0
    assert loaded['bn_end0.bias'].stride() == (1,)
