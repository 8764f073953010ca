"""The options: default, range and one line of help for each.

Library functions take these classes; `program_config` has the options of the other programs. The
flags of the programs, the columns of a batch table, the command that an audit records and the
arguments of the Python API are all made from their fields (`cli.options`), so that each option is
defined once.

>>> Settings(batch_size=0)
Traceback (most recent call last):
...
fr_inference.errors.InputError: batch_size: found 0, expected 1 or more
"""

import dataclasses
import math
import sys
from collections.abc import Collection, Mapping
from typing import Any

from fr_inference import errors
from fr_inference.declaring import Config, Option, explicit, kind_of, option, options_of, replace

__all__ = ['Config', 'Option', 'explicit', 'kind_of', 'option', 'options_of', 'replace']

# Groups of options, in the order in which users need them and `--helpshort` shows them.
GROUPS = {
    'target': 'The backbone',
    'faces': 'Faces',
    'defence': 'Defences',
    'attack': 'Membership inference',
    'search': 'Model inversion',
    'judge': 'Judge of the reconstructions',
    'training': 'Training',
    'measured': 'What is measured',
    'output': 'Results',
    'machine': 'Speed, memory and processes',
}

# The kinds of things that a text option may name, and how they are written.
NAMES = {
    'BACKBONE': (
        'a checkpoint file or a native folder, local or at an address (gs://..., s3://...), or the '
        'name of an embedded backbone'
    ),
    'GENERATOR': (
        'a StyleGAN2: .pkl, .pt or a native folder, local or at an address, or the name of an '
        'embedded generator'
    ),
    'FACES': (
        'a folder with one sub-folder per person, a CSV manifest (path,identity) or an insightface '
        '.rec, local or at an address; tfds:NAME:SPLIT or procedural:SPEC'
    ),
    'FOLDER': 'a folder, or an address (gs://BUCKET/NAME)',
    'FILE': '',
}

