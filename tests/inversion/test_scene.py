from fr_inference.inversion import scene
from fr_inference.models import registry
from fr_inference.models.answers import Answers
from fr_inference.weights import generators
from fr_inference.weights.targets import open_target


def test_changed_answers_are_another_search():
    """Their weights are those of the backbone as it was: what was kept for that one is not theirs."""
    target = open_target('demo_few')
    changed = registry.remade(target, answers=Answers(bits=4))
    generator = generators.open_generator('demo_generator').module
    assert scene.make(generator, target).kind != scene.make(generator, changed).kind
