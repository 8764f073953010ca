import jax
import numpy as np
import pytest

from fr_inference.config import Recipe
from fr_inference.data import sources
from fr_inference.defending import folding
from fr_inference.errors import InputError
from fr_inference.models.target import InputSpec
from fr_inference.training import recognizer, recognizer_step
from fr_inference.weights.targets import open_target

RECIPE = Recipe(
    epochs=1, batch_size=7, learning_rate=0.05, frozen=0.5, erasing=0.5, label_smoothing=-0.1
)


@pytest.fixture(scope='module')
def faces():
    return sources.open_faces('procedural:easy,people=6,images=6,size=16,seed=2')


def test_the_first_layers_stay(faces):
    """Their weights and statistics; of the others the weights and statistics move."""
    begun = recognizer.fresh_target('tiny', {}, InputSpec(height=16, width=16), seed=1)
    trained = recognizer.train(RECIPE, begun, faces)
    still = recognizer_step.first_layers(begun.module, begun.input, 0.5)
    moved, stayed = set(), set()
    for kind in ('params', 'batch_stats'):
        paths = jax.tree_util.tree_leaves_with_path(begun.variables[kind])
        after = jax.tree.leaves(trained.variables[kind])
        for (path, before), leaf in zip(paths, after, strict=True):
            names = tuple(part.key for part in path)[:-1]
            same = np.array_equal(np.asarray(before), np.asarray(leaf))
            (stayed if same else moved).add(names)
    assert ('conv1',) in still
    assert still <= stayed
    assert not still & moved
    assert ('fc',) in moved


def test_a_backbone_without_statistics_is_refused(faces):
    folded = folding.strip(open_target('demo_few'))
    with pytest.raises(InputError) as raised:
        recognizer.train(RECIPE, folded, faces)
    assert raised.value.field == 'init'
