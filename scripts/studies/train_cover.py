#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Train the small networks that tell covered eyes and mouths from seen ones, and print how well.

    source scripts/ros_env.sh
    python3 scripts/studies/train_cover.py PICTURES [--write]

PICTURES holds the pictures that docs/eye_pictures.csv and docs/covered_pictures.csv list, as
PICTURES/owner/name/path: checkouts of those public repositories at those commits. Nothing is
fetched. Folds are split by person (file name). With --write the numbers trained on all of them go
into aitable_ros/perception/faces/cover.npz.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import rankdata

from aitable_ros.model_zoo.loading import loader
from aitable_ros.perception.faces import face_views as fv
from aitable_ros.perception.faces.observer import FaceObserver
from aitable_ros.sources import SourceError
from aitable_ros.sources.picture_source import read_picture

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = 16
PENALTY = 3e-3
FOLDS = 5
PAINTED = 0.5
"""So many seen patches, as a share, are painted over and count as covered."""

Array = npt.NDArray[np.float32]


def patches(folder: Path) -> dict[str, list[tuple[Array, str, int, str]]]:
    """Cut out every eye and mouth: patch, label, person, what is in front of it."""
    values = {'backend': 'auto', 'engines_dir': '', 'models_file': '', 'threads': 1}
    observer = FaceObserver.load(loader(values, _Say()))
    rows = []
    for name in ('eye_pictures.csv', 'covered_pictures.csv'):
        with (ROOT / 'docs' / name).open(encoding='utf-8') as file:
            rows += list(csv.DictReader(file))
    found: dict[str, list[tuple[Array, str, int, str]]] = {'eye': [], 'mouth': []}
    for row in rows:
        path = folder / row['repository'] / row['path']
        try:
            picture = read_picture(path)
        except SourceError as error:
            print(f'left out: {error}', file=sys.stderr)
            continue
        faces = observer.observe_still(picture).faces
        if not faces:
            continue
        points = max(faces, key=lambda face: float(face.xywh_px[2])).landmarks_px
        stem = re.sub(r'[_\-]?\d+.*$', '', path.name)
        for part, label in (
            (fv.RIGHT_EYE, row.get('right_eye', 'visible')),
            (fv.LEFT_EYE, row.get('left_eye', 'visible')),
            (fv.MOUTH, row.get('mouth', 'visible')),
        ):
            patch = None if points is None else part.patch(picture, points)
            if patch is not None and label in ('visible', 'covered'):
                what = row.get('what', row.get('label', ''))
                found[part.name].append((patch, label, zlib.crc32(stem.encode()), what))
    observer.close()
    return found


class _Say:
    def info(self, line: str) -> None:
        print(line, file=sys.stderr)

    warning = info


def varied(patch: Array, random: np.random.Generator) -> Array:
    """Darken, blur and add noise, as cameras do."""
    blur = random.uniform(0.0, 0.9)
    soft = cv2.GaussianBlur(patch, (0, 0), blur) if blur > 0.3 else patch
    noise = random.normal(0.0, random.uniform(0.0, 4.0), patch.shape)
    return np.clip(soft * random.uniform(0.25, 1.2) + noise, 0, 255).astype(np.float32)


def painted(patch: Array, random: np.random.Generator) -> Array:
    """Paint over the middle: dark glass, skin as below it, or anything."""
    below = patch[-4:].mean() * random.uniform(0.85, 1.15)
    grey = random.choice([random.uniform(4, 45), below, random.uniform(60, 230)])
    mask = np.zeros(patch.shape, np.uint8)
    centre = tuple(int(v) for v in 16 + random.normal(0.0, 1.5, 2))
    axes = int(random.uniform(10, 24)), int(random.uniform(8, 18))
    cv2.ellipse(mask, centre, axes, random.uniform(-10, 10), 0, 360, 255, -1)
    weight = cv2.GaussianBlur(mask, (0, 0), random.uniform(0.4, 1.5)) / 255.0
    texture = random.normal(0.0, random.uniform(0.0, 6.0), (4, 4)).astype(np.float32)
    over = grey + cv2.resize(texture, patch.shape)
    return varied((patch * (1 - weight) + weight * over).astype(np.float32), random)