SEED: Mapping[str, Any] = {'low': 0, 'high': 2**31 - 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading(Config):
    """How faces are opened."""

    identity_key: str | None = option(
        None, 'tfds only: the feature with the identity (default: label, else identity).', 'faces'
    )
    data_dir: str | None = option(
        None, "tfds only: the folder of the sets (default: tfds's own).", 'faces', names='FOLDER'
    )

    def check_given(self, given: Mapping[str, Any]) -> None:
        """These two options need a tfds set."""
        super().check_given(given)
        faces = [
            name for name, (_, known) in options_of(type(self)).items() if known.names == 'FACES'
        ]
        if any((getattr(self, name) or '').startswith('tfds:') for name in faces):
            return
        for name in ('identity_key', 'data_dir'):
            if name in given:
                raise errors.InputError(name, 'no tfds set among the faces', 'tfds:NAME:SPLIT')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aligning(Reading):
    """How faces are opened if they may be unaligned photographs."""

    align: bool = option(
        False,
        'Find the face in each photograph and crop it to the 112 x 112 ArcFace template (needs '
        'fr_inference[align]).',
        'faces',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part(Config):
    """Which backbone of a checkpoint is meant."""

    part: str | None = option(
        None,
        'Which backbone to take from a file that holds several: a prefix that the error message '
        'lists; for an ONNX graph, the tensor with the embedding.',
        'target',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pixels(Config):
    """How a backbone expects its images, overriding its file."""

    colour: str | None = option(
        None,
        "Order of the channels (default: the file's).",
        'target',
        choices='fr_inference.models.target:COLOURS',
    )
    mean: tuple[float, ...] | None = option(
        None,
        'Mean of each channel, in the order of --colour, on the scale 0 to 255 (default: the '
        "file's).",
        'target',
    )
    std: tuple[float, ...] | None = option(
        None,
        'Divisor of each channel, in the order of --colour, on the scale 0 to 255 (default: '
        "the file's).",
        'target',
        above=0,
    )
    input_size: str | None = option(
        None, "HEIGHTxWIDTH of the images, pixels, or one number (default: the file's).", 'target'
    )

    def check(self) -> None:
        """Sizes must be whole numbers of pixels; mean and std must have three values."""
        for name in ('mean', 'std'):
            values = getattr(self, name)
            if values is not None and len(values) != 3:
                raise errors.InputError(name, values, 'three numbers as in 123.7,116.3,103.5')
        _ = self.input

    @property
    def input(self) -> dict[str, Any]:
        """The given fields of an `InputSpec`."""
        given = {name: getattr(self, name) for name in ('colour', 'mean', 'std')}
        if self.input_size is not None:
            height, separator, width = self.input_size.partition('x')
            if not all(
                side.isdecimal() and len(side) < 9 for side in (height, width if separator else '1')
            ):
                raise errors.InputError(
                    'input_size', f'{self.input_size!r:.40}', 'HEIGHTxWIDTH in pixels as in 112x96'
                )
            given |= {'height': int(height), 'width': int(width or height)}
        return {name: value for name, value in given.items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convention(Pixels):
    """How a backbone expects its images, and how its own evaluation uses mirror images."""

    mirror: str | None = option(
        None,
        "How verification uses the embedding of the mirrored image (default: as the backbone's own "
        'evaluation does).',
        'target',
        choices='fr_inference.metrics.verification:MIRRORS',
    )

    @property
    def input(self) -> dict[str, Any]:
        """The given fields of an `InputSpec`."""
        return {**super().input, **({} if self.mirror is None else {'mirror': self.mirror})}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone(Part, Convention):
    """A backbone, and how it is read."""

    target: str = option(..., 'The backbone.', 'target', names='BACKBONE')
    dtype: str | None = option(
        None,
        'Arithmetic (default: as the checkpoint says).',
        'target',
        choices='fr_inference.models.registry:DTYPES',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs(Aligning, Backbone):
    """What an audit is about: backbones, faces and generator, each a path or a name."""

    members: str = option(
        ...,
        'Images that the backbone was trained on.',
        'faces',
        names='FACES',
        absent='an audit needs training images (docs/verdicts.md, A public checkpoint)',
    )
    nonmembers: str = option(
        ..., 'Images of other people from the same source.', 'faces', names='FACES'
    )
    member_identities: str | None = option(
        None, 'Further images of the people in --members.', 'faces', names='FACES'
    )
    shift: str | None = option(None, 'Faces from another source.', 'faces', names='FACES')
    collection: str | None = option(
        None,
        'Faces that may or may not have been trained on: estimates how many were.',
        'faces',
        names='FACES',
    )
    auxiliary: str | None = option(
        None,
        'Faces of further people: adds attacks that know no member (they use a shadow, trained on '
        'these).',
        'faces',
        names='FACES',
    )
    shadow: str | None = option(
        None,
        'Native checkpoint trained on a part of --auxiliary (default: trained here).',
        'attack',
        names='BACKBONE',
    )
    shadow_init: str | None = option(
        None,
        'Checkpoint from which the shadow trained here starts (default: random weights).',
        'attack',
        names='BACKBONE',
    )
    blind: str | None = option(
        None,
        'Blind control: a backbone that never saw the members (default: random weights).',
        'attack',
        names='BACKBONE',
    )
    references: tuple[str, ...] = option(
        (),
        'Networks that training may have started from, or similar ones: adds attacks that use them.',
        'attack',
        names='BACKBONE',
    )
    generator: str | None = option(
        None,
        'StyleGAN2 generator that was not trained on any of these people; model inversion needs it.',
        'search',
        names='GENERATOR',
    )
    strangers: str | None = option(
        None,
        'Faces of other people from which --centres are estimated (default: generated ones).',
        'search',
        names='FACES',
    )
    evaluator: str | None = option(
        None,
        'A backbone of another architecture, trained on other people; model inversion needs it.',
        'judge',
        names='BACKBONE',
    )
    second_evaluator: str | None = option(
        None,
        'A second such backbone: only what both evaluators agree on counts.',
        'judge',
        names='BACKBONE',
    )
    pseudonyms: str | None = option(
        None,
        'File with a secret key, created if it does not exist: results name people and images by a '
        'keyed hash; further columns of manifests stay as they are (docs/verdicts.md, Pseudonyms).',
        'output',
        names='FILE',
    )

    def check(self) -> None:
        """A search needs an evaluator, a shadow needs faces."""
        super().check()
        check_parts(self.parts)

    @property
    def parts(self) -> set[str]:
        """Names of the parts that were given."""
        return {name for name in options_of(Inputs) if getattr(self, name) not in (None, ())}


_NEEDS_GENERATOR = 'needs a generator: also give generator=GENERATOR'


def check_parts(given: Collection[str]) -> None:
    """Checks that no part of an audit is given without another part that it needs.

    Args:
      given: names of the parts that are given, as in `Inputs`.

    Raises:
      InputError: names the part.
    """
    if 'generator' in given and 'evaluator' not in given:
        raise errors.InputError(
            'evaluator',
            'none',
            'a backbone of another architecture, trained on other people, which judges the '
            'reconstructions',
        )
    for name in ('evaluator', 'second_evaluator', 'strangers'):
        if name in given and 'generator' not in given:
            raise errors.InputError(name, hint=_NEEDS_GENERATOR)
    for name, was in (('shadow', 'was trained'), ('shadow_init', 'is to be trained')):
        if name in given and 'auxiliary' not in given:
            raise errors.InputError(
                name, 'no auxiliary faces', hint=f'also give auxiliary=FACES, those it {was} on'
            )
    if 'shadow' in given and 'shadow_init' in given:
        raise errors.InputError(
            'shadow_init', 'a shadow that is already trained', 'one of shadow and shadow_init'
        )


def check_strangers(given: Collection[str], search: 'Search') -> None:
    """Checks that strangers are given only for class centres; `given` as in `check_parts`."""
    if 'strangers' in given and not search.centres:
        raise errors.InputError(
            'strangers', 'centres=0', hint='set centres above 0 to use strangers'
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measuring(Config):
    """How images are measured."""

    batch_size: int = option(64, 'Images measured at a time.', 'machine', low=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitting(Config):
    """What to do if images do not fit the input convention of the backbone."""

    allow_misfit: bool = option(
        False,
        'Continue if the images clearly fit another input convention better, and report it.',
        'target',
    )


def _named(attack):
    """Returns 'module:name' of a function or class that can be imported so, else the argument."""
    name = getattr(attack, '__qualname__', None)
    module = sys.modules.get(getattr(attack, '__module__', None) or '')
    if name is None or getattr(module, name, None) is not attack:
        return attack
    return f'{attack.__module__}:{name}'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Fitting, Measuring):
    """How an audit is run."""

    seed: int = option(
        0, 'Random seed of splits, searches, controls and intervals.', 'attack', **SEED
    )
    attacks: tuple[str, ...] = option(
        (),
        'Attacks to run, or MODULE:NAME of your own (default: all that take one pass).',
        'attack',
        choices='fr_inference.membership.attacks:NAMES',
        own=True,
    )

    reach: bool = option(
        False,
        'Test a leak on mirrored, shifted, cropped and recompressed copies too (takes further passes).',
        'attack',
    )
    replicates: int = option(
        1000,
        'Resamples of the bootstrap behind each interval.',
        'attack',
        low=100,
        high=100_000,
        flag=False,
    )
    allow_overlap: bool = option(
        False, 'Continue if the given faces share people or images, and report it.', 'faces'
    )
    skip_bad: bool = option(False, 'Leave unreadable images out and list them.', 'faces')
    decoders: int = option(
        0, 'Processes that decode images; 0: threads of this process.', 'machine', low=0, high=1024
    )

    def __post_init__(self) -> None:
        """In Python, an attack may be given as a function or class instead of its name."""
        if isinstance(self.attacks, (list, tuple)):
            object.__setattr__(self, 'attacks', tuple(map(_named, self.attacks)))
        super().__post_init__()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents(Config):
    """How latents are searched, whatever the goal."""

    draws: int = option(4096, 'Random latents that are scored first.', 'search', low=1)
    candidates: int = option(256, 'Number of the best draws that are improved.', 'search', low=1)
    steps: int = option(60, 'Improvement steps of each candidate; 0 for none.', 'search', low=0)
    pictures: int = option(
        4, 'Randomly shifted pictures over which each gradient is averaged.', 'search', low=2
    )
    learning_rate: float = option(
        0.1, 'Step size in whitened coordinates; decays to 0 along a cosine.', 'search', above=0
    )
    optimiser: str = option(
        'adam',
        "adam, or projected: the paper's steps along the unit gradient.",
        'search',
        choices='fr_inference.inversion.candidate:OPTIMISERS',
    )
    space: str = option(
        'w', 'Which latents are improved.', 'search', choices='fr_inference.inversion.scene:SPACES'
    )
    psi: float = option(1.0, 'Truncation of the random latents.', 'search', above=0)
    framing: str | None = option(
        None,
        "What the generator's pictures show: face (cropped as the backbone expects) or ffhq (the whole "
        'head as in FFHQ, from which the search crops the face); default: ffhq from 256 pixels on.',
        'search',
        choices='fr_inference.inversion.framing:FRAMINGS',
    )
    search_batch: int = option(
        64, 'Candidates computed at a time on each device; bounds memory.', 'machine', low=1
    )

    def check_given(self, given: Mapping[str, Any]) -> None:
        """Without steps, these options would be ignored."""
        super().check_given(given)
        for name in ('learning_rate', 'optimiser'):
            if self.steps == 0 and name in given:
                raise errors.InputError(name, 'a value beside steps=0', 'none: there is no step')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search(Latents):
    """How a generator is searched for members' faces.

    The goal is membership (as in the paper: the attack guides the search) or, with `centres`, class
    centres that are estimated from faces of strangers. Inverting stored templates (`targeted`) is
    separate from both.
    """

    membership: str | None = option(
        None,
        "The attack's guidance: its logit (raw, the paper's), the logit up to the members' median "
        '(capped), or a density of members (default: capped).',
        'search',
        choices='fr_inference.inversion.guidance:KINDS',
    )
    centres: int = option(
        0,
        'Class centres to estimate from strangers; the --keep most reliable ones replace the '
        'attack as the goal of the search; 0 for none.',
        'search',
        low=0,
    )
    strength: float = option(1.0, 'Weight of the guidance.', 'search', low=0)
    sweep: tuple[float, ...] = option(
        (), 'Further strengths, each with a search of its own, such as 0,0.3,3.', 'search', low=0
    )
    prior: float = option(
        0.3, 'Weight of the penalty for leaving the region of random latents.', 'search', low=0
    )
    targeted: int = option(
        0,
        'Number of members whose stored template is inverted as well (with its own strength and '
        'prior, recorded in audit.json).',
        'search',
        low=0,
    )
    keep: int = option(64, 'Number of reconstructions that are kept and judged.', 'search', low=1)
    apart: float = option(
        0.6,
        'Largest cosine between two reconstructions that are kept; 1 for any.',
        'search',
        low=-1,
        high=1,
    )
    untrained: bool = option(
        True, 'Run the control with an untrained backbone (takes as long as the search).', 'judge'
    )

    def check(self) -> None:
        """Each stage keeps some of the previous one; no option may be given that would be ignored."""
        if not self.keep <= self.candidates <= self.draws:
            raise errors.InputError(
                'candidates',
                f'{self.candidates} with draws={self.draws} and keep={self.keep}',
                'draws >= candidates >= keep',
            )
        if self.centres and self.membership is not None:
            raise errors.InputError(
                'membership',
                f'{self.membership!r} beside centres={self.centres}',
                'one goal of the search: the attack or class centres',
            )
        if len({f'{one:g}' for one in self.sweep}) < len(self.sweep):
            raise errors.InputError('sweep', self.sweep, 'different strengths')

    def check_given(self, given: Mapping[str, Any]) -> None:
        """With class centres, `apart` would be ignored."""
        super().check_given(given)
        if self.centres and 'apart' in given:
            raise errors.InputError(
                'apart',
                f'{self.apart:g} beside centres={self.centres}',
                'none: each centre keeps its own reconstructions, however alike',
            )

    @property
    def goal(self) -> str:
        """'membership' or 'centres'."""
        return 'centres' if self.centres else 'membership'


def search_of(inputs: Inputs, given: Mapping[str, Any]) -> Search | None:
    """Returns the search of an audit, None without a generator.

    Args:
      inputs: the inputs of the audit.
      given: the options of `Search` that were given explicitly.

    Raises:
      InputError: for an option that would be ignored.
    """
    if inputs.generator is None:
        for name in given:
            raise errors.InputError(name, hint=_NEEDS_GENERATOR)
        return None
    search = explicit(Search, given)
    check_strangers(inputs.parts, search)
    return search


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Config):
    """What a report shows."""

    thumbnails: bool | None = option(
        None, 'Show faces in the report (default: yes, but not with --pseudonyms).', 'output'
    )
    advice: str | None = option(
        None,
        'study.json of study_defences; the report quotes its recommendation under "What helps".',
        'output',
        names='FILE',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output(Report):
    """Where an audit writes its results."""

    out: str = option(..., 'Folder for the results.', 'output', names='FOLDER')
    scores: str | None = option(
        None,
        'Folder for measurements, which audits may share (default: OUT/scores).',
        'output',
        names='FOLDER',
    )
    card: str | None = option(
        None,
        'Write the privacy section of a Hugging Face model card: verdict and figures, no names.',
        'output',
        names='FILE',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profiling(Config):
    """Whether a few steps are traced."""

    profile: str | None = option(
        None,
        'Folder for a trace of a few steps of each loop, which XProf and Perfetto open.',
        'machine',
        names='FOLDER',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gates(Config):
    """What fails an audit."""

    fail_above: tuple[str, ...] = option(
        (),
        'Exit with code 3 unless these gates pass: verdict (must be clear), or figures with their '
        'largest allowed value, such as auc_high:0.6,hit_rate_high:0.1 (docs/gates.md lists all).',
        'output',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Config):
    """How a backbone is trained."""

    margin: str = option(
        'arcface',
        'Margin softmax.',
        'training',
        choices='fr_inference.training.margin:MARGINS',
    )
    m1: float | None = option(
        None, "Factor of the angle (default: the margin's).", 'training', low=1, high=8
    )
    m2: float | None = option(
        None,
        "Added to the angle, radians (default: the margin's).",
        'training',
        low=0,
        high=math.pi,
    )
    m3: float | None = option(
        None, "Subtracted from the cosine (default: the margin's).", 'training', low=0, high=2
    )
    scale: float = option(64.0, 'Scale of the softmax.', 'training', above=0)
    epochs: int = option(20, 'Passes over the images.', 'training', low=0, high=1_000_000)
    batch_size: int = option(64, 'Images per step.', 'training', low=2)
    learning_rate: float = option(0.1, 'Peak learning rate of SGD.', 'training', above=0)
    momentum: float = option(0.9, 'Momentum of SGD.', 'training', low=0, high=0.9999, flag=False)
    weight_decay: float = option(
        5e-4,
        'L2 penalty of convolution and dense kernels and of class centres.',
        'training',
        low=0,
    )
    warmup: float = option(
        0.05,
        'Share of the steps over which the rate rises.',
        'training',
        low=0,
        high=0.99,
        flag=False,
    )
    mirror: bool = option(True, 'Mirror images at random.', 'training')
    erasing: float = option(
        0.0,
        'Share of the images in which a rectangle is replaced by noise (random erasing).',
        'training',
        low=0,
        high=1,
    )
    label_smoothing: float = option(
        0.0,
        'Share of the label that is spread evenly over all people; negative values sharpen it.',
        'training',
        low=-1,
        high=0.99,
    )
    frozen: float = option(
        0.0,
        'Share of the layers, from the first, whose weights and statistics are not trained.',
        'training',
        low=0,
        high=0.99,
    )
    cross_replica: bool = option(
        True, "BatchNorm over the whole batch instead of each device's part of it.", 'training'
    )
    epsilon: float | None = option(
        None,
        'Train with differential privacy (DP-SGD) with at most this epsilon in total; needs '
        'fr_inference[private] and --norm=group, layer or instance.',
        'training',
        above=0,
    )
    noise_multiplier: float | None = option(
        None,
        'Instead of --epsilon: standard deviation of the noise, in multiples of --clip_norm.',
        'training',
        above=0,
    )
    clip_norm: float = option(
        1.0, "Private training: largest norm of a unit's gradient.", 'training', above=0
    )
    delta: float | None = option(
        None,
        'Private training: delta of the guarantee (default: 1 / number of units).',
        'training',
        above=0,
        high=0.5,
    )
    privacy_unit: str = option(
        'image',
        'Private training: whether the guarantee protects each image, or each person with all images.',
        'training',
        choices=('image', 'person'),
    )
    noise_seed: int | None = option(
        None,
        'Makes private training repeatable, for experiments. Its noise then protects nobody, and '
        'no epsilon is recorded (default: noise seeded by the operating system).',
        'training',
        flag=False,
        **SEED,
    )
    seed: int = option(0, 'Random seed of weights, order and mirroring.', 'training', **SEED)

    def check(self) -> None:
        """The noise is given by epsilon or by noise_multiplier, not both."""
        if self.epsilon is not None and self.noise_multiplier is not None:
            raise errors.InputError(
                'noise_multiplier', f'{self.noise_multiplier:g} beside epsilon', 'one of the two'
            )

    def check_given(self, given: Mapping[str, Any]) -> None:
        """These options need private training."""
        super().check_given(given)
        for name in ('clip_norm', 'delta', 'privacy_unit', 'noise_seed'):
            if name in given and not self.private:
                raise errors.InputError(
                    name, 'no private training', hint='also give epsilon or noise_multiplier'
                )

    @property
    def private(self) -> bool:
        """Whether the training is differentially private."""
        return self.epsilon is not None or self.noise_multiplier is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorRecipe(Config):
    """How a StyleGAN2 generator is trained."""

    images: int = option(1_000_000, 'Real images shown in total.', 'training', low=1)
    batch_size: int = option(32, 'Images per step.', 'training', low=1)
    learning_rate: float = option(
        0.0025, 'Learning rate of Adam, for both networks.', 'training', above=0
    )
    r1: float | None = option(
        None,
        'Weight of the gradient penalty (default: 0.0002 resolution^2 / batch_size).',
        'training',
        low=0,
    )
    r1_every: int = option(16, 'Steps between gradient penalties.', 'training', low=1, flag=False)
    path_length: float = option(
        0.0, 'Weight of the path-length penalty; 0 for none.', 'training', low=0
    )
    path_every: int = option(
        8, 'Steps between path-length penalties.', 'training', low=1, flag=False
    )
    style_mixing: float = option(
        0.9, 'Share of images whose w mixes two latents.', 'training', low=0, high=1, flag=False
    )
    ema_images: int = option(
        10_000,
        'Half-life of the moving average of the weights, in images.',
        'training',
        low=1,
        flag=False,
    )
    augmentation: str = option(
        'none',
        'Needed by small sets (below some 20,000 images).',
        'training',
        choices='fr_inference.training.generator:AUGMENTATIONS',
    )
    mirror: bool = option(True, 'Mirror images at random.', 'training')
    seed: int = option(0, 'Random seed of weights and of every draw.', 'training', **SEED)
