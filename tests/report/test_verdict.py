"""The verdict claims a leak only where every control allows it."""

import pytest

from fr_inference.report.verdict import decisive, verdict


def block(auc, low, high, people=60):
    return {
        'auc': auc,
        'auc_ci95': [low, high],
        'tpr_at_fpr': {'0.1': 0.4, '0.01': 0.123, '0.001': None},
        'identities': people,
    }


NULL = block(0.51, 0.45, 0.57)
BAD_NULL = block(0.7, 0.6, 0.8)
BLIND = block(0.52, 0.46, 0.58)


def excess(low, high):
    return {'auc': (low + high) / 2, 'auc_ci95': [low, high]}


def record(partial=None, people=None, **controls):
    membership = {'settings': {}, 'controls': controls}
    if partial:
        membership['settings']['partial'] = partial
    if people:
        membership['identity_level'] = people
    return {'membership': membership}


@pytest.mark.parametrize(
    ('controls', 'kind'),
    [
        ({'excess': excess(0.2, 0.4), 'null': NULL}, 'leak'),
        ({'excess': excess(0.001, 0.4), 'null': NULL}, 'leak'),
        ({'excess': excess(-0.001, 0.4), 'null': NULL}, 'open'),
        ({'excess': excess(-0.04, 0.04), 'null': NULL}, 'none'),
        ({'excess': excess(-0.2, -0.1), 'null': NULL}, 'none'),
        ({'excess': excess(-0.04, 0.06), 'null': NULL}, 'open'),
        ({'excess': excess(0.2, 0.4), 'null': BAD_NULL}, 'invalid'),
        ({'excess': excess(-0.04, 0.04), 'null': block(0.4, 0.3, 0.49)}, 'invalid'),
        ({'null': NULL}, 'open'),
        ({'excess': excess(0.2, 0.4)}, 'leak'),
    ],
)
def test_kind_of_one_attack(controls, kind):
    found = verdict(record(block(0.8, 0.75, 0.85), blind=BLIND, **controls))
    assert found.kind == kind
    assert ('gives away' in found.headline) == (kind == 'leak')


@pytest.mark.parametrize(
    ('images', 'null', 'people', 'kind'),
    [
        ((-0.04, 0.04), NULL, (0.3, 0.5), 'leak'),  # the person is given away, the image is not
        ((0.1, 0.2), NULL, (-0.2, 0.2), 'leak'),
        ((-0.04, 0.04), NULL, (-0.2, 0.2), 'open'),
        ((-0.04, 0.04), NULL, (-0.04, 0.04), 'none'),
        ((0.1, 0.2), BAD_NULL, (-0.04, 0.04), 'invalid'),
        ((0.1, 0.2), BAD_NULL, (0.3, 0.5), 'leak'),  # the attack on people has its own control
    ],
)
def test_the_strongest_sound_finding_is_the_headline(images, null, people, kind):
    found = verdict(
        record(
            block(0.6, 0.55, 0.65),
            block(0.9, 0.8, 0.97),
            excess=excess(*images),
            null=null,
            identity_excess=excess(*people),
            identity_null=NULL,
        )
    )
    assert found.kind == kind


def test_a_control_that_fell_below_a_half_is_no_leak():
    found = verdict(record(block(0.52, 0.45, 0.59), excess=excess(0.02, 0.2), null=NULL))
    assert found.kind == 'open'


def test_sentences_hold_the_figures():
    found = verdict(record(block(0.8, 0.75, 0.85), excess=excess(0.2, 0.4), null=NULL, blind=BLIND))
    text = str(found)
    assert text.startswith(found.headline)
    assert '80 of 100 cases (95 % interval 75 to 85; 50 is guessing)' in text
    # The lowest rate that could be resolved.
    assert 'finds 12.3 % of the members while taking 1 % of the strangers for members' in text
    assert '+30 (+20 to +40) beyond' in text
    assert '60 people on whom the attack was not fitted' in text
    assert '51 of 100 (45 to 57), as it must' in text


def test_a_failed_null_control_is_said():
    found = verdict(record(block(0.8, 0.75, 0.85), excess=excess(0.2, 0.4), null=BAD_NULL))
    assert 'should contain 50 and does not' in str(found)
    assert 'do not rely' in str(found)


def test_people_only():
    """A target without BatchNorm: only the attack on people could be run."""
    found = verdict(
        record(None, block(0.9, 0.8, 0.97), identity_excess=excess(0.2, 0.4), identity_null=NULL)
    )
    assert found.kind == 'leak'
    assert 'With several photographs of a person' in str(found)
    assert 'Knowing some' not in str(found)