def fit(inputs: Array, labels: Array, seed: int) -> dict[str, Array]:
    """Train one hidden layer by L-BFGS on the balanced cross-entropy."""
    random = np.random.default_rng(seed)
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 0.1
    x = (inputs - mean) / spread
    weight = np.where(labels == 1, 0.5 / labels.mean(), 0.5 / (1 - labels.mean())) / len(labels)
    shapes = [(x.shape[1], HIDDEN), (HIDDEN,), (HIDDEN + 1,)]
    sizes = np.cumsum([int(np.prod(shape)) for shape in shapes])
    first = np.concatenate([random.normal(0, 0.1, sizes[0]), np.zeros(sizes[2] - sizes[0])])
    first[sizes[1] :] = random.normal(0, 0.1, HIDDEN + 1)

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        w, bias, out = (a.reshape(s) for a, s in zip(np.split(flat, sizes[:-1]), shapes))
        hidden = np.tanh(x @ w + bias)
        odds = hidden @ out[:-1] + out[-1]
        value = (weight * (np.logaddexp(0, odds) - labels * odds)).sum()
        slope = weight * (1 / (1 + np.exp(-odds)) - labels)
        back = (slope[:, None] * out[:-1]) * (1 - hidden**2)
        gradient = [x.T @ back + PENALTY * w, back.sum(axis=0)]
        gradient.append(np.append(hidden.T @ slope + PENALTY * out[:-1], slope.sum()))
        value += 0.5 * PENALTY * ((w**2).sum() + (out[:-1] ** 2).sum())
        return float(value), np.concatenate([g.ravel() for g in gradient])

    best = minimize(loss, first, jac=True, method='L-BFGS-B', options={'maxiter': 300}).x
    w, bias, out = (a.reshape(s) for a, s in zip(np.split(best, sizes[:-1]), shapes))
    scaled = w / spread[:, None]
    return {'in': scaled, 'bias': bias - mean @ scaled, 'out': out}


def odds_of(numbers: dict[str, Array], inputs: Array) -> Array:
    """Give the log-odds of rows of features."""
    hidden = np.tanh(inputs @ numbers['in'] + numbers['bias'])
    return np.asarray(hidden @ numbers['out'][:-1] + numbers['out'][-1])


def train(items: list[tuple[Array, str, int, str]], seed: int) -> dict[str, Array]:
    """Train on patches and variations of them."""
    random = np.random.default_rng(seed)
    seen = [patch for patch, label, *_ in items if label == 'visible']
    covered = [patch for patch, label, *_ in items if label == 'covered']
    no = [*seen, *(varied(patch, random) for patch in seen)]
    yes = [*covered, *(varied(patch, random) for _ in range(4) for patch in covered)]
    yes += [painted(patch, random) for patch in seen if random.random() < PAINTED]
    inputs = np.stack([fv.features(patch) for patch in (*no, *yes)])
    return fit(inputs, np.repeat([0.0, 1.0], [len(no), len(yes)]), seed)


def main() -> int:
    """Train, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().split('\n')[0])
    parser.add_argument('pictures', type=Path)
    parser.add_argument('--write', action='store_true')
    options = parser.parse_args()
    numbers: dict[str, Array] = {}
    for part, items in patches(options.pictures).items():
        odds, random = np.empty(len(items)), np.random.default_rng(1)
        over: list[float] = []
        fold = np.array([person % FOLDS for _, _, person, _ in items])
        for k in range(FOLDS):
            trained = train([item for item, f in zip(items, fold) if f != k], k)
            held = [item for item, f in zip(items, fold) if f == k]
            odds[fold == k] = odds_of(trained, np.stack([fv.features(p) for p, *_ in held]))
            hidden = [painted(p, random) for p, label, *_ in held if label == 'visible']
            over += odds_of(trained, np.stack([fv.features(p) for p in hidden])).tolist()
        covered = np.array([label == 'covered' for _, label, *_ in items])
        ranks = rankdata(odds)[covered].sum() - covered.sum() * (covered.sum() + 1) / 2
        auc = ranks / (covered.sum() * (~covered).sum())
        print(f'{part}: {(~covered).sum()} seen, {covered.sum()} covered; AUC {auc:.3f}')
        for share in (0.02, 0.01, 0.005):
            limit = float(np.quantile(odds[~covered], 1 - share))
            found, painted_found = (odds[covered] > limit).mean(), (np.array(over) > limit).mean()
            print(
                f'  {share:.1%} of the seen: odds {limit:.2f}, found {found:.1%} of the'
                f' covered, {painted_found:.1%} of the painted'
            )
        what = np.array([what for *_, what in items])
        limit = float(np.quantile(odds[~covered], 0.99))
        for kind in sorted(set(what)):
            rows = what == kind
            print(f'    {kind}: {rows.sum()}, {(odds[rows] > limit).mean():.1%} called covered')
        numbers |= {f'{part}_{name}': a for name, a in train(items, 0).items()}
    if options.write:
        halves = {name: array.astype(np.float16) for name, array in numbers.items()}
        np.savez_compressed(fv._NUMBERS, **halves)  # type: ignore[arg-type]
    return 0


if __name__ == '__main__':
    sys.exit(main())
