"""The flags of the second stage: generator, evaluator, and how latents are searched."""

from absl import flags

from experiments import inputs
from fr_inference import checkpoint, checks
from fr_inference.convert.generators import open_generator
from fr_inference.convert.open import locate
from fr_inference.inversion import objective, optimize, scene
from fr_inference.inversion.stage import Request, Settings

_GENERATOR = flags.DEFINE_string(
    'generator', None, 'StyleGAN2: .pkl, .pt, native directory or embedded name.'
)
_EVALUATOR = flags.DEFINE_string(
    'evaluator', None, 'A backbone of another architecture and other people: it judges.'
)
_DRAWS = flags.DEFINE_integer('draws', 4096, 'Random latents that are scored.')
_CANDIDATES = flags.DEFINE_integer('candidates', 256, 'The best of them, which are improved.')
_STEPS = flags.DEFINE_integer('steps', 60, 'Of the optimiser.')
_KEEP = flags.DEFINE_integer('keep', 64, 'Reconstructions kept.')
_PICTURES = flags.DEFINE_integer('pictures', 4, 'Moved pictures behind every gradient.')
_RATE = flags.DEFINE_float('learning_rate', 0.1, 'Of a step, in whitened coordinates.')
_OPTIMISER = flags.DEFINE_enum('optimiser', 'adam', optimize.OPTIMISERS, 'Of the latents.')
_APART = flags.DEFINE_float('apart', 0.6, 'Largest cosine between two that are kept.')
_BATCH = flags.DEFINE_integer('search_batch', 64, 'Candidates at a time: bounds memory.')
_SPACE = flags.DEFINE_enum('space', 'w', scene.SPACES, 'Of the latents.')
_PSI = flags.DEFINE_float('psi', 1.0, 'Truncation of the first latents.')
_MEMBERSHIP = flags.DEFINE_enum(
    'membership', 'capped', objective.MEMBERSHIP, "What guides; 'raw' is the paper's logit."
)
_CENTRES = flags.DEFINE_integer(
    'centres',
    0,
    'Class centres that are estimated and searched for; 0: the membership attack guides.',
)
_STRANGERS = flags.DEFINE_string(
    'strangers',
    None,
    'Faces of anybody else, to estimate --centres from; generated ones if absent.',
)
_STRENGTH = flags.DEFINE_float('strength', 1.0, 'Weight of the guidance.')
_SWEEP = flags.DEFINE_list('sweep', [], 'Further strengths, each searched as well, e.g. 0,0.3,3.')
_PRIOR = flags.DEFINE_float('prior', 0.3, 'Weight of staying where random latents are.')
_IDENTITY = flags.DEFINE_float('identity', 0.0, 'Weight of pictures of one latent being alike.')
_AGREEMENT = flags.DEFINE_float('agreement', 0.0, 'Power of the agreement among gradients.')
_TARGETED = flags.DEFINE_integer('targeted', 0, 'Members whose stored template is inverted too.')
_UNTRAINED = flags.DEFINE_bool('untrained', True, 'Run the control with an untrained target.')


def request() -> Request | None:
    """Returns what the flags ask for; None without a generator.

    Raises:
      InputError: for a generator without an evaluator.
    """
    if _GENERATOR.value is None:
        checks.require(_EVALUATOR.value is None, '--evaluator: found without --generator')
        return None
    checks.require(
        _EVALUATOR.value is not None,
        '--evaluator: missing; --generator needs a backbone of another architecture and other '
        'training people, which judges the reconstructions',
    )
    settings = Settings(
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
        untrained=_UNTRAINED.value,
        centres=_CENTRES.value,
        strengths=tuple(_strength(text) for text in _SWEEP.value),
        targeted=_TARGETED.value,
    )
    return Request(
        generator=open_generator(_GENERATOR.value),
        evaluator=inputs.backbone(_EVALUATOR),
        strangers=inputs.faces(_STRANGERS),
        evaluator_digests=checkpoint.read_members(locate(str(_EVALUATOR.value))),
        settings=settings,
    )


def _strength(text):
    try:
        return float(text)
    except ValueError:
        raise checks.InputError(f'--sweep: found {text!r}, expected numbers') from None
