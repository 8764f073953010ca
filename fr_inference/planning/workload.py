"""The work of a program, in parts: numbers of images, looks and steps, and their compiled functions.

It covers the work that takes accelerators long: measuring, looks at random latents, the search,
training.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fr_inference import config, declaring, errors, opening
from fr_inference.cli.options import Flags
from fr_inference.config import Inputs, Latents, Recipe, Settings
from fr_inference.declaring import Config
from fr_inference.membership import reach, study
from fr_inference.models.target import Target
from fr_inference.planning import lowering, stand_ins
from fr_inference.planning.lowering import On, Program, Searching
from fr_inference.planning.stand_ins import Amount
from fr_inference.planning.topologies import Topology
from fr_inference.program_config import Network, RecognizerTraining, Templates
from fr_inference.training import records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """Items that one compiled function computes.

    Attributes:
      name: the work and its networks.
      unit: 'image', 'look' or 'candidate-step'.
      amount: items in all.
      option: the option that sets how many a device computes at a time.
      size: topology -> that number, by the options.
      program: (devices, that number) -> the program.
      flops: operations of one item, if the compiler does not count them.
      narrow: whether any part of it computes in bfloat16.
      dtype: of the backbone's arithmetic.
      everywhere: whether one program spans the devices of all processes.
      limits: whether no other part needs more memory at the same value of the option.
    """

    name: str
    unit: str
    amount: int
    option: str
    size: Callable[[Topology], int]
    program: Callable[[On, int], Program]
    flops: Callable[[], float | None]
    narrow: bool
    dtype: str
    everywhere: bool = False
    limits: bool = True


def of_audit(flags: Flags, *, membership: bool = True) -> list[Part]:
    """Returns the parts of an audit, or of its inversion alone.

    Args:
      flags: of `audit` or `invert`. Without non-members, the same number as members is assumed;
        without an evaluator, its part is left out.
      membership: whether membership inference is run.
    """
    given = _given(flags, Inputs, 'target', 'members', *(() if membership else ('generator',)))
    judged = 'evaluator' in given
    assumed = {'nonmembers': given['members']}
    if 'generator' in given:
        assumed['evaluator'] = given['target']
    inputs = declaring.explicit(Inputs, {**assumed, **given})
    settings = flags.read(Settings)
    search = config.search_of(inputs, flags.given(config.Search))
    target = stand_ins.backbone(
        inputs.target, 'target', dtype=inputs.dtype, changes=inputs.input, part=inputs.part
    )
    amounts = {
        name: stand_ins.faces(value, name, inputs)
        for name in opening.FACES
        if (value := getattr(inputs, name)) is not None
    }
    parts = _measured(inputs, settings, target, amounts, membership=membership)
    if search is None:
        return parts
    assert inputs.generator is not None  # otherwise there is no search
    parts += _searched(search, target, inputs.generator, amounts)
    if judged:
        everyone = amounts['members'].images + amounts['nonmembers'].images
        for name in ('evaluator', 'second_evaluator'):
            if (source := getattr(inputs, name)) is not None:
                judge = stand_ins.backbone(source, name)
                parts.append(_scoring(name.replace('_', ' '), judge, everyone, settings))
    return parts


def of_reconstruction(flags: Flags) -> list[Part]:
    """Returns the parts of `reconstruct`; a number may stand in for templates or photographs."""
    given = _given(flags, Templates, 'target', 'generator')
    asked = declaring.explicit(Templates, {'out': '.', **given})
    target = stand_ins.backbone(
        asked.target, 'target', dtype=asked.dtype, changes=asked.input, part=asked.part
    )
    parts = []
    if asked.templates is not None:
        people = stand_ins.number(asked.templates)
        if people is None:
            from fr_inference.inversion import templates

            people = len(templates.read(asked.templates, target))
    else:
        assert asked.photographs is not None  # `Templates.check`
        people = stand_ins.faces(asked.photographs, 'photographs', asked).images
        parts = [_scoring('photographs', target, people, Settings())]
    searching = Searching(
        target=target,
        generator=stand_ins.generator(asked.generator),
        how=asked,
        term='cosine',
        watched=False,
    )
    count = people * asked.candidates
    return [*parts, *_search(searching, asked.draws, count, count * asked.steps)]


def of_training(flags: Flags) -> list[Part]:
    """Returns the parts of `train_recognizer`; IMAGES:PEOPLE may stand in for faces."""
    given = _given(flags, RecognizerTraining, 'faces')
    asked = declaring.explicit(RecognizerTraining, {'out': '.', **given})
    network, recipe = flags.read(Network), flags.read(Recipe)
    faces = stand_ins.faces(asked.faces, 'faces', asked)
    trained = Amount(
        round(faces.images * (1 - asked.holdout)), max(1, round(faces.people * (1 - asked.holdout)))
    )
    if network.init is not None:
        target = stand_ins.backbone(network.init, 'init', changes=network.input)
    else:
        arch = network.arch or 'iresnet18'
        target = stand_ins.of_architecture(arch, network.config, network.input)
    parts = [training('training', recipe, target, trained)]
    if looks := len(asked.audited_epochs(recipe.epochs)):
        others = Amount(faces.images - trained.images, faces.people - trained.people)
        if asked.audit_nonmembers is not None:
            others = stand_ins.faces(asked.audit_nonmembers, 'audit_nonmembers', asked)
        members = round(trained.images * min(1, others.people / trained.people))
        seen = looks * (members + others.images)
        parts.append(_scoring('measuring the leak', target, seen, Settings()))
    return parts


def _given(flags: Flags, kind: type[Config], *needed: str) -> dict[str, Any]:
    """The given options of a class; a planned program requires no others."""
    given = flags.given(kind)
    for name in needed:
        if name not in given:
            raise errors.InputError(name, 'no value')
    return given


PROGRAMS: Mapping[str, Callable[[Flags], list[Part]]] = {
    'audit': of_audit,
    'invert': functools.partial(of_audit, membership=False),
    'reconstruct': of_reconstruction,
    'train_recognizer': of_training,
}


def _measured(inputs, settings, target, amounts, *, membership):
    """Scoring in the target, its blind control and the references, and in a shadow, which is trained."""
    everyone = amounts['members'].images + amounts['nonmembers'].images
    auxiliary = amounts.get('auxiliary', Amount(0, 0))
    others = amounts.get('member_identities', Amount(0, 0)).images if membership else 0
    further = ('shift', 'collection') if membership else ()
    far = sum(amounts.get(name, Amount(0, 0)).images for name in further)
    if settings.reach and membership:  # the same amount again if there is a leak
        sides = (amounts[side].images // 2 for side in ('members', 'nonmembers'))
        far += len(reach.CHANGES) * sum(min(reach.MOST, half) for half in sides)
    blind = inputs.blind and stand_ins.backbone(inputs.blind, 'blind', dtype=inputs.dtype)
    # The shadow has the target's architecture.
    in_target = everyone + others + far + 2 * auxiliary.images
    in_blind = everyone + others + far + auxiliary.images
    if not blind or (blind.apply, blind.input) == (target.apply, target.input):
        parts = [_scoring('scoring', target, in_target + in_blind, settings)]
    else:
        parts = [
            _scoring('scoring', target, in_target, settings),
            _scoring('scoring, blind', blind, in_blind, settings),
        ]
    for name in inputs.references:
        other = stand_ins.backbone(name, 'references', dtype=inputs.dtype)
        seen = everyone + others + far + auxiliary.images
        parts.append(_scoring(f'scoring, reference {name}', other, seen, Settings()))
    if auxiliary.images and inputs.shadow is None:
        recipe = records.recorded_recipe(target.recipe, seed=0)
        half = Amount(auxiliary.images // 2, max(1, auxiliary.people // 2))
        parts.append(training('training the shadow', recipe, target, half))
    return parts


def _searched(search, target, generator, amounts):
    """The pool, the search, its control with an untrained backbone, the sweep, and the templates."""
    searching = Searching(
        target=target,
        generator=stand_ins.generator(generator),
        how=search,
        term=lowering.goal_of(search),
        watched=True,
    )
    sides = 2 if search.untrained else 1
    searches = sides + len(set(search.sweep) - {search.strength})
    candidates = searches * search.candidates
    if search.targeted:
        people = min(search.targeted, amounts['members'].people)
        each = min(4, search.candidates)
        candidates += (1 + sides) * people * each
    return _search(
        searching,
        sides * search.draws,
        candidates,
        candidates * search.steps,
        at_a_time=search.candidates,
    )


def _search(searching, draws, candidates, steps, at_a_time=None):
    """Two parts; the last look at a candidate is two looks at least, at its last latent and its best."""
    how: Latents = searching.how

    def size(topology, total):
        share = -(-total // topology.processes)
        return max(1, min(how.search_batch, -(-share // len(topology.local))))

    names = f'{searching.generator.name} before {searching.target.name}'
    common: dict[str, Any] = {
        'option': 'search_batch',
        'narrow': stand_ins.narrow(searching.target, searching.generator),
        'dtype': stand_ins.dtype(searching.target),
    }
    looks = Part(
        name=f'looking: {names}',
        unit='look',
        amount=draws + 2 * candidates,
        size=functools.partial(size, total=how.draws),
        program=searching.looks,
        flops=searching.look_flops,
        limits=not steps,  # a gradient keeps what a look forgets
        **common,
    )
    if not steps:
        return [looks]
    search = Part(
        name=f'searching: {names}',
        unit='candidate-step',
        amount=steps,
        size=functools.partial(size, total=at_a_time or candidates),
        program=searching.steps,
        flops=searching.step_flops,
        **common,
    )
    return [looks, search]


def _flops(target, passes):
    one = lowering.scoring_flops(target)
    return None if one is None else passes * one


def _scoring(name: str, target: Target, amount: int, settings: Settings) -> Part:
    def size(topology):
        share = -(-amount // topology.processes)
        return -(-min(settings.batch_size, max(1, share)) // len(topology.local))

    features = study.features_of(settings)
    return Part(
        name=f'{name}: {target.name}',
        unit='image',
        amount=amount,
        option='batch_size',
        size=size,
        program=functools.partial(lowering.scoring, target, features),
        flops=functools.partial(_flops, target, study.passes(settings)),
        narrow=stand_ins.narrow(target),
        dtype=stand_ins.dtype(target),
    )


def training(name: str, recipe: Recipe, target: Target, faces: Amount) -> Part:
    """Returns the training of a backbone on some faces."""
    batch = min(recipe.batch_size, faces.images)

    def size(topology):
        return max(1, batch // len(topology.devices))

    per_epoch = max(1, faces.images // batch)
    program = functools.partial(lowering.training, recipe, target, faces.people, per_epoch)
    return Part(
        name=f'{name}: {target.name}',
        unit='image',
        amount=recipe.epochs * per_epoch * batch,
        option='batch_size',
        size=size,
        program=program,
        flops=functools.partial(lowering.training_flops, program, 8),
        narrow=stand_ins.narrow(target),
        dtype=stand_ins.dtype(target),
        everywhere=True,
    )


def parts_of(name: str, flags: Flags) -> Sequence[Part]:
    """Returns the parts of a program; `flags` are those that it would be given."""
    return PROGRAMS[name](flags)
