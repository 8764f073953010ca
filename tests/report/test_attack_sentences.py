"""What each attack found is said by its name, beside its control, with the interval that counts."""

from fr_inference.report import membership_verdict
from tests.report.comparisons import (
    BAD_NULL,
    block,
    combined,
    comparison,
    data,
    further,
    on_people,
)

QUIET = {'over': (-0.04, 0.04), 'figures': block(0.51, 0.47, 0.55)}


def said_of(*found, sides=None):
    return membership_verdict.of(found, {}, data=sides)


def text_of(said):
    return ' '.join(said.sentences)


def test_attacks_are_named_also_where_one_alone_was_chosen():
    alike = comparison('other', title='Other distances', figures=block(0.61, 0.56, 0.66))
    text = text_of(said_of(comparison(), alike, on_people()))
    assert (
        'nowing some of the training images, the attack on photographs (Other distances) ' in text
    )
    assert 'the attack on photographs (BatchNorm distances) picks' in text
    assert 'the attack on people with several photographs (Embeddings of a person) picks' in text
    (first,) = [text for text in said_of(alike).sentences if text.startswith('Found: ')]
    assert 'the attack on photographs (Other distances) picks' in first


def test_every_attack_has_its_own_smallest_leak():
    weak = on_people(figures=block(0.5, 0.3, 0.7), over=(-0.2, 0.2))
    text = text_of(said_of(comparison(over=(-0.06, 0.06)), weak, sides=data(100, 4)))
    # 3.87 standard errors of 0.12 / 3.92 and of 0.4 / 3.92.
    assert (
        'A leak below 62 of 100 cases could have been missed by the attack on photographs' in text
    )
    assert 'a leak below 89 of 100 cases could have been missed by the attack on people' in text


def test_attacks_that_know_different_things_are_told_apart():
    wide = {'figures': block(0.5, 0.3, 0.7), 'over': (-0.2, 0.2)}
    found = comparison(**wide), comparison(setting='auxiliary', over=(-0.06, 0.06))
    text = text_of(said_of(*found, sides=data(100, 4)))
    assert (
        'missed by the attack on photographs (BatchNorm distances) knowing some of the training images'
        in text
    )
    assert (
        'missed by the attack on photographs (BatchNorm distances) knowing none of the training images'
        in text
    )
    void = text_of(said_of(comparison(), comparison(setting='auxiliary', null=BAD_NULL)))
    assert '(BatchNorm distances) knowing none of the training images is not counted' in void


def test_only_the_best_of_the_further_attacks_is_said_with_the_interval_for_all():
    found = [combined(**QUIET), further('a'), further('b', over=(0.4, 0.5), reach=(0.3, 0.6))]
    said = said_of(*found, further('c', null=BAD_NULL), comparison(further=True, **QUIET))
    assert said.kind == 'leak'
    text = text_of(said)
    assert (
        '2 of 4 further attacks show a leak. 1 more is not counted because a control failed. Knowing '
        'some of the training images, the attack "The b" has the largest excess over its control: it '
        'picks the member in 80 of 100 cases, 45 above its control, the same attack'
    ) in text
    assert '(+30 to +60, a 99 % interval that holds for all 4 further attacks together)' in text
    assert 'The a' not in ' '.join(said.sentences[:4])
    assert 'Another may pick more, but with a smaller excess.' in text
    assert 'So can anyone who only receives its embeddings.' in said.sentences[-1]


def test_the_box_begins_with_the_attack_that_shows_the_leak():
    """Where it is a further one, the box says so, and that those chosen beforehand show none."""
    said = said_of(combined(**QUIET), further(reach=(0.3, 0.6)))
    assert said.kind == 'leak'
    _, first, second, third, *_ = said.sentences
    assert first.startswith(
        'Found: knowing some of the training images, a further attack (The norm) picks'
    )
    assert '(+30 to +60, a 99 % interval)' in first
    assert 'rests on that attack: the attack chosen beforehand shows no leak.' in second
    assert third.startswith(
        'Knowing some of the training images, the combination of all attacks on'
    )
    quiet = further('c', over=(0.5, 0.6), reach=(-0.1, 0.9))  # stands out more, and shows nothing
    single = said_of(combined(**QUIET), further(), quiet).sentences[1]
    assert single.startswith('Found: one of 2 further attacks shows a leak. Knowing some of the')
    assert '"The norm" picks the member' in single
    assert 'stands out' not in single
    together = combined('answers', further=True, over=(0.5, 0.6), best_of=further().best_of)
    said = said_of(combined(**QUIET), further(), together).sentences[1]
    assert 'images, the combination of all attacks on the embeddings has the largest excess' in said
    several = said_of(combined(**QUIET), on_people(**QUIET), further(), further('b'))
    assert 'a 99 % interval that holds for all 2 further attacks together' in several.sentences[1]
    assert 'none of the 2 attacks chosen beforehand shows a leak.' in several.sentences[2]
    void = said_of(combined(null=BAD_NULL), further())
    assert 'no attack chosen beforehand is counted' in void.sentences[2]


def test_the_control_is_explained_once_where_it_is_first_met():
    """The first attack that is counted is said in full, the others in short."""
    control = 'its control, the same attack on a backbone that never saw these people'
    found = comparison(null=BAD_NULL), combined(), on_people(), further()
    text = text_of(said_of(*found))
    assert text.count(control) == 1
    assert f'30 above {control} (95 % interval of the difference +20 to +40).' in text
    assert (
        '(Embeddings of a person) picks the member in 90 of 100 cases (80 to 97), 30 above its '
        'control (+20 to +40).'
    ) in text
    later = text_of(said_of(comparison(over=None), on_people()))
    assert later.count(control) == 1  # the first has none
    rests_on_further = said_of(combined(**QUIET), further(reach=(0.3, 0.6))).sentences
    assert control in rests_on_further[1]


def test_a_further_attack_on_people_says_that_it_takes_several_photographs():
    people = further('people-answers', unit='person', title='Agreement')
    (_, first, *_) = said_of(combined(**QUIET), people).sentences
    known = 'from several photographs of a person, knowing some of the training images'
    assert first.startswith(f'Found: {known}, a further attack (Agreement) picks')
