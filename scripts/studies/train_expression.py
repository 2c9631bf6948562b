#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Train the layer that reads expressions (expression_head.json), and print how true it is.

    source scripts/ros_env.sh
    python3 scripts/studies/train_expression.py MUX [--aside FOLDER ...] [--write]

MUX is a checkout of github.com/muxspace/facial_expressions (5fb9c13a in docs/emotion.md). Nothing
is fetched. Halves are split by person. An --aside folder holds other labelled faces, a folder for
each expression; nobody in it is trained on. Of FRAME files that are named SUBJECT_SEQUENCE_FRAME,
the last frame of each sequence counts. With --write, the numbers trained on all of MUX are stored.

Left out of MUX are the stills of three films (user jhamski): dark and blurred, and what they show
is the label of a scene. Of neutral and happy faces, which are nine tenths, 300 are drawn.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from aitable_ros.model_zoo.loading import loader
from aitable_ros.perception.emotion import expression_head
from aitable_ros.perception.emotion.expression import CONTEMPT, EXPRESSIONS, HAPPY, NEUTRAL
from aitable_ros.perception.emotion.expression_geometry import VALENCE_AROUSAL, GeometryExpression
from aitable_ros.perception.emotion.expression_head import FEATURES, Head
from aitable_ros.perception.emotion.face_measures import frontalise
from aitable_ros.perception.emotion.fer import CLASSES, Fer
from aitable_ros.perception.faces.observer import FaceObserver
from aitable_ros.sources.picture_source import SourceError, read_picture

