"""Monitors the training of a generator: sheets of samples, and the Fréchet distance."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np
from PIL import Image

from fr_inference import errors, files, runs
from fr_inference.data.faces import Faces, from_arrays
from fr_inference.measuring import measurements
from fr_inference.metrics import realism
from fr_inference.models import stylegan2
from fr_inference.models.target import Target

_SHEET = 8  # images along a side
_MEASURED = 2048  # images of each kind for a Fréchet distance


class Sheets:
    """Draws OUT/samples_NNN.png, and keeps the Fréchet distances in OUT/frechet.json.

    Called as `sample(images seen, variables)`, as `generator.train` does.
    """

    def __init__(
        self,
        module: stylegan2.Generator,
        faces: Faces,
        out: pathlib.Path,
        embedder: Target | None = None,
    ):
        """Takes the generator, its training images, the folder, and the backbone whose embeddings give
        the distance (None for no distance).

        Raises:
          InputError: when the folder has damaged distances of an earlier run.
        """
        self._module, self._faces, self._out, self._embedder = module, faces, out, embedder
        self._draw = jax.jit(lambda variables, z: module.apply(variables, z))
        self._path = out / 'frechet.json'
        sha256 = embedder.sha256 if embedder is not None else None
        self._kept: dict[str, Any] = {'embedder': sha256, 'frechet': {}}
        if self._path.is_file():
            try:
                found = files.unsealed(json.loads(self._path.read_text(encoding='utf-8')))
                if found['embedder'] == sha256:
                    self._kept = found
            except (ValueError, KeyError, TypeError) as error:
                raise errors.InputError(
                    str(self._path), f'a damaged file: {error}', hint='remove it'
                ) from error

    def __call__(self, seen: int, variables: Any) -> None:
        """Draws a sheet and, with an embedder, measures the distance."""
        images, size = self._generate(variables, _SHEET**2, 0), self._module.resolution
        sheet = images.reshape(_SHEET, _SHEET, size, size, 3).swapaxes(1, 2)
        sheet = sheet.reshape(_SHEET * size, _SHEET * size, 3)
        _write_sheet(self._out / f'samples_{seen:09d}.png', sheet)
        if self._embedder is None:
            return
        rows = np.random.default_rng(0).permutation(len(self._faces))[:_MEASURED]
        made = from_arrays(self._generate(variables, len(rows), 1), range(len(rows)))
        distance = realism.frechet_distance(
            self._embeddings(self._faces.select(rows)), self._embeddings(made)
        )
        self._kept['frechet'][str(seen)] = distance
        _write_distances(self._path, self._kept)
        print(
            f'{seen} images: Fréchet distance {distance:.4f} in {self._embedder.name}', flush=True
        )

    def recorded(self, trained: stylegan2.Trained) -> stylegan2.Trained:
        """Returns the generator with the distances in its recipe; unchanged without an embedder."""
        if self._embedder is None:
            return trained
        kept = self._kept['frechet']
        rows = [
            {'images': int(images), 'frechet': kept[images]} for images in sorted(kept, key=int)
        ]
        recipe = {**(trained.recipe or {}), 'embedder': self._embedder.name, 'frechet': rows}
        return dataclasses.replace(trained, recipe=recipe)

    def _generate(self, variables, count, seed):
        shape = (count, self._module.z_dim)
        z = np.random.default_rng(seed).standard_normal(shape, np.float32)
        parts = [np.asarray(self._draw(variables, z[i : i + 64])) for i in range(0, count, 64)]
        return np.clip(np.concatenate(parts) * 127.5 + 128, 0, 255).astype(np.uint8)

    def _embeddings(self, images):
        assert self._embedder is not None
        return measurements.measure(self._embedder, images, label='embedding').embeddings


@runs.first_only
def _write_sheet(path, sheet):
    with files.replacing(path) as temporary:
        Image.fromarray(sheet).save(temporary)


@runs.first_only
def _write_distances(path, kept):
    files.write_text(path, json.dumps(files.sealed(kept), indent=1) + '\n')
