"""Trains a StyleGAN2 generator on face images, for model inversion.

  python -m experiments.train_generator --faces=FACES --resolution=64 --out=FOLDER

FACES may show nobody who is audited later. Writes a native generator, and on the way sheets of samples
(samples_NNN.png) and with --embedder the Fréchet distance. Exit codes: 2 bad input, 4 stopped by
SIGTERM: the same command continues.
"""

import dataclasses
import pathlib
from typing import Any

from fr_inference import checkpointing, config
from fr_inference.cli import bars, folders, options, program
from fr_inference.data import sources
from fr_inference.models import stylegan2
from fr_inference.program_config import GeneratorNetwork, GeneratorTraining
from fr_inference.training import generator, sample_sheets
from fr_inference.weights import generators
from fr_inference.weights.targets import open_target


def main(flags: options.Flags) -> None:
    """Trains, draws sheets on the way, writes the native generator."""
    asked, recipe = flags.read(GeneratorTraining), flags.read(config.GeneratorRecipe)
    module, discriminator = _networks(flags.read(GeneratorNetwork))
    faces = sources.open_faces(asked.faces, reading=asked)
    embedder = open_target(asked.embedder, field='embedder') if asked.embedder else None
    out = folders.make(asked.out, 'out')
    sheets = sample_sheets.Sheets(module, faces, out, embedder)
    variables = generator.train(
        recipe,
        module,
        discriminator,
        faces,
        workdir=out,
        skip_bad=asked.skip_bad,
        progress=bars.progress,
        sample_images=asked.sample_images,
        sample=sheets,
    )
    said = {**dataclasses.asdict(recipe), 'faces': faces.name, 'count': len(faces)}
    trained = stylegan2.Trained(
        name=pathlib.Path(out).resolve().name,
        module=module,
        variables=variables,
        sha256=checkpointing.digest(variables),
        recipe={**said, **sheets.record()},
    )
    generators.save_generator(out, trained)
    size = module.resolution
    print(f'{out}: StyleGAN2 at {size}x{size}, trained on {recipe.images} images')


def _networks(asked):
    widths: dict[str, Any] = {'channel_base': asked.channel_base, 'channel_max': asked.channel_max}
    module = stylegan2.Generator(
        asked.resolution,
        z_dim=asked.z_dim,
        w_dim=asked.w_dim,
        mapping_layers=asked.mapping_layers,
        **widths,
    )
    return module, stylegan2.Discriminator(asked.resolution, **widths)


PROGRAM = program.Program(
    main=main, kinds=(GeneratorNetwork, GeneratorTraining, config.GeneratorRecipe)
)

if __name__ == '__main__':
    PROGRAM.run()
