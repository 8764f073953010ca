"""What cannot be said is said."""

import dataclasses
from types import SimpleNamespace

from fr_inference import config
from fr_inference.membership import attacks, comparing, limitations
from fr_inference.weights.graphs import folded
from tests.membership.backbones import Plain, Small, crowd, labelled_of, target_of
from tests.membership.test_comparing import views_of
from tests.report.comparisons import BAD_NULL, comparison, on_people

DISTANCES, PEOPLE = attacks.get('bn-distance'), attacks.get('people')
SETTINGS = config.Settings(replicates=100)


def test_numbers():
    for people, few in ((8, True), (24, False)):
        views = views_of(crowd(people=people), crowd(people=people, seed=1))
        one, _ = comparing.compare(DISTANCES, 'partial', views, SETTINGS)
        found = limitations.of_numbers([one])
        assert any('people on a side' in line for line in found) == few
        assert any('cannot be resolved (10,000 would be needed' in line for line in found)
    assert limitations.of_numbers([dataclasses.replace(one, blind_scored=None, null_scored=None)])


def test_every_comparison_counts():
    views = views_of(crowd(people=24), crowd(people=24, seed=1))
    few = views_of(crowd(people=8), crowd(people=8, seed=1))
    one, _ = comparing.compare(DISTANCES, 'partial', views, SETTINGS)
    other, _ = comparing.compare(PEOPLE, 'partial', few, SETTINGS)
    assert len(limitations.of_numbers([one])) == 1
    assert len(limitations.of_numbers([one, other])) == 2


def test_attacks_that_could_not_be_run():
    views = views_of(crowd(images=1), crowd(images=1, seed=1))
    one, _ = comparing.compare(DISTANCES, 'partial', views, SETTINGS)
    (said,) = limitations.of_attacks([DISTANCES, PEOPLE], [one], references=False)
    assert said.startswith('Agreement of embeddings: not run')
    assert PEOPLE.needs in said
    people, _ = comparing.compare(PEOPLE, 'partial', views_of(crowd(), crowd(seed=1)), SETTINGS)
    alone = attacks.get('people-answers')  # without BatchNorm layers it is the same as `people`
    assert limitations.of_attacks([PEOPLE, alone], [people], references=False) == []
    given = attacks.get('reference')
    (said,) = limitations.of_attacks([DISTANCES, given], [one], references=False)
    assert said.startswith('No reference network')
    (said,) = limitations.of_attacks([DISTANCES, given], [one], references=True)
    assert given.needs in said


def test_views():
    images = crowd()
    views = dataclasses.replace(views_of(images, images), target=target_of(Small()))
    (said,) = limitations.of_views(views)
    assert 'random weights' in said
    assert limitations.of_views(dataclasses.replace(views, untrained=False)) == []
    bare = labelled_of(images.distances[:, :0], images.member, images.identities)
    plain = dataclasses.replace(
        views, target=target_of(Plain(), name='plain'), in_target=bare, untrained=False
    )
    (said,) = limitations.of_views(plain)
    assert said.startswith('plain has no BatchNorm statistics')
    folded = dataclasses.replace(plain, target=target_of(Small()))
    (said,) = limitations.of_views(folded)
    assert said.startswith('small calls no flax.linen.BatchNorm')


def test_one_person_with_most_photographs_is_named_as_a_limit():
    even = [f'person {number}' for number in range(8)] * 5
    assert limitations.of_largest_person('members', even) == []
    (said,) = limitations.of_largest_person('members', even + ['person 3'] * 9)
    assert said.startswith('One of the 8 people of members has 14 of their 49 photographs.')
    assert limitations.of_largest_person('members', ['a'] * 9 + ['b']) == []


def test_folded_layers_are_named():
    convolution = SimpleNamespace(op='Conv', inputs=['x', 'kernel', 'bias'], outputs=['y'])
    notes = folded.notes(SimpleNamespace(norms={}, nodes=[convolution]))
    images = crowd()
    target = dataclasses.replace(target_of(Small()), notes=notes)
    views = dataclasses.replace(views_of(images, images), target=target, untrained=False)
    (said,) = limitations.of_views(views)
    assert said.startswith('BatchNorm layers that seem folded into convolutions')
    assert said.endswith('A file that kept their statistics may give away more.')


def test_that_nothing_was_found_is_no_proof():
    quiet = comparison(over=(-0.04, 0.04))
    (alone,) = limitations.of_nothing([quiet, comparison(null=BAD_NULL)])
    assert alone.startswith('This attack shows no leak')
    (several,) = limitations.of_nothing([quiet, on_people(over=(-0.1, 0.1))])
    assert several.startswith('None of these 2 attacks shows a leak')
    assert limitations.of_nothing([quiet, comparison()]) == []
    assert limitations.of_nothing([comparison(null=BAD_NULL)]) == []
