"""Trains a StyleGAN2 generator on face images, for the search of model inversion."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags
from PIL import Image

from experiments import cli, faces_flags
from fr_inference import checkpointing, errors, processes
from fr_inference.config import GeneratorRecipe
from fr_inference.data import sources
from fr_inference.data.faces import from_arrays
from fr_inference.measuring import measurements
from fr_inference.metrics import realism as image_metrics
from fr_inference.models import stylegan2
from fr_inference.training import generator as training
from fr_inference.weights import generators
from fr_inference.weights.targets import open_target

flags.adopt_module_key_flags(faces_flags)
_FACES = flags.DEFINE_string(
    'faces', None, f'{faces_flags.SOURCES} Nobody who is audited.', required=True
)
_OUT = flags.DEFINE_string('out', None, 'Folder for the native generator.', required=True)
_RESOLUTION = flags.DEFINE_integer('resolution', 64, 'Of the images, pixels: a power of two.')
_Z = flags.DEFINE_integer('z_dim', 512, 'Length of z.', lower_bound=1)
_W = flags.DEFINE_integer('w_dim', 512, 'Length of w.', lower_bound=1)
_BASE = flags.DEFINE_integer(
    'channel_base', 16384, 'Features times resolution, where they are not cut.', lower_bound=4
)
_MOST = flags.DEFINE_integer('channel_max', 512, 'Most features.', lower_bound=1)
_MAPPING = flags.DEFINE_integer('mapping_layers', 8, 'Layers from z to w.', lower_bound=1)
_IMAGES = flags.DEFINE_integer('images', 1_000_000, 'Real images shown in all.')
_BATCH = flags.DEFINE_integer('batch_size', 32, 'Images per step.')
_RATE = flags.DEFINE_float('learning_rate', 0.0025, 'Of Adam.')
_R1 = flags.DEFINE_float('r1', None, 'Weight of the gradient penalty; by the image size if absent.')
_PATH = flags.DEFINE_float('path_length', 0.0, 'Weight of the path-length penalty.')
_AUGMENT = flags.DEFINE_enum(
    'augmentation', 'none', training.AUGMENTATIONS, 'What small sets (below some 20,000) need.'
)
_MIRROR = flags.DEFINE_bool('mirror', True, 'Mirror images at random.')
_SEED = cli.define_seed('Of weights and every draw.')
_SAMPLES = flags.DEFINE_integer(
    'sample_images', 50_000, 'Images from sheet to sheet, 0: one.', lower_bound=0
)
_EMBEDDER = flags.DEFINE_string(
    'embedder', None, 'Backbone in whose embedding the Fréchet distance is measured.'
)
_SKIP_BAD = flags.DEFINE_bool('skip_bad', False, 'Leave unreadable images out.')

_SHEET = 8  # images along a side
_MEASURED = 2048  # images of each kind behind a Fréchet distance


def main() -> None:
    """Trains, draws sheets along the way, writes the native generator."""
    faces = sources.open_faces(_FACES.value, 'faces', **faces_flags.options())
    size = _RESOLUTION.value
    widths: dict[str, Any] = {'channel_base': _BASE.value, 'channel_max': _MOST.value}
    module = stylegan2.Generator(
        size, z_dim=_Z.value, w_dim=_W.value, mapping_layers=_MAPPING.value, **widths
    )
    recipe = GeneratorRecipe(
        images=_IMAGES.value,
        batch_size=_BATCH.value,
        learning_rate=_RATE.value,
        r1=_R1.value,
        path_length=_PATH.value,
        augmentation=_AUGMENT.value,
        mirror=_MIRROR.value,
        seed=_SEED.value,
    )
    embedder = open_target(_EMBEDDER.value, field='embedder') if _EMBEDDER.value else None
    out = cli.make_folder(_OUT.value, '--out')
    draw = jax.jit(lambda variables, z: module.apply(variables, z))
    log = _Log(out / 'frechet.json', embedder.sha256 if embedder is not None else None)

    def generate(variables, count, seed):
        z = np.random.default_rng(seed).standard_normal((count, _Z.value), np.float32)
        parts = [np.asarray(draw(variables, z[i : i + 64])) for i in range(0, count, 64)]
        return np.clip(np.concatenate(parts) * 127.5 + 128, 0, 255).astype(np.uint8)

    def embeddings(images):
        assert embedder is not None
        return measurements.measure(embedder, images, label='embedding').embeddings

    def sample(seen, variables):
        images = generate(variables, _SHEET**2, 0)
        sheet = images.reshape(_SHEET, _SHEET, size, size, 3).swapaxes(1, 2)
        sheet = sheet.reshape(_SHEET * size, _SHEET * size, 3)
        if processes.is_first():
            Image.fromarray(sheet).save(out / f'samples_{seen:09d}.png')
        if embedder is not None:
            rows = np.random.default_rng(0).permutation(len(faces))[:_MEASURED]
            count = len(rows)
            fakes = from_arrays(generate(variables, count, 1), range(count))
            distance = image_metrics.frechet_distance(
                embeddings(faces.select(rows)), embeddings(fakes)
            )
            log.add(seen, distance)
            print(f'{seen} images: Fréchet distance {distance:.4f} in {embedder.name}', flush=True)

    variables = training.train(
        recipe,
        module,
        stylegan2.Discriminator(size, **widths),
        faces,
        workdir=out,
        skip_bad=_SKIP_BAD.value,
        progress=cli.progress,
        sample_images=_SAMPLES.value,
        sample=sample,
    )
    record = {**dataclasses.asdict(recipe), 'faces': faces.name, 'count': len(faces)}
    if embedder is not None:
        record |= {'embedder': embedder.name, 'frechet': log.rows()}
    generators.save_generator(
        out,
        stylegan2.Trained(
            name=pathlib.Path(_OUT.value).resolve().name,
            module=module,
            variables=variables,
            sha256=checkpointing.digest(variables),
            recipe=record,
        ),
    )
    print(f'{out}: StyleGAN2 at {size}x{size}, trained on {recipe.images} images')


class _Log:
    """The distances measured so far, kept for when the training is interrupted."""

    def __init__(self, path, embedder):
        self._path, self._kept = path, {'embedder': embedder, 'frechet': {}}
        if path.is_file():
            try:
                found = json.loads(path.read_text(encoding='utf-8'))
                if found['embedder'] == embedder:
                    self._kept = found
            except (ValueError, KeyError, TypeError) as error:
                raise errors.InputError(f'{path}: damaged: {error}; remove it') from error

    def add(self, images, distance):
        self._kept['frechet'][str(images)] = distance
        if processes.is_first():
            self._path.write_text(json.dumps(self._kept, indent=1) + '\n', encoding='utf-8')

    def rows(self):
        kept = self._kept['frechet']
        return [
            {'images': int(images), 'frechet': kept[images]} for images in sorted(kept, key=int)
        ]


if __name__ == '__main__':
    cli.run(main)
