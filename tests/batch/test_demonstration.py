"""The demonstration: its backbones are embedded, and nobody is on two sides of an audit."""

import itertools

import pytest

from fr_inference import program_config
from fr_inference.batch import demonstration
from fr_inference.data import sources
from tests.experiments import programs


def test_every_audit_is_of_an_embedded_backbone():
    asked = program_config.Demonstration(out='o')
    found = [audit for _, audit in demonstration.audits(asked)]
    assert [inputs.target for inputs, *_ in found] == ['demo_leaky', 'demo_easy', 'demo_few']
    folder = programs.ROOT / 'fr_inference' / 'models' / 'embedded'
    assert all((folder / inputs.target).is_dir() for inputs, *_ in found)
    assert [output.out for *_, output in found] == ['o', 'o/easy', 'o/few']
    assert [search is not None for *_, search, _ in found] == [False, False, True]


@pytest.mark.parametrize('number', range(3))
def test_nobody_is_on_two_sides(number):
    _, (inputs, *_) = list(demonstration.audits(program_config.Demonstration()))[number]
    sides = [
        {*sources.open_faces(part).identities}
        for part in (inputs.members, inputs.nonmembers, inputs.auxiliary, inputs.strangers)
        if part is not None
    ]
    for one, other in itertools.combinations(sides, 2):
        assert not one & other


def test_the_program_audits_what_is_asked(monkeypatch):
    ran = []

    class Done:
        verdict, record = 'a verdict', {}

    def run(inputs, settings, search, output, *, command, progress):
        ran.append((inputs.target, output.out, command))
        return Done()

    monkeypatch.setattr('fr_inference.batch.single.run', run)
    (result,) = programs.run_all(
        'demo', {'few': ['--audits=few,easy', '--backbones=b', '--out=s3://bucket/o']}
    ).values()
    assert (result.code, result.err) == (0, '')
    assert [row[:2] for row in ran] == [
        ('b/demo_few', 's3://bucket/o/few'),
        ('b/demo_easy', 's3://bucket/o/easy'),
    ]
    assert all(command in result.out for *_, command in ran)
    assert result.out.count('a verdict') == 2
