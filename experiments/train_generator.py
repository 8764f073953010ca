"""Trains a StyleGAN2 generator on face images, for model inversion.

  python -m experiments.train_generator --faces=FACES --resolution=64 --out=FOLDER

FACES must not contain anyone who is audited later. Every --sample_images images it draws a sheet of
samples (samples_NNN.png), measures the Fréchet distance with --embedder, and writes the current
generator as a native generator, so that one exists if the run is interrupted. Exit codes: 2 bad input,
4 stopped by SIGTERM: the same command continues, also with a larger or smaller --images.
"""

from fr_inference import config, errors
from fr_inference.cli import bars, folders, options, program
from fr_inference.data import sources
from fr_inference.models import stylegan2
from fr_inference.program_config import GeneratorNetwork, GeneratorTraining
from fr_inference.training import generator, sample_sheets
from fr_inference.weights import generators
from fr_inference.weights.targets import open_target


def main(flags: options.Flags) -> None:
    """Trains; draws sheets and writes the native generator, during training and at the end."""
    asked, recipe = flags.read(GeneratorTraining), flags.read(config.GeneratorRecipe)
    module, discriminator = generator.networks(flags.read(GeneratorNetwork))
    faces = sources.open_faces(asked.faces, reading=asked)
    embedder = open_target(asked.embedder, field='embedder') if asked.embedder else None
    out = folders.make(asked.out, 'out')
    sheets = sample_sheets.Sheets(module, faces, out, embedder)

    def keep(seen: int, so_far: stylegan2.Trained) -> None:
        sheets(seen, so_far.variables)
        generators.save_generator(out, sheets.recorded(so_far))

    trained = generator.train(
        recipe,
        module,
        discriminator,
        faces,
        workdir=out,
        skip_bad=asked.skip_bad,
        progress=bars.progress,
        sample_images=asked.sample_images,
        sample=keep,
    )
    generators.save_generator(out, sheets.recorded(trained))
    size, shown = module.resolution, (trained.recipe or {})['images']
    print(f'{errors.called(str(out))}: StyleGAN2 at {size}x{size}, trained on {shown} images')


PROGRAM = program.Program(
    main=main,
    kinds=(GeneratorNetwork, GeneratorTraining, config.GeneratorRecipe),
    often='resolution images batch_size embedder seed',
)

if __name__ == '__main__':
    PROGRAM.run()