DRAWN = 300
LEFT_OUT = 'jhamski'
PENALTY = 30.0
"""Of the weights, squared, in units of the features' spread: found on the training halves."""
TRUST = 0.75
"""So much of the network's log-probabilities the layer starts from."""
RARITY = 0.5
"""So much is taken off the logit of contempt: it is rarer than the others everywhere."""
RESAMPLES = 1000
OTHER_NAMES = {
    **{'happiness': 'happy', 'sadness': 'sad', 'angry': 'anger', 'fearful': 'fear'},
    **{'disgusted': 'disgust', 'surprised': 'surprise', 'contemptuous': 'contempt'},
}
K = len(EXPRESSIONS)
MEASURES = np.array(
    [not re.match('fer_|lip_gap|corner_asymmetry|yaw|pitch', name) for name in FEATURES]
)
"""The features that have an offset of the person (asymmetry has lost its sign here)."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


class Faces(NamedTuple):
    """Faces by row: features, label, person (a number), what the rule calls them."""

    x: Floats
    y: Ints
    person: Ints
    rule: Ints

    def take(self, rows: npt.NDArray) -> Faces:
        """Return some of them."""
        return Faces(*(array[rows] for array in self))


def of_mux(folder: Path, drawn: int) -> Iterator[tuple[Path, str, str]]:
    """Yield picture, label and person."""
    rows: dict[str, list[str]] = {}
    with (folder / 'data' / 'legend.csv').open(encoding='utf-8') as file:
        for row in csv.DictReader(file):
            if row['user.id'] != LEFT_OUT:
                label = row['emotion'].strip().lower()
                rows.setdefault(OTHER_NAMES.get(label, label), []).append(row['image'])
    for label, images in rows.items():
        if EXPRESSIONS.index(label) in (NEUTRAL, HAPPY):
            images = sorted(images, key=lambda name: zlib.crc32(name.encode()))[:drawn]
        for name in images:
            yield folder / 'images' / name, label, re.sub(r'[_\-]?\d+\.\w+$', '', name)


def of_folder(folder: Path, drawn: int) -> Iterator[tuple[Path, str, str]]:
    """Yield picture, label and person of a folder with a folder for each expression."""
    for part in sorted(folder.iterdir()):
        label = OTHER_NAMES.get(part.name, part.name)
        if label not in EXPRESSIONS:
            continue
        last: dict[str, Path] = {}
        for path in sorted(part.iterdir()):
            sequence = re.match(r'(\w+_\d+)_\d+$', path.stem)
            last[sequence[1] if sequence else path.stem] = path
        names = sorted(last, key=lambda name: zlib.crc32(name.encode()))[:drawn]
        for name in names:
            yield last[name], label, name.rpartition('_')[0] or f'{label}/{name}'


class _Say:
    def info(self, line: str) -> None:
        print(line, file=sys.stderr)

    warning = info


def look(items: Iterator[tuple[Path, str, str]]) -> Faces:
    """Find the face of each picture and what there is to read of it."""
    values = {'backend': 'auto', 'engines_dir': '', 'models_file': '', 'threads': 1}
    load = loader(values, _Say())
    observer, rule = FaceObserver.load(load), GeometryExpression()
    fer = Fer(load(['fer'])[0].engine)
    rows, missing = [], 0
    for path, label, person in items:
        try:
            picture = read_picture(path)
        except SourceError as error:
            print(f'left out: {error}', file=sys.stderr)
            continue
        if max(picture.shape) < 100:  # crops to the face itself, which no detector would find
            large = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
            larger = cv2.copyMakeBorder(large, 64, 64, 64, 64, cv2.BORDER_REPLICATE)
            picture = np.ascontiguousarray(larger, np.uint8)
        found = observer.observe_still(picture).faces
        face = max(found, key=lambda one: float(one.xywh_px[2]), default=None)
        points = None if face is None else face.landmarks_px
        shape = None if points is None else frontalise(points)
        if face is None or shape is None:
            missing += 1
            continue
        features = expression_head.features(fer.run(picture, [face])[0], shape)
        says = rule.probabilities(shape.measures, pitch_rad=shape.pitch_rad).argmax()
        rows.append((features, EXPRESSIONS.index(label), zlib.crc32(person.encode()), says))
    print(f'{len(rows)} faces, {missing} pictures without one', file=sys.stderr)
    x, *others = zip(*rows)
    return Faces(np.array(x), *(np.array(column, np.intp) for column in others))


def fit(faces: Faces) -> Head:
    """
    Train the layer and its temperature.

    How often an expression occurs in the pictures is taken off the logits (Menon et al. 2021,
    'Long-tail learning via logit adjustment'): the layer takes all for equally likely.
    """
    mean, spread = faces.x.mean(axis=0), faces.x.std(axis=0)
    z, n = (faces.x - mean) / spread, len(faces.y)
    share = np.bincount(faces.y, minlength=K) / n
    start = np.zeros((len(FEATURES), K))
    for row, expression in enumerate(CLASSES):
        start[row, expression] = TRUST
    # the network knows no contempt: one in twenty, whatever it says
    start_bias = np.where(np.arange(K) == CONTEMPT, TRUST * np.log(0.05), 0.0)
    offset = faces.x @ start + start_bias + np.log(share)
    wanted = np.eye(K)[faces.y]

    def loss(flat: Floats) -> tuple[float, Floats]:
        w, bias = flat[:-K].reshape(-1, K), flat[-K:]
        logits = z @ w + bias + offset
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        value = -np.log(p[np.arange(n), faces.y] + 1e-300).sum()
        value += 0.5 * (PENALTY * (w**2).sum() + (bias**2).sum())
        slope = p - wanted
        gradient = [(z.T @ slope + PENALTY * w).ravel(), slope.sum(axis=0) + bias]
        return float(value) / n, np.concatenate(gradient) / n

    zeros = np.zeros(z.shape[1] * K + K)
    flat = minimize(loss, zeros, jac=True, method='L-BFGS-B', options={'maxiter': 1000})
    w = flat.x[:-K].reshape(-1, K) / spread[:, None]
    rest = np.median(faces.x[faces.y == NEUTRAL], axis=0)[len(CLASSES) : -2]
    bias = start_bias + flat.x[-K:] - mean @ w
    bias[CONTEMPT] -= RARITY
    head = Head(start + w, bias, rest, 1.0)

    def surprise(temperature: float) -> float:
        p = head._replace(temperature=temperature).probabilities(faces.x)
        return float(-np.log(p[np.arange(n), faces.y]).mean())

    grid = np.arange(0.5, 4.0, 0.05)
    return head._replace(temperature=float(min(grid, key=surprise)))


def f1(y: Ints, said: Ints) -> Floats:
    """Return F1 by expression; NaN for those that do not occur."""
    hits = np.bincount(y[y == said], minlength=K)
    both = np.bincount(y, minlength=K) + np.bincount(said, minlength=K)
    occurs = np.bincount(y, minlength=K) > 0
    return np.where(occurs, 2.0 * hits / np.maximum(both, 1), np.nan)


def macro(faces: Faces, said: Ints) -> str:
    """Format macro F1 over the expressions that occur, with its 95 % interval over people."""
    random, people = np.random.default_rng(0), np.unique(faces.person)
    rows = {person: np.flatnonzero(faces.person == person) for person in people}
    draws = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[p] for p in random.choice(people, len(people))])
        draws.append(np.nanmean(f1(faces.y[drawn], said[drawn])))
    low, high = np.quantile(draws, (0.025, 0.975))
    return f'{np.nanmean(f1(faces.y, said)):.3f} ({low:.3f} to {high:.3f})'


def report(name: str, faces: Faces, p: Floats, bonus_free: Floats) -> None:
    """Print a set's table."""
    print(f'\n{name}: {len(faces.y)} faces, {len(np.unique(faces.person))} people')
    for what, said in (
        ('rule', faces.rule),
        ('head, bonus 0', bonus_free.argmax(axis=1)),
        ('head', p.argmax(axis=1)),
    ):
        each = ' '.join(
            f'{label} {value:.2f}'
            for label, value in zip(EXPRESSIONS, f1(faces.y, said))
            if not np.isnan(value)
        )
        calm = (said[faces.y == NEUTRAL] == NEUTRAL).mean() if (faces.y == NEUTRAL).any() else 0.0
        print(f'  {what:13} macro F1 {macro(faces, said)}; neutral recall {calm:.3f}; {each}')


