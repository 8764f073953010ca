"""The text of --help: groups in the order people need them, required flags first, aligned lines."""

import importlib
import inspect
import re

import pytest

from fr_inference import config, declaring
from fr_inference.cli import helptext
from tests.experiments import programs

NAMES = sorted(path.stem for path in (programs.ROOT / 'experiments').glob('[!_]*.py'))


def shown(name, flag='--help'):
    module = importlib.import_module(f'experiments.{name}')
    return programs.call(module.PROGRAM.run, f'experiments/{name}.py', flag)


def flag_lines(text):
    """Yields (spelling, the rest of its first line) of each flag."""
    for line in text.splitlines():
        if match := re.match(r'  (--\S+)(?: +(.*))?$', line):
            yield match[1], match[2] or ''


@pytest.mark.parametrize('name', NAMES)
def test_every_program_shows_its_flags(name):
    result = shown(name)
    assert (result.code, result.err) == (0, '')
    module = importlib.import_module(f'experiments.{name}')
    assert result.out.startswith(module.__doc__.splitlines()[0])
    assert f'python -m experiments.{name} --' in result.out
    assert max(map(len, result.out.splitlines())) <= 105
    assert '\n\n\n' not in result.out
    spelled = [re.split('[=]', flag)[0].replace('[no]', '') for flag, _ in flag_lines(result.out)]
    hidden = () if module.PROGRAM.shared else helptext.OF_SEVERAL
    names = [name for name in module.PROGRAM.flags().options if name not in hidden]
    assert sorted(spelled) == sorted([*(f'--{name}' for name in names), '--flagfile'])
    assert shown(name, '--helpfull').out == result.out


@pytest.mark.parametrize('name', NAMES)
def test_the_short_text_fits_a_screen_and_a_half(name):
    result = shown(name, '--helpshort')
    assert (result.code, result.err) == (0, '')
    lines = result.out.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 105
    assert any(line.startswith(f'  python -m experiments.{name} --') for line in lines)
    program = importlib.import_module(f'experiments.{name}').PROGRAM
    flags = program.flags()
    spelled = [re.split('[=]', flag)[0].replace('[no]', '') for flag, _ in flag_lines(result.out)]
    # The required ones first, and none that the program lacks.
    assert (
        spelled[: len(flags.required)] == [f'--{one}' for one in flags.required]
        or not program.often
    )
    if program.often:
        often = program.often.split()
        assert len({*often}) == len(often)
        assert {*spelled} == {f'--{one}' for one in (*flags.required, *often)}
        assert f'{len(flags.options) - len(spelled)} more flags' in lines[-1]
        assert lines[-1].endswith(f'python -m experiments.{name} --help')
    else:
        assert result.out == shown(name).out


def test_audit_groups_in_order_and_required_first():
    text = shown('audit').out
    others = ('defence', 'training', 'measured')
    titles = [config.GROUPS[name] for name in config.GROUPS if name not in others]
    places = [text.index(f'\n{title}\n') for title in titles]
    assert places == sorted(places)
    for title, part in zip(titles, _parts(text, titles), strict=True):
        required = ['(required)' in rest for _, rest in flag_lines(part)]
        assert required == sorted(required, reverse=True), title
    assert sum('(required)' in rest for _, rest in flag_lines(text)) == 4
    # At home in the group of what they are for.
    parts = dict(zip(titles, _parts(text, titles), strict=True))
    for group, flags in {
        'target': ['--target=BACKBONE'],
        'faces': ['--members=FACES', '--shift=FACES', '--[no]allow_overlap'],
        'attack': ['--blind=BACKBONE', '--seed=N'],
        'search': ['--generator=GENERATOR', '--draws=N', '--sweep=A,B,...'],
        'judge': ['--evaluator=BACKBONE', '--[no]untrained'],
        'output': ['--out=FOLDER', '--fail_above=A,B,...'],
        'machine': ['--search_batch=N', '--[no]distributed', '--coordinator_address=TEXT'],
    }.items():
        for flag in flags:
            assert f'  {flag} ' in parts[config.GROUPS[group]]


def _parts(text, titles):
    places = [text.index(f'\n{title}\n') for title in titles]
    return [text[a:b] for a, b in zip(places, [*places[1:], None], strict=True)]


def test_audit_shows_ranges_choices_and_defaults():
    text = ' '.join(shown('audit').out.split())
    assert 'Random latents that are scored first. [1 or more; default 4096]' in text
    assert 'Which latents are improved. [w | w+ | z; default w]' in text
    assert 'Show faces in the report (default: yes, but not with --pseudonyms).' in text
    assert '(takes as long as the search). [default yes]' in text
    assert '3 a gate of --fail_above' in text


def test_lines_are_aligned():
    for flag, _ in flag_lines(shown('audit').out):
        assert len(flag) <= 27


def test_an_option_stands_in_one_place():
    """No module defines a flag, and no option's default is written again beside its class."""
    root = programs.ROOT
    for path in [*(root / 'fr_inference').rglob('*.py'), *(root / 'experiments').glob('*.py')]:
        source = path.read_text(encoding='utf-8')
        defines = len(re.findall(r'\bDEFINE_\w+\(|\bflags\.FLAGS\b', source))
        assert defines == 0 or path.name == 'options.py', path
        config_files = ('config.py', 'program_config.py', 'declaring.py')
        if path.name not in config_files:
            assert 'option(' not in re.findall(r'= (option\()', source), path


def test_no_class_repeats_another_ones_option():
    """Where two classes have an option of one name, one inherits it, or it means another thing."""
    texts: dict[tuple[str, str], set[str]] = {}
    from fr_inference import program_config
    from tests.cli.test_options import _configs

    for kind in {*_configs(config), *_configs(program_config)}:
        for name, (_, known) in declaring.options_of(kind).items():
            own = next(part for part in kind.__mro__ if name in inspect.get_annotations(part))
            texts.setdefault((name, known.help), set()).add(own.__name__)
    repeated = {key: owners for key, owners in texts.items() if len(owners) > 1}
    assert repeated == _SAME_WORDS


# Options of one line that are different ones, or have another default.
_SAME_WORDS: dict[tuple[str, str], set[str]] = {
    ('mirror', 'Mirror images at random.'): {'Recipe', 'GeneratorRecipe'},
    ('batch_size', 'Images per step.'): {'Recipe', 'GeneratorRecipe'},
    ('steps', 'Improvement steps of each candidate; 0 for none.'): {'Latents', 'Templates'},
    ('faces', 'The faces.'): {'Split', 'Preparation'},
    ('skip_bad', 'Leave unreadable images out and list them.'): {'Preparation', 'Settings'},
    ('out', 'Folder for the results.'): {'Output', 'Templates'},
    ('out', 'Folder for the native checkpoint.'): {'Conversion', 'Defending', 'Training'},
}
