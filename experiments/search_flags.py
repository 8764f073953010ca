"""The flags of the second stage: generator, evaluator, and how latents are searched."""

from absl import flags

from fr_inference.inversion import guidance, scene

OPTIONS = (
    flags.DEFINE_string(
        'generator', None, 'StyleGAN2: .pkl, .pt, native directory or embedded name.'
    ),
    flags.DEFINE_string(
        'evaluator', None, 'A backbone of another architecture and other people: it judges.'
    ),
    flags.DEFINE_integer('draws', 4096, 'Random latents that are scored.'),
    flags.DEFINE_integer('candidates', 256, 'The best of them, which are improved.'),
    flags.DEFINE_integer('steps', 60, 'Improvements of each candidate.'),
    flags.DEFINE_integer('keep', 64, 'Reconstructions kept.'),
    flags.DEFINE_integer('pictures', 4, 'Moved pictures behind every gradient.'),
    flags.DEFINE_float('learning_rate', 0.1, 'Of a step, in whitened coordinates.'),
    flags.DEFINE_enum(
        'optimiser', 'adam', ('adam', 'projected'), 'Adam, or the steps of the paper.'
    ),
    flags.DEFINE_float('apart', 0.6, 'Largest cosine between two that are kept.'),
    flags.DEFINE_integer('search_batch', 64, 'Candidates at a time: bounds memory.'),
    flags.DEFINE_enum('space', 'w', scene.SPACES, 'What is improved.'),
    flags.DEFINE_float('psi', 1.0, 'Truncation of the first latents, above 0.'),
    flags.DEFINE_enum(
        'membership',
        None,
        guidance.KINDS,
        "What guides: raw, the paper's logit; capped at the members' median (default); density.",
    ),
    flags.DEFINE_integer(
        'centres',
        0,
        'Class centres that are estimated; the --keep most reliable are searched for; 0: the membership '
        'attack guides.',
    ),
    flags.DEFINE_string(
        'strangers',
        None,
        'Faces of anybody else, to estimate --centres from; generated ones if absent.',
    ),
    flags.DEFINE_float('strength', 1.0, 'Weight of the guidance.'),
    flags.DEFINE_list('sweep', [], 'Further strengths, each searched as well, e.g. 0,0.3,3.'),
    flags.DEFINE_float('prior', 0.3, 'Weight of staying where random latents are.'),
    flags.DEFINE_integer('targeted', 0, 'Members whose stored template is inverted too.'),
    flags.DEFINE_bool('untrained', True, 'Run the control with an untrained target.'),
)