def calibration(y: Ints, p: Floats) -> float:
    """Return the expected calibration error over ten bins of equal width (Guo et al. 2017)."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.minimum((10 * confidence).astype(int), 9)
    error = 0.0
    for number in np.unique(bins):
        rows = bins == number
        gap = right[rows].mean() - confidence[rows].mean()
        error += rows.mean() * abs(gap)
        print(f'    {confidence[rows].mean():.2f}: right {right[rows].mean():.2f} of {rows.sum()}')
    return float(error)


def of_people(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield the pictures of people of whom there are at least four neutral ones and another."""
    found: dict[str, dict[bool, list[tuple[Path, str, str]]]] = {}
    for item in of_mux(folder, sys.maxsize):
        found.setdefault(item[2], {True: [], False: []})[item[1] == 'neutral'].append(item)
    for kinds in found.values():
        if len(kinds[True]) >= 4 and kinds[False]:
            yield from (*kinds[True][:6], *kinds[False][:6])


def personal(faces: Faces, mux: Faces) -> None:
    """Print what a person's own face at rest is worth, of people not trained on."""
    rest = np.zeros(len(faces.y), bool)
    own, logs = faces.x.copy(), faces.x.copy()
    usual = np.median(mux.x[mux.y == NEUTRAL], axis=0)
    usual_logs = mux.x[mux.y == NEUTRAL, :7].mean(axis=0)
    for person in np.unique(faces.person):
        rows = np.flatnonzero(faces.person == person)
        calm = rows[faces.y[rows] == NEUTRAL][::2]
        rest[calm] = True
        offset = np.median(faces.x[calm], axis=0) - usual
        offset[MEASURES] *= expression_head.OWN_SHARE
        offset[~MEASURES] = 0.0
        own[rows] -= offset
        logs[rows] = own[rows]
        logs[rows, :7] -= 0.3 * (faces.x[calm, :7].mean(axis=0) - usual_logs)
    print(f'\nown face at rest: {len(np.unique(faces.person))} people')
    for what, x in (
        ('people in general', faces.x),
        ('measures', own),
        ("and 0.3 of the network's", logs),
    ):
        said = np.empty(len(faces.y), np.intp)
        for half in (0, 1):
            rows = faces.person % 2 != half
            head = fit(mux.take(mux.person % 2 == half))
            said[rows] = head.probabilities(x[rows]).argmax(axis=1)
        report_rows = faces.take(~rest)
        hits = (said == faces.y)[~rest]
        calm = hits[report_rows.y == NEUTRAL].mean()
        print(
            f'  {what}: {hits.size} faces, accuracy {hits.mean():.3f}, neutral recall {calm:.3f},'
            f' macro F1 {macro(report_rows, said[~rest])}'
        )


