"""Inverts a target: searches a generator for faces it was trained on, and measures what was found.

  python -m experiments.invert --target=T --generator=G --evaluator=E --members=M --nonmembers=N --out=D

Writes inversion.json, reconstructions.csv, reconstructions.png and every reconstruction below D. The
attack that guides is fitted on half of the members and non-members; success is judged on the others.
"""

import json
import pathlib
import shlex
import sys

import numpy as np
from absl import flags
from PIL import Image

from experiments import cli
from fr_inference import provenance, tables
from fr_inference.convert.generators import open_generator
from fr_inference.convert.open import open_target
from fr_inference.data import sources
from fr_inference.inversion import objective, optimize, scene, stage

_TARGET = flags.DEFINE_string('target', None, 'The backbone to be inverted.', required=True)
_GENERATOR = flags.DEFINE_string(
    'generator', None, 'StyleGAN2: .pkl, .pt, native directory or embedded name.', required=True
)
_EVALUATOR = flags.DEFINE_string(
    'evaluator', None, 'A backbone of another architecture and other people.', required=True
)
_MEMBERS = flags.DEFINE_string('members', None, 'Images it was trained on.', required=True)
_NONMEMBERS = flags.DEFINE_string(
    'nonmembers', None, 'Images of other people from the same source.', required=True
)
_BLIND = flags.DEFINE_string('blind', None, 'A backbone that never saw the members.')
_OUT = flags.DEFINE_string('out', None, 'Folder for the results.', required=True)
_DRAWS = flags.DEFINE_integer('draws', 4096, 'Random latents that are scored.')
_CANDIDATES = flags.DEFINE_integer('candidates', 256, 'The best of them, which are improved.')
_STEPS = flags.DEFINE_integer('steps', 60, 'Of the optimiser.')
_KEEP = flags.DEFINE_integer('keep', 64, 'Reconstructions kept.')
_PICTURES = flags.DEFINE_integer('pictures', 4, 'Moved pictures behind every gradient.')
_RATE = flags.DEFINE_float('learning_rate', 0.1, 'Of a step, in whitened coordinates.')
_OPTIMISER = flags.DEFINE_enum('optimiser', 'adam', optimize.OPTIMISERS, 'Of the latents.')
_APART = flags.DEFINE_float('apart', 0.6, 'Largest cosine between two that are kept.')
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Candidates at a time: bounds memory.')
_SPACE = flags.DEFINE_enum('space', 'w', scene.SPACES, 'Of the latents.')
_PSI = flags.DEFINE_float('psi', 1.0, 'Truncation of the first latents.')
_MEMBERSHIP = flags.DEFINE_enum(
    'membership', 'capped', objective.MEMBERSHIP, "What guides; 'raw' is the paper's logit."
)
_STRENGTH = flags.DEFINE_float('strength', 1.0, 'Weight of the guidance.')
_PRIOR = flags.DEFINE_float('prior', 0.3, 'Weight of staying where random latents are.')
_IDENTITY = flags.DEFINE_float('identity', 0.0, 'Weight of pictures of one latent being alike.')
_AGREEMENT = flags.DEFINE_float('agreement', 0.0, 'Power of the agreement among gradients.')
_UNTRAINED = flags.DEFINE_bool('untrained', True, 'Run the control with an untrained target.')
_SEED = cli.define_seed('Of everything.')
_SKIP_BAD = flags.DEFINE_bool('skip_bad', False, 'Leave unreadable images out.')

_COLUMNS = 8


