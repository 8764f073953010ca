"""Where in a file a backbone lies: names without wrappers, prefixes in an order of their own."""

import itertools

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.weights import parts
from fr_inference.weights.targets import open_target
from tests.formats import states, writer

WRAPPERS = ('module', '_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module')


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_wrappers_anywhere(wrapper):
    names = (f'{wrapper}.a.weight', f'net/{wrapper}.b', f'c.0.{wrapper}.{wrapper}.d.bias', 'e')
    found = parts.unwrapped(dict.fromkeys(names, 0))
    assert list(found) == ['a.weight', 'net/b', 'c.0.d.bias', 'e']


def test_other_names_stay():
    names = ('my_module.a', 'a.modules.b', 'a.module', 'submodule.c', 'module/d')
    assert list(parts.unwrapped(dict.fromkeys(names, 0))) == list(names)


def test_names_stay_where_two_would_become_one():
    names = ('module.a', 'a', 'module.b')
    assert list(parts.unwrapped(dict.fromkeys(names, 0))) == list(names)


def test_prefixes_do_not_depend_on_the_order_of_the_file():
    names = ('b/bn.weight', 'a/bn.weight', 'bn.weight', 'aa.bn.weight', 'abn.weight', 'b/fc.weight')
    for order in itertools.islice(itertools.permutations(names), 0, None, 97):
        found = parts.prefixes(order, ('bn.weight', 'fc.weight'), 'file')
        assert found == ['', 'a/', 'b/', 'aa.']


def test_too_many_prefixes():
    with pytest.raises(InputError) as caught:
        parts.prefixes((f'{i}.bn' for i in range(1000)), ('bn',), 'file')
    assert caught.value.field == 'file'


def test_below_a_prefix_but_not_in_further_dicts():
    tensors = {'net/a.b': 1, 'net/a': 2, 'net/inner/a': 3, 'a': 4}
    assert parts.below(tensors, 'net/') == {'a.b': 1, 'a': 2}
    assert parts.below(tensors, '') == {'a': 4}


PREFIXES = ('', 'state/student.', 'state/teacher.', 'ema/teacher.')


@pytest.mark.parametrize(
    ('part', 'expected'),
    [
        ('.', ''),
        ('student', 'state/student.'),
        ('student.', 'state/student.'),
        ('state/teacher', 'state/teacher.'),
        ('ema/teacher', 'ema/teacher.'),
    ],
)
def test_a_part_is_called_by_its_name_or_the_end_of_it(part, expected):
    assert parts.chosen(part, PREFIXES, 'file') == expected


@pytest.mark.parametrize('part', ['teacher', 'udent', 'state', '', 'x' * 10_000])
def test_what_calls_no_part_or_several(part):
    among = PREFIXES[1:]
    with pytest.raises(InputError) as caught:
        parts.chosen(part, among, 'file')
    assert caught.value.field == 'part'
    assert len(str(caught.value)) < 400
    assert all(parts.called(prefix) in caught.value.expected for prefix in among)


def test_the_same_numbers():
    first = {'a': np.array([1, np.nan], np.float32)}
    assert parts.same(first, {'a': first['a'].copy()})
    assert not parts.same(first, {'a': -first['a']})
    assert not parts.same(first, {'b': first['a']})
    assert not parts.same(first, {'a': first['a'][None]})


@pytest.fixture(scope='module')
def tiny():
    return states.filled(states.iresnet())


@pytest.fixture(scope='module')
def other():
    return states.filled(states.iresnet(), seed=1)


def below(prefix, state):
    return {f'{prefix}.{name}': array for name, array in state.items()}


def same(target, state):
    """Whether a target has the weights of a state dict, by two of them."""
    variables = target.variables
    np.testing.assert_array_equal(variables['params']['bn1']['scale'], state['bn1.weight'])
    np.testing.assert_array_equal(variables['batch_stats']['bn2']['var'], state['bn2.running_var'])


class TestSeveralBackbones:
    @pytest.mark.parametrize(
        'nest',
        [
            lambda a, b: {'student': a, 'teacher': b},
            lambda a, b: {'net': below('student', a) | below('teacher', b)},
            lambda a, b: a | {'teacher': b},
            lambda a, b: a | below('ema', b),
            lambda a, b: [a, b],
        ],
        ids=['dicts', 'prefixes', 'dict', 'prefix', 'list'],
    )
    @pytest.mark.parametrize('turned', [False, True])
    def test_both_are_listed_and_can_be_chosen(self, tmp_path, tiny, other, nest, turned):
        pair = (other, tiny) if turned else (tiny, other)
        path = writer.save(tmp_path / 'file.pt', nest(*pair))
        with pytest.raises(InputError) as caught:
            open_target(path)
        assert (caught.value.field, caught.value.inside) == ('part', str(path))
        listed = [name.strip("'") for name in caught.value.expected[7:].split(', ')]
        assert len(listed) == 2
        first, second = (open_target(path, part=part) for part in listed)
        same(second if turned else first, tiny)
        values = (
            first.variables['params']['fc']['kernel'],
            second.variables['params']['fc']['kernel'],
        )
        assert not np.array_equal(*values)

    def test_copies_are_one(self, tmp_path, tiny):
        same(open_target(writer.save(tmp_path / 'file.pt', {'net': tiny, 'ema': tiny})), tiny)

    def test_one_that_lacks_something_is_none(self, tmp_path, tiny, other):
        lacking = {name: array for name, array in other.items() if 'running_var' not in name}
        target = open_target(writer.save(tmp_path / 'file.pt', {'a': lacking, 'net': tiny}))
        same(target, tiny)
        assert f'a ({len(lacking)} tensors)' in target.notes[0]

    def test_no_such_part(self, tmp_path, tiny):
        path = writer.save(tmp_path / 'file.pt', {'net': tiny})
        same(open_target(path, part='net'), tiny)
        for source in (path, 'demo_easy'):
            with pytest.raises(InputError) as caught:
                open_target(source, part='teacher')
            assert caught.value.field == 'part'

    def test_arguments_without_a_part(self, tmp_path, tiny, other):
        path = writer.save(tmp_path / 'file.pt', {'a': tiny, 'b': other})
        with pytest.raises(InputError) as caught:
            open_target(path, field='blind')
        assert caught.value.field == 'blind'
