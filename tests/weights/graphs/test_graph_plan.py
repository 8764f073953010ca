"""What is planned of a graph: equal plans of one architecture, one error for what does not fit."""

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.weights.graphs import graph_plan
from tests.weights.graphs import builder
from tests.weights.graphs.builder import Builder

SHAPE = (2, 6, 7, 5)


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


@pytest.mark.parametrize(
    ('op', 'options'),
    [
        ('Conv', {'pads': [1, 1]}),
        ('MaxPool', {'kernel_shape': [2, 2], 'strides': [0, 1]}),
        ('Transpose', {'perm': [0, 0, 1, 2]}),
        ('Concat', {'axis': 9}),
        ('Flatten', {'axis': 9}),
        ('AveragePool', {}),
        ('Resize', {}),
        ('Gelu', {'approximate': 'no'}),
    ],
)
def test_what_does_not_fit_is_one_error(x, tmp_path, op, options):
    made = Builder(SHAPE, opset=20)
    inputs = ['image', made.drawn(4, 6, 3, 3)] if op == 'Conv' else ['image']
    model = made.model(made.node(op, *inputs, name='here', **options))
    with pytest.raises(InputError) as caught:
        builder.computed(model, x, tmp_path, True)
    assert f'{op} here' in (caught.value.field, caught.value.inside)


def test_unknown_operators_are_listed(tmp_path):
    made = Builder(SHAPE)
    y = made.node('NonZero', made.node('Det', made.node('Det', 'image')))
    y = made.node('MaxPool', y, kernel_shape=[2, 2], future=1)
    y = made.node('FusedConv', y, domain='com.microsoft')
    with pytest.raises(InputError) as caught:
        builder.planned(made.model(y), tmp_path)
    assert caught.value.field == 'operators'
    for name in ('Det (2)', 'NonZero (1)', 'MaxPool.future (1)', 'com.microsoft.FusedConv (1)'):
        assert name in caught.value.found


def test_plans_of_one_architecture_are_equal(tmp_path):
    """So that checkpoints of one network share what is compiled; one with another number does not."""

    def plan_of(seed, slope=0.2):
        made = Builder(SHAPE, seed=seed)
        y = made.norm(made.conv('image', (4, 6, 3, 3)), 4, 'bn')
        model = made.model(made.node('LeakyRelu', y, alpha=slope))
        return builder.planned(model, tmp_path)[0].plan

    one, other = plan_of(0), plan_of(1)
    assert isinstance(one, graph_plan.Plan)
    assert one == other
    assert hash(one) == hash(other)
    assert plan_of(0, slope=0.3) != one