def main() -> None:
    """Opens everything, searches, judges, writes."""
    settings = stage.Settings(
        plan=optimize.Plan(
            draws=_DRAWS.value,
            candidates=_CANDIDATES.value,
            steps=_STEPS.value,
            keep=_KEEP.value,
            pictures=_PICTURES.value,
            learning_rate=_RATE.value,
            optimiser=_OPTIMISER.value,
            apart=_APART.value,
            batch=_BATCH.value,
            seed=_SEED.value,
        ),
        objective=objective.Objective(
            membership=_MEMBERSHIP.value,
            strength=_STRENGTH.value,
            prior=_PRIOR.value,
            identity=_IDENTITY.value,
            agreement=_AGREEMENT.value,
        ),
        space=_SPACE.value,
        psi=_PSI.value,
        seed=_SEED.value,
        untrained=_UNTRAINED.value,
    )
    generator = open_generator(_GENERATOR.value)
    target = open_target(_TARGET.value)
    evaluator = open_target(_EVALUATOR.value, flag='--evaluator')
    blind = open_target(_BLIND.value, flag='--blind') if _BLIND.value else None
    members = sources.open_faces(_MEMBERS.value, '--members')
    nonmembers = sources.open_faces(_NONMEMBERS.value, '--nonmembers')
    out = cli.make_folder(_OUT.value, '--out')
    result = stage.invert(
        generator,
        target,
        evaluator,
        members,
        nonmembers,
        settings=settings,
        blind=blind,
        skip_bad=_SKIP_BAD.value,
        workdir=out / 'search',
        progress=cli.progress,
    )
    command = shlex.join(['python', '-m', 'experiments.invert', *sys.argv[1:]])
    record = {'provenance': provenance.describe(command), 'inversion': result.record}
    (out / 'inversion.json').write_text(json.dumps(record, indent=1, allow_nan=False) + '\n')
    _save_rows(out, result)
    _save_pictures(out, result)
    print(summary(result.record))


def _save_rows(out: pathlib.Path, result: stage.Inversion) -> None:
    """Writes what the evaluator says of every reconstruction."""
    found, judged, names = result.found, result.judged, np.array(result.gallery.names)
    columns = {
        'number': range(len(found.scores)),
        'objective': found.scores,
        'membership_logit': found.logits,
        'nearest': names[judged.nearest],
        'similarity': judged.similarity,
        'hit': (judged.matched & result.gallery.member[judged.nearest]).astype(int),
        'nearest_member': names[judged.nearest_member],
        'member_similarity': judged.member_similarity,
        'nearest_nonmember': names[judged.nearest_other],
        'nonmember_similarity': judged.other_similarity,
        'claim_rank': judged.rank + 1,
    }
    tables.write(out / 'reconstructions.csv', columns, zip(*columns.values(), strict=True))


def _save_pictures(out: pathlib.Path, result: stage.Inversion) -> None:
    images = result.found.images
    folder = cli.make_folder(out / 'reconstructions', '--out')
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f'{number:04d}.png')
    rows = -(-len(images) // _COLUMNS)
    size = images.shape[1]
    sheet = np.full((rows * _COLUMNS, size, size, 3), 255, np.uint8)
    sheet[: len(images)] = images
    sheet = sheet.reshape(rows, _COLUMNS, size, size, 3).swapaxes(1, 2)
    Image.fromarray(sheet.reshape(rows * size, _COLUMNS * size, 3)).save(
        out / 'reconstructions.png'
    )


def summary(record: dict) -> str:
    """Returns the result in a few lines."""
    low, high = record['hit_rate_ci95']
    lines = [
        f'{record["reconstructions"]} reconstructions: {100 * record["hit_rate"]:.1f} % show a member '
        f'({100 * low:.1f} to {100 * high:.1f}), {record["distinct_identities"]} people; '
        f'top-1 {100 * record["top1"]:.1f} %, top-5 {100 * record["top5"]:.1f} %; '
        f'p = {record["p_value"]:.4f} (permuted gallery)'
    ]
    for name, control in record['controls'].items():
        lines.append(f'  {name.replace("_", " ")}: {100 * control["hit_rate"]:.1f} %')
    excess = record['excess']
    lines.append(
        f'left after the strongest control ({excess["over"].replace("_", " ")}): '
        f'{100 * excess["hit_rate"]:+.1f} points'
    )
    return '\n'.join(lines)


if __name__ == '__main__':
    cli.run(main)
