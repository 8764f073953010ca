"""Verifies a target on pairs of faces: is it loaded right? Ends with its LFW-protocol accuracy.

  python -m experiments.verify --target=T --faces=DIR --pairs=CSV
  python -m experiments.verify --target=T --pairs=lfw.bin

Each fold's threshold is chosen on the others. Only images that the pairs name are read.
"""

from absl import flags

from experiments import cli, faces_flags
from fr_inference import errors
from fr_inference.data import pairs, verification_bin
from fr_inference.measuring import measurements
from fr_inference.metrics import verification
from fr_inference.weights.targets import open_target

flags.adopt_module_key_flags(faces_flags)
_TARGET = flags.DEFINE_string(
    'target', None, 'Checkpoint file, native checkpoint directory or embedded name.', required=True
)
_FACES = flags.DEFINE_string('faces', None, faces_flags.SOURCES)
_PAIRS = flags.DEFINE_string(
    'pairs',
    None,
    'CSV fold,first,second,same; paths below --faces, same is 1 or 0. Or a verification set as '
    "insightface's lfw.bin, which brings its images.",
    required=True,
)
_MIRROR = flags.DEFINE_enum(
    'mirror',
    None,
    verification.MIRRORS,
    "How the mirror image's embedding joins the image's; by default as the architecture's own "
    'evaluation does: concat for mobilefacenet_prelu, add for all others.',
)
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images at a time.', lower_bound=1)


def main() -> None:
    """Embeds the images that the pairs name, each once, and runs the protocol."""
    listed = _open_pairs()
    target = open_target(_TARGET.value)
    mirror = _MIRROR.value or ('concat' if target.architecture == 'mobilefacenet_prelu' else 'add')

    def embed(mirrored):
        return measurements.measure(
            target,
            listed.faces,
            batch_size=_BATCH.value,
            mirror=mirrored,
            label='mirror images' if mirrored else 'images',
            progress=cli.progress,
        ).embeddings

    embeddings = verification.combine_mirror(
        embed(False), None if mirror == 'none' else embed(True), mirror
    )
    print(f'{target.name}: {target.architecture}, {len(listed.faces)} images, mirror {mirror}')
    scores = verification.cosine(embeddings[listed.first], embeddings[listed.second])
    print(verification.verify(scores, listed.same, listed.folds))


def _open_pairs():
    if _PAIRS.value.lower().endswith('.bin'):
        errors.require(
            _FACES.value is None,
            f'--faces: found {_FACES.value}, but {_PAIRS.value} brings its own images; leave it out',
        )
        return verification_bin.open_bin(_PAIRS.value)
    if _FACES.value is None:
        raise errors.InputError('--faces: not given, expected the images that --pairs names')
    reading = faces_flags.options()
    return pairs.open_pairs(
        _PAIRS.value,
        _FACES.value,
        identity_key=reading['identity_key'],
        data_dir=reading['data_dir'],
    )


if __name__ == '__main__':
    cli.run(main, saves=False)
