"""The options of all programs except the audit, whose options are in `config`."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from fr_inference import errors
from fr_inference.config import (
    SEED,
    Aligning,
    Backbone,
    Convention,
    Fitting,
    Latents,
    Measuring,
    Part,
    Pixels,
    Profiling,
    Reading,
    Search,
)
from fr_inference.declaring import Config, option

ATTACKERS = ('plain', 'adaptive', 'both')
"""The attacker's shadow and references are undefended (plain) or defended like the backbone
(adaptive). 'both': there is no shadow and no reference; the attack is fitted on the defended
backbone itself."""


DEMONSTRATED = ('leaky', 'easy', 'few')
"""The embedded backbones that the demonstration audits: demo_leaky, demo_easy, demo_few."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demonstration(Config):
    """What the demonstration audits, and where it writes."""

    audits: tuple[str, ...] = option(
        DEMONSTRATED, 'Which backbones to audit.', 'target', choices=DEMONSTRATED
    )
    backbones: str | None = option(
        None,
        'Folder with newly trained demo_leaky, demo_easy and demo_few (default: the embedded ones).',
        'target',
        names='FOLDER',
    )
    out: str = option(
        'runs/demo',
        'Folder of the results, with sub-folders for easy and few.',
        'output',
        names='FOLDER',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch(Config):
    """Which backbones a batch audits, and how."""

    targets: str = option(..., 'CSV table with one backbone per row.', 'target', names='FILE')
    per_device: bool = option(False, 'Audit one row on each device at a time.', 'machine')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verification(Measuring, Aligning, Fitting, Backbone):
    """How a backbone is verified on pairs of faces."""

    pairs: str = option(
        ...,
        'CSV with columns fold,first,second,same (paths below --faces; same is 1 or 0), or a '
        "verification set with its own images, such as insightface's lfw.bin.",
        'faces',
        names='FILE',
    )
    faces: str | None = option(None, 'The images that the CSV names.', 'faces', names='FACES')

    def check(self) -> None:
        """A CSV names images in `faces`; a verification set brings its own images."""
        super().check()
        if not self.brings_images and self.faces is None:
            raise errors.InputError('faces', 'none', 'the images that the CSV names')
        for name in ('faces', 'identity_key', 'data_dir', 'align') if self.brings_images else ():
            if getattr(self, name) not in (None, False):
                raise errors.InputError(name, f'{self.pairs}, which holds its images', 'none')

    @property
    def brings_images(self) -> bool:
        """Whether the pairs are a verification set."""
        return self.pairs.lower().endswith('.bin')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conversion(Part, Convention):
    """What is converted, and options that override the checkpoint's own convention."""

    source: str = option(..., 'The checkpoint.', 'target', names='BACKBONE')
    arch: str | None = option(
        None,
        'Its architecture (default: recognised by names and shapes).',
        'target',
        choices='fr_inference.models.registry:VARIANTS',
    )
    out: str = option(..., 'Folder for the native checkpoint.', 'output', names='FOLDER')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Defending(Reading, Backbone):
    """Which backbone is defended before it is released, and how."""

    defence: str = option(
        ...,
        'Defences, separated by commas and applied in this order: refresh:FACES, noise:S, '
        'round:bits=N, fold, strip, answers-noise:S, answers-largest:N, answers-round:bits=N, '
        'answers-unit.',
        'defence',
    )
    seed: int = option(0, 'Random seed of noise and orders.', 'defence', **SEED)
    state_dict: str | None = option(
        None,
        'Also write the weights for PyTorch (.safetensors), with the parameter names of the '
        "backbone's family.",
        'output',
        names='FILE',
    )
    out: str = option(..., 'Folder for the native checkpoint.', 'output', names='FOLDER')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Studied(Config):
    """Which defences a study measures."""

    defences: str | None = option(
        None,
        'Defences separated by semicolons, each written as for --defence of defend: '
        '"noise:0.1;noise:0.3;fold".',
        'defence',
    )
    trained: str | None = option(
        None,
        'Backbones that were trained with a defence, separated by semicolons: NAME=FOLDER, or '
        'NAME=FOLDER,SHADOW with a shadow that was trained in the same way.',
        'defence',
    )

    def check(self) -> None:
        """There is something to measure."""
        if self.defences is None and self.trained is None:
            raise errors.InputError('defences', 'none', 'at least one of defences and trained')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case(Config):
    """How the backbone of a row is defended, and whether its attacker adapts.

    These are not flags: together with the options of the audit they identify the result of a row.
    """

    defence: str = option('', 'As `defences.parse` reads it; empty for none.', 'attack')
    attacker: str = option('plain', 'The attacker.', 'attack', choices=ATTACKERS)
    undefended: str | None = option(
        None,
        'The undefended backbone, whose training a shadow imitates.',
        'target',
        names='BACKBONE',
    )
    refreshed: str | None = option(None, 'Faces that the defence uses.', 'faces', names='FACES')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Templates(Latents, Aligning, Fitting, Backbone):
    """Which stored templates are inverted, and how."""

    candidates: int = option(
        4, 'Candidates improved for each template; the best one is kept.', 'search', low=1
    )
    steps: int = option(100, 'Improvement steps of each candidate; 0 for none.', 'search', low=0)
    templates: str | None = option(
        None, 'The templates: embeddings [P, D] as .npy.', 'faces', names='FILE'
    )
    photographs: str | None = option(
        None,
        'Faces whose embeddings are the templates, in place of --templates.',
        'faces',
        names='FACES',
    )
    generator: str = option(..., 'StyleGAN2 generator.', 'search', names='GENERATOR')
    evaluator: str | None = option(
        None,
        'Another backbone, to compare the reconstructions with --photographs.',
        'judge',
        names='BACKBONE',
    )
    seed: int = option(0, 'Random seed of the latents.', 'search', **SEED)
    out: str = option(..., 'Folder for the results.', 'output', names='FOLDER')

    def check(self) -> None:
        """Templates come from a file or from photographs; only photographs can be compared."""
        super().check()
        if self.candidates > self.draws:
            raise errors.InputError(
                'candidates', f'{self.candidates} with draws={self.draws}', 'draws >= candidates'
            )
        if (self.templates is None) == (self.photographs is None):
            found = 'neither' if self.templates is None else 'both'
            raise errors.InputError('templates', found, 'one of templates and photographs')
        if self.evaluator is not None and self.photographs is None:
            raise errors.InputError('evaluator', 'no photographs', 'photographs to compare with')
        for name in ('identity_key', 'data_dir', 'align', 'allow_misfit'):
            if getattr(self, name) not in (None, False) and self.photographs is None:
                raise errors.InputError(name, 'no photographs', 'photographs, to which it applies')

    @property
    def search(self) -> Search:
        """These options as options of a search that keeps the best candidate of each template."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(Latents)}
        return Search(**shared, keep=1, apart=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network(Fitting, Part, Pixels):
    """The backbone that is trained: an architecture with its hyper-parameters, or a checkpoint.

    The input convention is given by these options, else by the architecture or checkpoint.
    """

    arch: str | None = option(
        None,
        'Architecture, from random weights (default: iresnet18).',
        'target',
        choices='fr_inference.models.registry:VARIANTS',
    )
    depths: tuple[int, ...] | None = option(
        None, 'Blocks in each of the four stages, such as 1,1,1,1.', 'target', low=0
    )
    width: int | None = option(None, 'Channels of the first stage.', 'target', low=1)
    embedding: int | None = option(None, 'Length of the embedding.', 'target', low=1)
    norm: str | None = option(
        None,
        'Normalisation layers (IResNet and MobileFaceNet).',
        'target',
        choices='fr_inference.models.layers:NORMALIZATIONS',
    )
    init: str | None = option(
        None, 'Checkpoint to start from, in place of an architecture.', 'target', names='BACKBONE'
    )

    def check(self) -> None:
        """A checkpoint has its own architecture."""
        super().check()
        if self.allow_misfit and self.init is None:
            raise errors.InputError('allow_misfit', 'no checkpoint to start from', hint='give init')
        if self.part is not None and self.init is None:
            raise errors.InputError('part', 'no checkpoint to start from', hint='give init')
        given = [name for name in (*self.config, 'arch') if getattr(self, name)]
        if self.init is not None and given:
            raise errors.InputError(
                given[0], 'a checkpoint to start from', 'none: the checkpoint has its own'
            )

    @property
    def config(self) -> dict[str, Any]:
        """The given hyper-parameters of the architecture."""
        values = {
            'depths': list(self.depths) if self.depths is not None else None,
            'width': self.width,
            'embedding': self.embedding,
            'norm': self.norm,
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Profiling, Aligning):
    """What a network is trained on, and where it is written."""

    faces: str = option(..., 'Training images.', 'faces', names='FACES')
    skip_bad: bool = option(False, 'Leave unreadable images out.', 'faces')
    out: str = option(..., 'Folder for the native checkpoint.', 'output', names='FOLDER')


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecognizerTraining(Training):
    """What a backbone is trained on, and where it is written."""

    holdout: float = option(
        0.1,
        'Share of the people held out for verification; 0 for none.',
        'faces',
        low=0,
        high=0.99,
    )
    save_epochs: tuple[int, ...] = option(
        (), 'Write OUT/epoch_NNN after these epochs, such as 0,3,10.', 'output', low=0
    )
    audit_every: int = option(
        0,
        'Epochs between measurements of what the backbone gives away about its training images '
        '(OUT/leak.json and leak.svg); 0 for none.',
        'output',
        low=0,
    )
    audit_nonmembers: str | None = option(
        None,
        'People never trained on, for --audit_every (default: those held out).',
        'faces',
        names='FACES',
    )

    def audited_epochs(self, epochs: int) -> set[int]:
        """Returns after which of some epochs the leak is measured; none without `audit_every`."""
        return {*range(0, epochs, self.audit_every), epochs} if self.audit_every else set()

    def check(self) -> None:
        """The measurements need people never trained on; giving such people requires audit_every."""
        if self.audit_nonmembers is not None and not self.audit_every:
            raise errors.InputError('audit_nonmembers', hint='also give audit_every')
        if self.audit_every and not self.holdout and self.audit_nonmembers is None:
            raise errors.InputError(
                'audit_every',
                'holdout=0 and no audit_nonmembers',
                'people never trained on, to compare the members with',
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorNetwork(Config):
    """The StyleGAN2 generator that is trained."""

    resolution: int = option(64, 'Size of the images, pixels: a power of two.', 'training', low=4)
    z_dim: int = option(512, 'Length of z.', 'training', low=1)
    w_dim: int = option(512, 'Length of w.', 'training', low=1)
    channel_base: int = option(
        16384, 'Features of a layer times its resolution, up to --channel_max.', 'training', low=4
    )
    channel_max: int = option(512, 'Largest number of features of a layer.', 'training', low=1)
    mapping_layers: int = option(8, 'Layers from z to w.', 'training', low=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorTraining(Training):
    """What a generator is trained on, what is measured during training, and where it is written."""

    faces: str = option(
        ..., 'Training images, with none of the people audited later.', 'faces', names='FACES'
    )
    sample_images: int = option(
        50_000, 'Images between two sheets of samples; 0: one sheet at the end.', 'output', low=0
    )
    embedder: str | None = option(
        None,
        'Backbone whose embedding is used for the Fréchet distance.',
        'output',
        names='BACKBONE',
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split(Reading):
    """How people are split into disjoint parts."""

    faces: str = option(..., 'The faces.', 'faces', names='FACES')
    out: str = option(..., 'Folder for the manifests.', 'output', names='FOLDER')
    parts: tuple[str, ...] = option(
        ('members:0.5', 'nonmembers:0.5'),
        'NAME:SHARE of each part, as a share of the people.',
        'faces',
    )
    seed: int = option(0, 'The same seed gives the same split.', 'faces', **SEED)
    min_images: int = option(1, 'Leave out people with fewer images.', 'faces', low=1)
    max_images: int | None = option(None, 'Leave out people with more images.', 'faces', low=1)
    limit_images: int | None = option(
        None, 'Largest number of images to take of each person.', 'faces', low=1
    )
    holdout_images: float = option(
        0.0,
        "Share of each person's images, below 1, that goes to NAME_other.csv.",
        'faces',
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
    """Photographs and, if known, their landmarks."""

    faces: str = option(
        ...,
        'Photographs: one sub-folder per person, or with --landmarks any folder.',
        'faces',
        names='FOLDER',
    )
    landmarks: str | None = option(
        None,
        'CSV with the columns path (below --faces) and x, y of left eye, right eye, nose, left and '
        'right mouth corner (default: found in the photographs; needs fr_inference[align]).',
        'faces',
        names='FILE',
    )
    skip_bad: bool = option(
        False, 'Leave out photographs that are unreadable or show no face, and list them.', 'faces'
    )
    out: str = option(..., 'Folder for the aligned PNG images.', 'output', names='FOLDER')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preparation(Aligning):
    """How faces are written as a TensorFlow Datasets set."""

    faces: str = option(..., 'The faces.', 'faces', names='FACES')
    skip_bad: bool = option(False, 'Leave unreadable images out and list them.', 'faces')
    out: str = option(
        ...,
        'Folder for the set, which other programs take as --data_dir.',
        'output',
        names='FOLDER',
    )
    name: str | None = option(None, 'Name of the set (default: derived from --faces).', 'output')
    shards: int | None = option(
        None,
        'Number of files of the set (default: one for each 4,096 images).',
        'output',
        low=1,
        high=99_999,
    )
    workers: int | None = option(
        None, 'Processes that share the work (default: one for each core).', 'machine', low=1
    )

    def check(self) -> None:
        """The name must be valid for a Python module, since tfds makes one from it."""
        if self.name is not None and not re.fullmatch(r'[a-z][a-z0-9_]*', self.name):
            raise errors.InputError(
                'name',
                f'{self.name!r:.80}',
                'lower-case letters, digits and _, with a letter first',
            )


# Option of the benchmark -> the benchmarks that have it.
_MEASURED = {
    'arch': ('scoring', 'training', 'loading'),
    **dict.fromkeys(('dtype', 'devices'), ('scoring', 'inversion', 'training')),
    **dict.fromkeys(
        ('generator', 'target', 'resolution', 'candidates', 'stylegan2_ada'), ('inversion',)
    ),
    **dict.fromkeys(('faces', 'feed'), ('loading',)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark(Profiling):
    """What is measured, on which devices, beside which peers."""

    what: str = option(
        'scoring',
        'What is measured.',
        'measured',
        choices=('scoring', 'inversion', 'training', 'private-training', 'loading'),
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
        'Inversion: generator, or random (of --resolution).',
        'measured',
        names='GENERATOR',
    )
    target: str = option(
        'demo_leaky',
        'Inversion: backbone, or a name as in --arch for random weights.',
        'measured',
        names='BACKBONE',
    )
    resolution: int = option(
        256, "Inversion: size of the networks' images, pixels.", 'measured', low=4, high=1024
    )
    candidates: tuple[int, ...] = option(
        (16, 32, 64), 'Inversion: candidates on each device.', 'measured', low=1
    )
    faces: str | None = option(
        None,
        'Loading: the faces (default: drawn JPEG files of the size of --arch).',
        'measured',
        names='FACES',
    )
    feed: float | None = option(None, 'Loading: images/s that a device needs.', 'measured', above=0)
    devices: tuple[int, ...] = option(
        (1,), 'Numbers of devices, such as 1,2,4,8.', 'machine', low=1
    )
    batch_size: tuple[int, ...] = option(
        (16,),
        'Images at a time on each device; of several values the fastest is compared.',
        'machine',
        low=1,
        high=9_999_999,
    )
    rounds: int = option(20, 'Number of timed calls.', 'machine', low=1)
    peer: str = option(
        'auto', 'What to compare with.', 'measured', choices=('auto', 'torch', 'none')
    )
    stylegan2_ada: str | None = option(
        None,
        'Inversion: a checkout of NVlabs/stylegan2-ada-pytorch to compare with.',
        'measured',
        names='FOLDER',
    )
    out: str | None = option(
        None, 'File for the result as JSON; a plot (.svg) beside it.', 'output', names='FILE'
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

    def check_given(self, given: Mapping[str, Any]) -> None:
        """Each benchmark has options of its own."""
        for name, measured in _MEASURED.items():
            if name in given and self.what not in measured:
                raise errors.InputError(
                    name, f'a value beside what={self.what}', f'what={" or ".join(measured)}'
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planning(Config):
    """Which machines a program is planned for."""

    topology: tuple[str, ...] = option(
        ...,
        'Machines: v5e-N, v6e-N, v5p-N, tpu7x-N (as Google names accelerators), h100xN, h200xN, a100xN.',
        'machine',
        absent='give the flags of plan before the name of the program',
    )
    price_per_hour: tuple[float, ...] = option(
        (), 'Price of one chip for an hour, one for each machine.', 'machine', low=0
    )
    largest: bool = option(
        True,
        'Find the largest --batch_size and --search_batch that fit (two to four more compilations '
        'per part).',
        'machine',
    )
    measured: tuple[str, ...] = option(
        (),
        'JSON files of benchmark from such machines; their times are shown beside the bounds.',
        'machine',
        names='FILE',
    )
    out: str | None = option(None, 'File for the plan as JSON.', 'output', names='FILE')

    def check(self) -> None:
        """Either every machine has a price, or none has."""
        if not self.topology:
            raise errors.InputError('topology', 'none', 'at least one')
        if self.price_per_hour and len(self.price_per_hour) != len(self.topology):
            raise errors.InputError(
                'price_per_hour',
                f'{len(self.price_per_hour)} numbers for {len(self.topology)} machines',
                'one for each',
            )
        if self.out is not None and not pathlib.Path(self.out).name:
            raise errors.InputError('out', repr(self.out), 'a file for JSON, as in plan.json')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine(Config):
    """Several processes that work together, and the verbosity."""

    distributed: bool = option(
        False,
        'This is one of several processes that a cluster (TPU, SLURM, Open MPI) started.',
        'machine',
    )
    coordinator_address: str | None = option(
        None, 'Without a cluster: HOST:PORT of process 0.', 'machine'
    )
    num_processes: int | None = option(
        None, 'Without a cluster: number of processes.', 'machine', low=1
    )
    process_id: int | None = option(
        None, 'Without a cluster: number of this process, from 0.', 'machine', low=0
    )
    verbosity: int = option(
        -1,
        'Log messages: -1 warnings and errors, 0 notes, 1 everything.',
        'machine',
        low=-3,
        high=1,
    )
