"""Every option once: its default, its range and one line of help.

Library functions take these classes. The flags of the programs, the columns of a batch table, the
command that an audit records and the arguments of the Python API are all made from their fields
(`cli.options`), so that an option is written down here and nowhere else.

>>> Settings(batch_size=0)
Traceback (most recent call last):
...
fr_inference.errors.InputError: batch_size: found 0, expected 1 or more
"""

import dataclasses
import importlib
import math
import os
import pathlib
import re
import types
import typing
from collections.abc import Iterable
from typing import Any

from fr_inference import errors

# What options are for, in the order in which people need them; `--helpshort` shows them so.
GROUPS = {
    'target': 'The backbone that is audited',
    'faces': 'Faces',
    'attack': 'Membership inference',
    'search': 'Model inversion: generator and search',
    'judge': 'Model inversion: who judges the reconstructions',
    'training': 'Training',
    'measured': 'What is measured',
    'output': 'Results',
    'machine': 'Speed and memory',
}

SOURCES = (
    'Folder with one sub-folder per person, CSV manifest (path,identity), insightface .rec, '
    'tfds:NAME:SPLIT or procedural:SPEC.'
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """What is known of one option besides its name, type and default.

    Attributes:
      help: one line.
      group: in `GROUPS`.
      low: smallest value.
      above: what the value must exceed.
      high: largest value.
      choices: the values that there are: a tuple of texts, or 'module:name' of a table that a module
        above this one holds, read when it is asked for.
      flag: whether the programs have it; otherwise it is an option of the Python API alone.
    """

    help: str
    group: str
    low: float | None = None
    above: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | str | None = None
    flag: bool = True

    def allowed(self) -> tuple[str, ...] | None:
        """Returns the choices, None where any value in the range will do."""
        if not isinstance(self.choices, str):
            return self.choices
        module, _, name = self.choices.partition(':')
        return tuple(getattr(importlib.import_module(module), name))

    def range(self) -> str:
        """Returns the range in words, '' without one."""
        if self.above is not None:
            low = f'above {self.above:g}'
            return low if self.high is None else f'{low}, at most {self.high:g}'
        if self.low is None:
            return '' if self.high is None else f'at most {self.high:g}'
        return f'{self.low:g} or more' if self.high is None else f'{self.low:g} to {self.high:g}'


def option(default: Any, help: str, group: str, **known: Any) -> Any:
    """Returns a dataclass field with an `Option`; `...` as the default makes it required."""
    described: dict[str, Any] = {'metadata': {'option': Option(help=help, group=group, **known)}}
    if default is not ...:
        described['default'] = default
    return dataclasses.field(**described)


class Config:
    """Base of all options: checks every field's type, range and choices, then `check`."""

    def __post_init__(self) -> None:
        for name, (field, known) in options_of(type(self)).items():
            value = getattr(self, name)
            if value is None and field.default is None:
                continue
            _check_type(name, value, kind_of(type(self), name))
            for one in value if isinstance(value, tuple) else (value,):
                _check_value(name, one, known)
        self.check()

    def check(self) -> None:
        """Raises `InputError` for values that do not fit each other."""


@typing.no_type_check  # dataclasses.fields wants an instance's type that mypy cannot name
def options_of(kind: type[Config]) -> dict[str, tuple[dataclasses.Field, Option]]:
    """Returns name -> (field, option) of a class, in the order of the class."""
    return {
        field.name: (field, field.metadata['option'])
        for field in dataclasses.fields(kind)
        if 'option' in field.metadata
    }


def kind_of(kind: type[Config], name: str) -> type:
    """Returns the type of an option's values: bool, int, float, str, or tuple[int | float | str, ...].

    >>> kind_of(Settings, 'seed'), kind_of(Search, 'sweep'), kind_of(Inputs, 'shadow')
    (<class 'int'>, tuple[float, ...], <class 'str'>)
    """
    hint = typing.get_type_hints(kind)[name]
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def _check_type(name, value, kind):
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
    values = value if typing.get_origin(kind) is tuple else (value,)
    fits = isinstance(values, tuple) and all(
        type(one) is inner
        or (inner is float and type(one) is int)
        or (inner is str and isinstance(one, os.PathLike))
        for one in values
    )
    if not fits:
        called = {int: 'a whole number', float: 'a number', str: 'text', bool: 'True or False'}
        many = 'a tuple, each ' if typing.get_origin(kind) is tuple else ''
        raise errors.InputError(name, repr(value)[:200], f'{many}{called[inner]}')


def _check_value(name, value, known):
    if (allowed := known.allowed()) is not None:
        errors.one_of(name, value, allowed)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    outside = (
        not math.isfinite(value)
        or (known.low is not None and value < known.low)
        or (known.above is not None and value <= known.above)
        or (known.high is not None and value > known.high)
    )
    if outside:
        raise errors.InputError(name, repr(value), known.range() or 'a finite number')


def replace(config: Any, **changes: Any) -> Any:
    """Returns the same options with some of them changed, checked again."""
    return dataclasses.replace(config, **changes)


def not_default(config: Config, names: Iterable[str]) -> list[str]:
    """Returns those of `names` whose value is not the default."""
    known = options_of(type(config))
    return [name for name in names if getattr(config, name) != known[name][0].default]


_SEED = {'low': 0, 'high': 2**31 - 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading(Config):
    """How faces are opened."""

    identity_key: str | None = option(
        None, 'Feature of tfds sets that says who it is; label, else identity, by default.', 'faces'
    )
    data_dir: str | None = option(
        None, 'Folder of tfds sets; the one that tfds uses by default.', 'faces'
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs(Reading):
    """What an audit is about: backbones, faces and generator, each a path or a name."""

    target: str = option(
        ..., 'The backbone: a checkpoint file, a native folder or an embedded name.', 'target'
    )
    dtype: str | None = option(
        None,
        'Arithmetic, in place of what the checkpoints say.',
        'target',
        choices='fr_inference.models.registry:DTYPES',
    )
    members: str = option(..., 'Images it was trained on.', 'faces')
    nonmembers: str = option(..., 'Images of other people from the same source.', 'faces')
    member_identities: str | None = option(None, "Other images of the members' people.", 'faces')
    shift: str | None = option(None, 'Faces of another source.', 'faces')
    auxiliary: str | None = option(None, 'Faces for a shadow: nobody of the above.', 'faces')
    shadow: str | None = option(None, 'Native checkpoint trained on part of --auxiliary.', 'attack')
    shadow_init: str | None = option(None, 'What a shadow trained here starts from.', 'attack')
    blind: str | None = option(
        None,
        'Blind control: a backbone that never saw the members; random weights by default.',
        'attack',
    )
    generator: str | None = option(
        None, 'StyleGAN2: .pkl, .pt, native folder or embedded name.', 'search'
    )
    strangers: str | None = option(
        None,
        'Faces of anybody else, to estimate --centres from; generated ones by default.',
        'search',
    )
    evaluator: str | None = option(
        None, 'A backbone of another architecture and other people: it judges.', 'judge'
    )

    def check(self) -> None:
        """A search needs its judge, a shadow its faces."""
        if self.generator is not None and self.evaluator is None:
            raise errors.InputError(
                'evaluator',
                expected='a backbone of another architecture and other training people, which '
                'judges what the generator makes',
            )
        for name in ('evaluator', 'strangers'):
            if getattr(self, name) is not None and self.generator is None:
                raise errors.InputError(
                    name, 'one without generator', 'the generator whose faces are searched'
                )
        for name in ('shadow', 'shadow_init'):
            if getattr(self, name) is not None and self.auxiliary is None:
                raise errors.InputError(
                    name,
                    'one without auxiliary',
                    'the faces that it was trained on, or is to be trained on',
                )
        if self.shadow is not None and self.shadow_init is not None:
            raise errors.InputError(
                'shadow_init', 'one beside a shadow that is trained already', 'one of the two'
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """How an audit is done."""

    seed: int = option(0, 'Of splits, searches, controls and intervals.', 'attack', **_SEED)
    attacks: tuple[str, ...] = option(
        (),
        'Attacks that are run; all by default.',
        'attack',
        choices='fr_inference.membership.attacks:NAMES',
    )
    replicates: int = option(
        1000, 'Of the bootstrap behind each interval.', 'attack', low=100, high=100_000, flag=False
    )
    allow_overlap: bool = option(
        False, 'Go on when the parts share people or images, and say so.', 'faces'
    )
    skip_bad: bool = option(False, 'Leave unreadable images out and list them.', 'faces')
    batch_size: int = option(64, 'Images measured at a time.', 'machine', low=1)
    decoders: int = option(
        0, 'Processes that decode images; 0: threads of this one.', 'machine', low=0, high=1024
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search(Config):
    """How a generator's latents are searched.

    The goal is membership (the paper's: the attack guides), or with `centres` class centres that are
    estimated from faces of strangers; templates are a goal of their own, beside either.
    """

    draws: int = option(4096, 'Random latents that are scored.', 'search', low=1)
    candidates: int = option(256, 'The best of them, which are improved.', 'search', low=1)
    steps: int = option(60, 'Improvements of each candidate; 0 for none.', 'search', low=0)
    keep: int = option(64, 'Reconstructions kept.', 'search', low=1)
    pictures: int = option(4, 'Moved pictures behind every gradient.', 'search', low=2)
    learning_rate: float = option(
        0.1, 'Of a step in whitened coordinates; it falls to 0 along a cosine.', 'search', above=0
    )
    optimiser: str = option(
        'adam',
        "Adam, or projected: the paper's steps along the unit gradient.",
        'search',
        choices=('adam', 'projected'),
    )
    apart: float = option(
        0.6,
        'Largest cosine between two reconstructions that are kept; 1 for any.',
        'search',
        low=-1,
        high=1,
    )
    space: str = option('w', 'What is improved.', 'search', choices=('w', 'w+', 'z'))
    psi: float = option(1.0, 'Truncation of the first latents.', 'search', above=0)
    membership: str | None = option(
        None,
        "What guides: raw, the paper's logit; capped at the members' median (default); density.",
        'search',
        choices=('raw', 'capped', 'density'),
    )
    centres: int = option(
        0,
        'Class centres that are estimated; the --keep most reliable are searched for; 0: the '
        'membership attack guides.',
        'search',
        low=0,
    )
    strength: float = option(1.0, 'Weight of the guidance.', 'search', low=0)
    sweep: tuple[float, ...] = option(
        (), 'Further strengths, each searched as well, such as 0,0.3,3.', 'search', low=0
    )
    prior: float = option(0.3, 'Weight of staying where random latents are.', 'search', low=0)
    targeted: int = option(0, 'Members whose stored template is inverted too.', 'search', low=0)
    untrained: bool = option(True, 'Run the control with an untrained target.', 'judge')
    search_batch: int = option(
        64, 'Candidates at a time on each device: bounds memory.', 'machine', low=1
    )

    def check(self) -> None:
        """Each stage keeps some of the one before; nothing is given that would be ignored."""
        if not self.keep <= self.candidates <= self.draws:
            raise errors.InputError(
                'candidates',
                f'{self.candidates} of {self.draws} draws, {self.keep} of them kept',
                'draws >= candidates >= keep',
            )
        if self.centres and self.membership is not None:
            raise errors.InputError(
                'membership',
                f'{self.membership!r} beside centres',
                'one of them: the search goes to class centres, or where the attack guides it',
            )
        if len({f'{one:g}' for one in self.sweep}) < len(self.sweep):
            raise errors.InputError('sweep', self.sweep, 'different strengths')

    @property
    def goal(self) -> str:
        """'membership' or 'centres'."""
        return 'centres' if self.centres else 'membership'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output(Config):
    """Where an audit writes, and what it may not find."""

    out: str = option(..., 'Folder for the results.', 'output')
    scores: str | None = option(
        None, 'Folder of what was measured, shared among audits; below --out by default.', 'output'
    )
    thumbnails: bool = option(True, 'Show faces in the report.', 'output')
    fail_above: tuple[str, ...] = option(
        (),
        'Exit with 3 above these, such as auc:0.6,tpr@fpr=0.01:0.05,excess:0.1,identity_auc:0.7.',
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
        None, "Factor of the angle, in place of the margin's.", 'training', low=1, high=8
    )
    m2: float | None = option(
        None,
        "Added to the angle, radians, in place of the margin's.",
        'training',
        low=0,
        high=math.pi,
    )
    m3: float | None = option(
        None, "Taken from the cosine, in place of the margin's.", 'training', low=0, high=2
    )
    scale: float = option(64.0, 'Scale of the softmax.', 'training', above=0)
    epochs: int = option(20, 'Passes over the images.', 'training', low=0, high=1_000_000)
    batch_size: int = option(64, 'Images per step.', 'training', low=2)
    learning_rate: float = option(0.1, 'Peak learning rate of SGD.', 'training', above=0)
    momentum: float = option(0.9, 'Of SGD.', 'training', low=0, high=0.9999, flag=False)
    weight_decay: float = option(
        5e-4, 'Of convolution and dense kernels and class centres.', 'training', low=0
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
    cross_replica: bool = option(
        True, "BatchNorm over the whole batch, not over each device's part of it.", 'training'
    )
    seed: int = option(0, 'Of weights, order and mirroring.', 'training', **_SEED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorRecipe(Config):
    """How a StyleGAN2 generator is trained."""

    images: int = option(1_000_000, 'Real images shown in all.', 'training', low=1)
    batch_size: int = option(32, 'Images per step.', 'training', low=1)
    learning_rate: float = option(0.0025, 'Of Adam, for both networks.', 'training', above=0)
    r1: float | None = option(
        None,
        'Weight of the gradient penalty; 0.0002 resolution^2 / batch_size by default.',
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
        0.9, 'Share of images with w from two latents.', 'training', low=0, high=1, flag=False
    )
    ema_images: int = option(
        10_000, 'Half-life of the mean of the weights, images.', 'training', low=1, flag=False
    )
    augmentation: str = option(
        'none',
        'What small sets (below some 20,000) need.',
        'training',
        choices='fr_inference.training.generator:AUGMENTATIONS',
    )
    mirror: bool = option(True, 'Mirror images at random.', 'training')
    seed: int = option(0, 'Of weights and every draw.', 'training', **_SEED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split(Reading):
    """How people are split into parts that share nobody."""

    faces: str = option(..., SOURCES, 'faces')
    out: str = option(..., 'Folder for the manifests.', 'output')
    parts: tuple[str, ...] = option(
        ('members:0.5', 'nonmembers:0.5'), 'Name and share of the people, for each part.', 'output'
    )
    seed: int = option(0, 'The same seed gives the same split.', 'output', **_SEED)
    min_images: int = option(1, 'Leave out people with fewer images.', 'faces', low=1)
    max_images: int | None = option(None, 'Leave out people with more images.', 'faces', low=1)
    limit_images: int | None = option(
        None, 'Take at most this many of each person.', 'faces', low=1
    )
    holdout_images: float = option(
        0.0,
        "Share of each person's images, below 1, that goes to NAME_other.csv.",
        'output',
        low=0,
        high=1,
    )

    def check(self) -> None:
        """At least one part, and not every image held out."""
        if not self.parts:
            raise errors.InputError('parts', 'none', 'NAME:SHARE as in members:0.5')
        if self.holdout_images == 1:
            raise errors.InputError('holdout_images', '1', 'below 1: images stay in each part')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alignment(Config):
    """Photographs and their landmarks."""

    faces: str = option(..., 'Folder the paths are relative to.', 'faces')
    landmarks: str = option(
        ...,
        'CSV with the columns path and x, y of left eye, right eye, nose, left and right mouth corner.',
        'faces',
    )
    out: str = option(..., 'Folder for the aligned PNG images.', 'output')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preparation(Reading):
    """How faces are written as a TensorFlow Datasets set."""

    faces: str = option(..., SOURCES, 'faces')
    skip_bad: bool = option(False, 'Leave unreadable images out and list them.', 'faces')
    out: str = option(..., "Folder of tfds sets (what other programs' --data_dir names).", 'output')
    name: str | None = option(None, 'Of the set; after --faces by default.', 'output')
    shards: int | None = option(
        None,
        'Files of the set; by default one for each 4,096 images.',
        'output',
        low=1,
        high=99_999,
    )
    workers: int | None = option(
        None, 'Processes that share the work; one for each core by default.', 'machine', low=1
    )

    def check(self) -> None:
        """The name is one of a Python module, which is what tfds makes of it."""
        if self.name is not None and not re.fullmatch(r'[a-z][a-z0-9_]*', self.name):
            raise errors.InputError('name', f'{self.name!r:.80}', 'small letters, digits and _')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark(Config):
    """What is measured, on which devices, beside which peers."""

    what: str = option(
        'scoring',
        'What is measured.',
        'measured',
        choices=('scoring', 'inversion', 'training', 'loading'),
    )
    arch: tuple[str, ...] = option(
        ('iresnet50', 'mobilefacenet_prelu'),
        'Backbones.',
        'measured',
        choices='fr_inference.models.registry:VARIANTS',
    )
    dtype: str = option(
        'float32',
        'Arithmetic of backbones.',
        'measured',
        choices='fr_inference.models.registry:DTYPES',
    )
    generator: str = option(
        'demo_generator',
        'Inversion: whose latents, or random (StyleGAN2, --resolution).',
        'measured',
    )
    target: str = option(
        'demo_leaky',
        'Inversion: what is searched; a name as in --arch for random weights.',
        'measured',
    )
    resolution: int = option(
        256, "Inversion: of the networks' images.", 'measured', low=4, high=1024
    )
    candidates: tuple[int, ...] = option(
        (16, 32, 64), 'Inversion: on each device.', 'measured', low=1
    )
    faces: str | None = option(
        None,
        'Loading: which; drawn ones, as JPEG files of the size of --arch, by default.',
        'measured',
    )
    feed: float | None = option(
        None, 'Loading: images/s of a device that is to be fed.', 'measured', above=0
    )
    devices: tuple[int, ...] = option(
        (1,), 'Over how many devices, e.g. 1,2,4,8.', 'machine', low=1
    )
    batch_size: tuple[int, ...] = option(
        (16,),
        'Images at a time on each device; the best of several is compared.',
        'machine',
        low=1,
        high=9_999_999,
    )
    rounds: int = option(20, 'Timed calls of each.', 'machine', low=1)
    peer: str = option(
        'auto', 'What to compare with.', 'measured', choices=('auto', 'torch', 'none')
    )
    stylegan2_ada: str | None = option(
        None,
        'Inversion: a checkout of NVlabs/stylegan2-ada-pytorch to compare with.',
        'measured',
    )
    out: str | None = option(
        None, 'File for the result as JSON; a plot (.svg) beside it.', 'output'
    )

    def check(self) -> None:
        """Every list has an entry; some benchmarks take one batch size."""
        for name in ('arch', 'devices', 'batch_size', 'candidates'):
            if not getattr(self, name):
                raise errors.InputError(name, 'none', 'at least one')
        if self.what in ('inversion', 'loading') and len(self.batch_size) > 1:
            raise errors.InputError('batch_size', self.batch_size, f'one for {self.what}')
        if self.what == 'training' and min(self.batch_size) < 2:
            raise errors.InputError('batch_size', min(self.batch_size), '2 or more for training')
        if self.resolution & (self.resolution - 1):
            raise errors.InputError('resolution', self.resolution, 'a power of two from 4 to 1024')
        if self.out is not None and pathlib.Path(self.out).suffix == '.svg':
            raise errors.InputError('out', self.out, 'a file for JSON, as in speed.json')
        if self.out is not None and not pathlib.Path(self.out).name:
            raise errors.InputError('out', repr(self.out), 'a file for JSON, as in speed.json')
