#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# pnnx, ncnn's own converter, turns a valid ONNX graph that begins with Cast (pictures come in as
# uint8) into a file that ncnn cannot load, and says nothing: its exit status is 0. One would guess
# that the two fit together, or that the converter names the operator that ncnn lacks. The names of
# inputs and outputs are lost, too.
#
# pnnx 20261020, ncnn 1.0.20261020, onnx 1.18.0, Python 3.11, x86-64, 2026-11-29:
#   pnnx: exit status 0
#   layers: Input Tensor.to Convolution
#   blobs: in0 1 out0
#   ncnn: load_param -1
# and ncnn's own line: layer Tensor.to not exists or registered
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
# The wheel's command imports PyTorch; the converter itself, a program beside it, does without.
venv/bin/python -m pip install --quiet --no-deps pnnx==20261020
venv/bin/python -m pip install --quiet ncnn==1.0.20261020 onnx==1.18.0 'numpy<3'

cat >make.py <<'END'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

weights = np.full((4, 3, 3, 3), 0.1, np.float32)
graph = helper.make_graph(
    [
        helper.make_node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT),
        helper.make_node('Conv', ['pixels', 'weights'], ['answer'], pads=[1, 1, 1, 1]),
    ],
    'network',
    [helper.make_tensor_value_info('image', TensorProto.UINT8, [1, 3, 16, 16])],
    [helper.make_tensor_value_info('answer', TensorProto.FLOAT, [1, 4, 16, 16])],
    [numpy_helper.from_array(weights, 'weights')],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, 'network.onnx')
END
cat >load.py <<'END'
import ncnn

with open('network.ncnn.param') as file:
    layers = [line.split() for line in file][2:]
print('layers:', *(layer[0] for layer in layers))
print('blobs:', *(layer[-1] if layer[0] == 'Input' else layer[5] for layer in layers))
print('ncnn: load_param', ncnn.Net().load_param('network.ncnn.param'))
END
venv/bin/python make.py
status=0
venv/lib/python3*/site-packages/pnnx/pnnx network.onnx 'inputshape=[1,3,16,16]u8' >pnnx.log 2>&1 || status=$?
seen=$(echo "pnnx: exit status $status"; venv/bin/python load.py 2>ncnn.log)
printf '%s\n' "$seen"
cat ncnn.log
expected='pnnx: exit status 0
layers: Input Tensor.to Convolution
blobs: in0 1 out0
ncnn: load_param -1'
[[ $seen == "$expected" ]] && grep -q 'layer Tensor.to not exists or registered' ncnn.log