def main() -> int:
    """Train, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().split('\n')[0])
    parser.add_argument('mux', type=Path)
    parser.add_argument('--aside', type=Path, nargs='*', default=[])
    parser.add_argument('--aside-drawn', type=int, default=100, help='at most, per expression')
    parser.add_argument('--write', action='store_true')
    options = parser.parse_args()
    mux = look(of_mux(options.mux, DRAWN))
    people = look(of_people(options.mux))
    asides = [look(of_folder(folder, options.aside_drawn)) for folder in options.aside]
    p, free = np.empty((2, len(mux.y), K))
    temperatures = []
    for half in (0, 1):
        head = fit(mux.take(mux.person % 2 == half))
        rows = mux.person % 2 != half
        p[rows], free[rows] = head.probabilities(mux.x[rows]), head.probabilities(mux.x[rows], 0.0)
        temperatures.append(head.temperature)
    head = fit(mux)._replace(temperature=float(np.mean(temperatures)))
    report('mux, halves by person', mux, p, free)
    sets = [(mux, p, free)]
    for folder, faces in zip(options.aside, asides):
        found = head.probabilities(faces.x), head.probabilities(faces.x, 0.0)
        report(f'{folder.name}, trained on mux', faces, *found)
        sets.append((faces, *found))
    if asides:
        whole = Faces(*map(np.concatenate, zip(*(faces for faces, *_ in sets[1:]))))
        report('aside', whole, *(np.concatenate([s[i] for s in sets[1:]]) for i in (1, 2)))
        whole = Faces(*map(np.concatenate, zip(*(faces for faces, *_ in sets))))
        report('all', whole, *(np.concatenate([s[i] for s in sets]) for i in (1, 2)))
    print('\nneutral_bonus: neutral recall, macro F1 on mux; the same on all')
    for bonus in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0):
        line = []
        for faces, _, flat in (sets[0], (whole, p, np.concatenate([s[2] for s in sets]))):
            raised = np.log(flat)
            raised[:, NEUTRAL] += bonus / head.temperature
            said = raised.argmax(axis=1)
            calm = (said[faces.y == NEUTRAL] == NEUTRAL).mean()
            line.append(f'{calm:.3f} {np.nanmean(f1(faces.y, said)):.3f}')
        print(f'  {bonus:.1f}: {"; ".join(line)}')
    print('\ncalibration on mux, halves by person')
    print(f'  expected calibration error {calibration(mux.y, p):.3f}; temperatures {temperatures}')
    sign = np.sign(VALENCE_AROUSAL[:, 0])
    felt = sign[mux.y] != 0
    valence = p @ VALENCE_AROUSAL[:, 0]
    print(f'  sign of valence right {(np.sign(valence) == sign[mux.y])[felt].mean():.3f}')
    personal(people, mux)
    if options.write:
        numbers = {
            'features': FEATURES,
            'expressions': EXPRESSIONS,
            'weights': [[round(v, 5) for v in row] for row in head.weights.tolist()],
            'bias': [round(v, 5) for v in head.bias.tolist()],
            'rest': [round(v, 5) for v in head.rest.tolist()],
            'temperature': round(head.temperature, 3),
        }
        text = json.dumps(numbers).replace('[[', '[\n    [').replace('], [', '],\n    [')
        expression_head.NUMBERS.write_text(text.replace(', "', ',\n  "') + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