def inversion(hit_rate, low, control, p_value, **more):
    return {
        'goal': 'membership',
        'setting': 'auxiliary',
        'reconstructions': 64,
        'hit_rate': hit_rate,
        'hit_rate_ci95': [low, 2 * hit_rate - low],
        'nearest_is_member': 0.55,
        'nearest_is_member_ci95': [0.45, 0.65],
        'p_value': p_value,
        'nearest_p_value': 0.3,
        'distinct_identities': 9,
        'controls': {
            'random_latents': {'hit_rate': control},
            'nonmember_gallery': {'hit_rate': 0.02},
        },
        'excess': {
            'hit_rate': hit_rate - control,
            'hit_rate_ci95': [low - control, 2 * hit_rate - low - control],
            'over': 'random_latents',
            'p_value': p_value,
        },
        **more,
    }


@pytest.mark.parametrize(
    ('found', 'kind'),
    [
        (inversion(0.4, 0.3, 0.1, 0.001), 'leak'),
        (inversion(0.4, 0.3, 0.1, 0.02), 'open'),  # chance would do as well
        (inversion(0.4, 0.3, 0.42, 0.001), 'open'),  # a control does better
        (inversion(0.1, 0.07, 0.2, 0.5), 'none'),
    ],
)
def test_recovery_is_claimed_only_beyond_every_control(found, kind):
    said = verdict({'inversion': found})
    assert said.kind == kind
    assert ('Nothing recovered' in str(said)) == (kind != 'leak')
    assert ('Nothing recovered for certain' in said.headline) == (kind == 'open')
    assert 'random faces' in str(said)


def test_likenesses_that_lean_towards_members_leave_it_open():
    found = inversion(0.1, 0.07, 0.2, 0.5) | {'nearest_p_value': 0.002}
    said = verdict({'inversion': found})
    assert said.kind == 'open'
    assert 'lean towards members' in said.headline
    assert 'Nothing recovered' not in str(said)
    found['controls']['untrained_target'] = {'hit_rate': 0.0, 'nearest_is_member': 0.5}
    assert 'Nothing recovered' in str(verdict({'inversion': found}))  # it leans as far untrained


@pytest.mark.parametrize('changed', [{'hit_rate_ci95': [-0.01, 0.3]}, {'p_value': 0.02}])
def test_hits_beyond_chance_but_not_surely_beyond_a_control_leave_it_open(changed):
    found = inversion(0.4, 0.3, 0.1, 0.001)
    found['excess'] |= changed
    said = verdict({'inversion': found})
    assert said.kind == 'open'
    assert 'lean towards members' in said.headline
    found['p_value'] = 0.02
    assert 'Nothing recovered' in str(verdict({'inversion': found}))


def test_both_stages_in_one_verdict():
    leaking = record(block(0.8, 0.75, 0.85), excess=excess(0.2, 0.4), null=NULL)
    both = verdict(leaking | {'inversion': inversion(0.4, 0.3, 0.1, 0.001)})
    assert both.kind == 'leak'
    assert 'can be reconstructed' in both.headline
    one = verdict(leaking | {'inversion': inversion(0.1, 0.07, 0.2, 0.5)})
    assert one.kind == 'leak'
    assert 'reconstructed' not in one.headline
    assert 'Nothing recovered' in str(one)


def test_templates_are_told_apart():
    targeted = {
        'people': 16,
        'gallery': 32,
        'top1': 0.5,
        'top1_ci95': [0.3, 0.7],
        'controls': {'random_latents': {'top1': 1 / 32}},
    }
    said = str(verdict({'inversion': inversion(0.1, 0.07, 0.2, 0.5, targeted=targeted)}))
    assert '50 % of the cases (30 % to 70 %; random faces: 3.1 %)' in said


def test_it_says_whether_photographs_or_people_are_given_away():
    def meaning(images):
        found = verdict(
            record(
                block(0.8, 0.75, 0.85),
                block(0.9, 0.85, 0.95),
                excess=excess(*images),
                identity_excess=excess(0.3, 0.5),
                null=NULL,
                identity_null=NULL,
            )
        )
        return found.sentences[-1]

    assert 'about the people' in meaning((-0.04, 0.04))
    assert 'about individual training photographs' in meaning((0.2, 0.4))


@pytest.mark.parametrize(
    ('images', 'people', 'expected'),
    [
        ((-0.3, 0.4), (0.3, 0.5), 'identity_level'),
        ((0.1, 0.2), (0.3, 0.5), 'partial'),
        ((-0.3, 0.4), (-0.3, 0.5), 'partial'),
    ],
)
def test_the_attack_that_the_verdict_rests_on(images, people, expected):
    controls = {'excess': excess(*images), 'identity_excess': excess(*people)}
    found = record(block(0.8, 0.75, 0.85), block(0.9, 0.8, 1.0), **controls)
    assert decisive(found['membership']) == expected
