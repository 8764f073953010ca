"""Flags from config classes: types, defaults, what was given, the command that says the same."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_inference import config, declaring, program_config
from fr_inference.cli import options
from fr_inference.errors import InputError
from fr_inference.program_config import Benchmark, Templates, Verification

AUDIT = (config.Inputs, config.Settings, config.Search, config.Output, config.Gates)
NEEDED = {'target': 't', 'members': 'm', 'nonmembers': 'n', 'out': 'o'}


def flags_of(*arguments, kinds=AUDIT, **known):
    flags = options.Flags(kinds, **known)
    flags.parse([*(f'--{name}={value}' for name, value in NEEDED.items()), *arguments])
    return flags


def test_defaults_come_from_the_classes():
    flags = flags_of()
    assert flags.read(config.Settings) == config.Settings()
    assert flags.read(config.Search) == config.Search()
    assert flags.read(config.Inputs) == config.Inputs(target='t', members='m', nonmembers='n')
    assert flags.given(config.Settings, config.Search) == {}


def test_values_have_the_types_of_the_fields():
    flags = flags_of(
        *('--draws=9000', '--prior=5', '--sweep=0,0.3,3', '--nountrained', '--skip_bad'),
        *('--fail_above=auc:0.6,excess:0.1', '--space=w+'),
    )
    search = flags.read(config.Search)
    assert (search.draws, search.prior, search.sweep) == (9000, 5.0, (0.0, 0.3, 3.0))
    assert (search.untrained, search.space) == (False, 'w+')
    assert isinstance(search.prior, float)
    assert flags.read(config.Settings).skip_bad is True
    assert flags.read(config.Gates).fail_above == ('auc:0.6', 'excess:0.1')
    assert set(flags.given(config.Search)) == {'draws', 'prior', 'sweep', 'untrained', 'space'}


def test_an_empty_text_is_refused():
    """A shell makes one of --blind="$UNSET": the control would be another one without a word.

    Of --fail_above="$UNSET" it would make an audit without a gate.
    """
    for name in ('shadow', 'blind', 'fail_above', 'attacks', 'sweep', 'mean'):
        with pytest.raises(InputError) as caught:
            flags_of(f'--{name}=')
        assert (caught.value.field, caught.value.found) == (name, 'an empty value')


def test_the_last_of_two_wins_and_parsing_begins_afresh():
    flags = flags_of('--seed=1', '--seed=2')
    assert flags.read(config.Settings).seed == 2
    flags.parse([f'--{name}={value}' for name, value in NEEDED.items()])
    assert flags.read(config.Settings).seed == 0


@pytest.mark.parametrize(
    ('argument', 'field', 'expected'),
    [
        ('--seed=x', 'seed', 'a whole number'),
        ('--seed=1.5', 'seed', 'a whole number'),
        (f'--seed={"9" * 5000}', 'seed', 'a whole number'),
        ('--prior=much', 'prior', 'a number'),
        ('--sweep=1,much', 'sweep', 'numbers, separated by commas'),
        ('--thumbnails=perhaps', 'thumbnails', 'true or false'),
    ],
)
def test_a_bad_value_names_its_field(argument, field, expected):
    with pytest.raises(InputError) as caught:
        flags_of(argument)
    assert (caught.value.field, caught.value.expected) == (field, expected)
    assert len(caught.value.found) < 100


@pytest.mark.parametrize(
    ('argument', 'kind', 'field'),
    [
        ('--batch_size=0', config.Settings, 'batch_size'),
        (f'--seed={2**31}', config.Settings, 'seed'),
        ('--space=y', config.Search, 'space'),
        ('--sweep=1,1', config.Search, 'sweep'),
        ('--prior=nan', config.Search, 'prior'),
        ('--keep=5000', config.Search, 'candidates'),
        ('--dtype=float16', config.Inputs, 'dtype'),
    ],
)
def test_ranges_and_choices_are_checked(argument, kind, field):
    with pytest.raises(InputError) as caught:
        flags_of(argument).read(kind)
    assert caught.value.field == field


IGNORED = {
    '--steps=3': 'steps',
    '--nountrained': 'untrained',
    '--search_batch=8': 'search_batch',
    '--strangers=s': 'strangers',
    '--evaluator=e': 'evaluator',
    '--shadow=s': 'shadow',
    '--shadow_init=s': 'shadow_init',
}


@pytest.mark.parametrize(('argument', 'field'), IGNORED.items())
def test_what_would_be_ignored_is_refused(argument, field):
    flags = flags_of(argument)
    with pytest.raises(InputError) as caught:
        config.search_of(flags.read(config.Inputs), flags.given(config.Search))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ('arguments', 'field'),
    [
        (['--strangers=s'], 'strangers'),
        (['--centres=3', '--membership=capped'], 'membership'),
        (['--centres=3', '--apart=0.6'], 'apart'),
        (['--steps=0', '--learning_rate=0.1'], 'learning_rate'),
        (['--steps=0', '--optimiser=adam'], 'optimiser'),
    ],
)
def test_what_a_search_would_ignore_is_refused(arguments, field):
    flags = flags_of('--generator=g', '--evaluator=e', *arguments)
    with pytest.raises(InputError) as caught:
        config.search_of(flags.read(config.Inputs), flags.given(config.Search))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ('kind', 'arguments', 'field'),
    [
        (Templates, ['--templates=t', '--identity_key=k'], 'identity_key'),
        (Templates, ['--templates=t', '--data_dir=d'], 'data_dir'),
        (Templates, ['--photographs=f/', '--data_dir=d'], 'data_dir'),
        (Templates, ['--photographs=f/', '--steps=0', '--optimiser=adam'], 'optimiser'),
        (Templates, ['--templates=t', '--align'], 'align'),
        (config.Inputs, ['--identity_key=k'], 'identity_key'),
        (config.Inputs, ['--data_dir=d'], 'data_dir'),
        (Verification, ['--target=t', '--pairs=lfw.bin', '--align'], 'align'),
        (Templates, ['--templates=t', '--evaluator=e'], 'evaluator'),
        (Templates, ['--templates=t', '--steps=0', '--learning_rate=0.1'], 'learning_rate'),
        (Benchmark, ['--feed=9000'], 'feed'),
        (Benchmark, ['--faces=f'], 'faces'),
        (Benchmark, ['--candidates=16'], 'candidates'),
        (Benchmark, ['--resolution=256'], 'resolution'),
        (Benchmark, ['--stylegan2_ada=s'], 'stylegan2_ada'),
        (Benchmark, ['--generator=random'], 'generator'),
        (Benchmark, ['--what=training', '--target=t'], 'target'),
        (Benchmark, ['--what=inversion', '--batch_size=2', '--arch=tiny'], 'arch'),
        (Benchmark, ['--what=loading', '--devices=1'], 'devices'),
        (Benchmark, ['--what=loading', '--dtype=float32'], 'dtype'),
    ],
)
def test_what_another_program_would_ignore_is_refused(kind, arguments, field):
    flags = options.Flags([kind])
    needed = NEEDED | {'generator': 'g'}
    flags.parse(
        [f'--{name}={value}' for name, value in needed.items() if name in flags.required]
        + arguments
    )
    with pytest.raises(InputError) as caught:
        flags.read(kind)
    assert caught.value.field == field


def test_each_benchmark_takes_its_own_options():
    for what, arguments in {
        'scoring': ['--arch=tiny', '--dtype=bfloat16', '--devices=1', '--peer=none'],
        'training': ['--arch=tiny', '--dtype=bfloat16', '--devices=1', '--peer=none'],
        'inversion': ['--target=t', '--generator=random', '--resolution=64', '--candidates=4'],
        'loading': ['--faces=f', '--feed=9000', '--arch=tiny', '--batch_size=4'],
    }.items():
        flags = options.Flags([Benchmark])
        flags.parse([f'--what={what}', '--batch_size=2', *arguments])
        assert flags.read(Benchmark).what == what


def test_options_of_a_tfds_set_beside_one():
    read = flags_of('--auxiliary=tfds:faces:train', '--data_dir=d', '--identity_key=k')
    assert read.read(config.Inputs).data_dir == 'd'


def test_required_optional_and_hidden():
    flags = options.Flags(
        AUDIT,
        required=['generator'],
        optional=['target', 'members', 'nonmembers'],
        hidden=['shift'],
    )
    assert flags.required == ['generator', 'out']
    assert 'shift' not in flags
    with pytest.raises(InputError) as caught:
        flags.parse(['--out=o', '--generator=g', '--shift=s'])
    assert "'--shift'" in caught.value.found


@given(
    seed=st.integers(0, 2**31 - 1),
    prior=st.floats(0, 1e6),
    sweep=st.lists(st.integers(0, 1000), unique=True, max_size=3),
    untrained=st.booleans(),
    members=st.text(min_size=1).filter(lambda text: '\0' not in text),
    overlap=st.booleans(),
)
def test_the_recorded_command_says_the_same(seed, prior, sweep, untrained, members, overlap):
    inputs = config.Inputs(
        target='t', members=members, nonmembers='n', generator='g', evaluator='e'
    )
    settings = config.Settings(seed=seed, allow_overlap=overlap)
    search = config.Search(prior=prior, sweep=tuple(map(float, sweep)), untrained=untrained)
    output = config.Output(out='o')
    line = options.command(inputs, settings, search, output, program='audit')
    python, m, module, *arguments = shlex.split(line)
    assert (python, m, module) == ('python', '-m', 'experiments.audit')
    flags = options.Flags(AUDIT)
    flags.parse(arguments)
    assert flags.read(config.Inputs) == inputs
    assert flags.read(config.Settings) == settings
    assert flags.read(config.Search) == search
    assert flags.read(config.Output) == output


def test_every_option_has_a_group_and_a_line_of_help():
    kinds = [*_configs(config), *_configs(program_config)]
    assert len(kinds) > 15
    for kind in kinds:
        for name, (_, known) in declaring.options_of(kind).items():
            assert known.group in config.GROUPS, name
            assert known.help.endswith('.'), name
            assert '\n' not in known.help
            assert not known.names or known.names in config.NAMES
            known.allowed()


def _configs(module):
    found = [value for value in vars(module).values() if isinstance(value, type)]
    return [kind for kind in found if issubclass(kind, declaring.Config)]
