"""An attack of the user's own: a function or an `Attack` in a module that Python finds."""

import dataclasses
import sys

import numpy as np
import pytest

from fr_inference import auditing, config
from fr_inference.errors import InputError
from fr_inference.membership import attacks, comparison, rehearsal, study
from fr_inference.membership.attack import Attack
from fr_inference.membership.views import measure_views
from tests.membership.backbones import Plain, Small, noise_faces, target_of

MODULE = '''
import numpy as np
import jax.numpy as jnp
from fr_inference.measuring.features import Feature
from fr_inference.membership.attack import Attack, Examples, of_images


def brightness(images, fit, seed):
    """How far from zero the embedding lies.

    Further lines are for those who read the code.
    """
    return np.abs(images.embeddings).sum(1, keepdims=True)


def typo(images, fit, seed):
    return images.embedings


def sides(images, fit, seed):
    """Has no inverse of what was made up: no fault before there are real values."""
    raise np.linalg.LinAlgError('singular')


def as_list(images, fit, seed):
    return [[float(number)] for number in images.distances[:, 0]]


def undocumented(images, fit, seed):
    return images.embedings


def nothing(images, fit, seed):
    return None


def flat(images, fit, seed):
    return images.embeddings[:, 0]


def short(images, fit, seed):
    return images.embeddings[1:]


def unsure(images, fit, seed):
    return np.full((len(images), 1), np.nan)


def words(images, fit, seed):
    return ['member'] * len(images)


def knows_everybody(images, fit, seed):
    return images.member[:, None]


def _middle(images, fit, seed):
    return of_images(images, fit, images.extra['middle'])


def _people(images, fit, seed):
    names = sorted(set(images.identities))
    rows = [images.identities.index(name) for name in names]
    return Examples(
        names=tuple(names),
        member=images.member[rows],
        features=images.embeddings[rows],
        fit=fit[rows],
    )


def attack(**more):
    given = dict(
        name='middle',
        title='Middle of the picture',
        source='mine',
        access='answers',
        unit='image',
        needs='nothing',
        examples=_middle,
        settings=('partial', 'strangers'),
        signs=(1.0, -1.0, 0.0),
        measured=(Feature('middle', lambda look, network: look.image[4, 4]),),
    )
    return Attack(**given | more)


middle = attack()
again = attack()
taken = attack(name='norm')
in_parts = attack(name='a/b')
of_people = attack(
    name='first-images', unit='person', examples=_people, settings=('partial',), signs=(), measured=()
)
for_strangers = attack(name='for-strangers', settings=('strangers',))
number = 3


class OfAnswers:
    """How long the embedding is."""
    access = 'answers'

    def __call__(self, images, fit, seed):
        return np.linalg.norm(images.embeddings, axis=1, keepdims=True)


def inside():
    def hidden(images, fit, seed):
        return images.embeddings
    return hidden
'''


@pytest.fixture(scope='module', autouse=True)
def own(tmp_path_factory):
    """Modules that Python finds: `mine`, and some that cannot be used."""
    folder = tmp_path_factory.mktemp('own')
    (folder / 'mine.py').write_text(MODULE)
    (folder / 'broken.py').write_text('def attack(:')
    (folder / 'stops.py').write_text('raise SystemExit(3)')
    (folder / 'divides.py').write_text('1 / 0')
    (folder / 'fails.py').write_text('import a_package_that_is_nowhere')
    (folder / 'invalid.py').write_text(
        MODULE + "\nwrong = attack(unit='person', settings=('auxiliary',))"
    )
    (folder / 'bn.py').write_text('def distance(images, fit, seed): return images.distances')
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in ('mine', 'bn', 'invalid'):
        sys.modules.pop(name, None)


FACES = {
    'members': noise_faces(12, 2, seed=1, name='in'),
    'nonmembers': noise_faces(12, 2, seed=2, name='out'),
}


def settings_of(*names):
    return config.Settings(attacks=names, replicates=100, batch_size=16)


@pytest.fixture(scope='module')
def views(own):
    settings = settings_of('mine:middle')
    return measure_views(
        target_of(Small()), FACES, settings=settings, features=study.features_of(settings)
    )


def found(views, *names):
    return study.run(views, {}, settings=settings_of(*names)).comparisons


class TestFunction:
    def test_runs_beside_its_controls(self, views):
        (one,) = found(views, 'mine:brightness')
        assert (one.attack, one.setting, one.unit) == ('mine-brightness', 'partial', 'image')
        assert one.title == 'How far from zero the embedding lies'
        assert one.access == 'file'
        assert one.headline
        assert one.blind is not None
        assert one.null is not None

    def test_is_the_attack_on_what_it_returns(self, views):
        features = attacks.get('mine:as_list').examples(views.in_target, views.fit, 0).features
        np.testing.assert_allclose(np.asarray(features)[:, 0], views.in_target.distances[:, 0])
        assert [one.attack for one in found(views, 'mine:as_list')] == ['mine-as_list']

    def test_of_a_class_that_sees_answers_only(self, views):
        (one,) = found(views, 'mine:OfAnswers')
        assert (one.attack, one.access) == ('mine-OfAnswers', 'answers')
        assert one.title == 'How long the embedding is'

    def test_from_python(self):
        import mine

        given = config.Settings(attacks=[mine.brightness, 'norm', mine.OfAnswers])
        assert given.attacks == ('mine:brightness', 'norm', 'mine:OfAnswers')
        with pytest.raises(InputError) as caught:
            config.Settings(attacks=(mine.inside(),))
        assert caught.value.field == 'attacks'

    @pytest.mark.parametrize('name', ['stops', 'divides'])
    def test_of_a_module_that_fails(self, name):
        with pytest.raises(InputError) as caught:
            attacks.get(f'{name}:attack')
        assert caught.value.field == 'attacks'

    def test_without_a_docstring_is_called_by_its_name(self):
        assert attacks.get('mine:undocumented').title == 'mine:undocumented'

    def test_comes_last_and_is_combined_with_the_others(self, views):
        names = [one.name for one in attacks.chosen(('mine:brightness', 'norm', 'combined-file'))]
        assert names == ['combined-file', 'norm', 'mine-brightness']
        combined, *_ = attacks.chosen(('mine:brightness', 'norm', 'combined-file'))
        assert [part.name for part in combined.parts] == ['norm', 'mine-brightness']
        keys = [one.key for one in found(views, 'mine:brightness', 'norm', 'combined-file')]
        assert keys[0] == 'combined-file/partial'
        assert 'mine-brightness/partial' in keys

    def test_that_has_nothing_to_say_is_not_run(self, views):
        assert {one.attack for one in found(views, 'mine:nothing', 'norm')} == {'norm'}

    def test_that_looks_at_the_labels_of_all_finds_nothing(self, views):
        (one,) = found(views, 'mine:knows_everybody')
        assert one.figures['auc'] == 0.5
        assert one.kind == 'open'


class TestAttack:
    def test_runs_in_its_settings_with_what_it_measures(self, views):
        keys = {one.key: one for one in found(views, 'mine:middle')}
        assert list(keys) == ['middle/partial', 'middle/strangers']
        assert keys['middle/partial'].access == 'answers'
        # An image's own middle pixel, whatever the backbone: no excess.
        for one in keys.values():
            assert one.excess['auc'] == pytest.approx(0, abs=1e-9)

    def test_on_people(self, views):
        (one,) = found(views, 'mine:of_people')
        assert (one.key, one.unit) == ('first-images/partial', 'person')
        assert (one.figures['members'], one.figures['nonmembers']) == (6, 6)

    def test_that_knows_strangers_alone_is_what_the_verdict_rests_on(self, views):
        (one,) = comparisons = found(views, 'mine:for_strangers')
        assert one.key == 'for-strangers/strangers'
        assert one.headline
        assert comparison.decisive(comparisons) is one


def test_in_an_audit(views):
    """As `audit()` runs it, from measurement to record."""
    opened = auditing.Opened(target=views.target, faces=FACES)
    audited = auditing.run(opened, settings_of('mine:middle', 'mine:brightness'))
    keys = [one['attack'] for one in audited.record['membership']['comparisons']]
    assert keys == ['middle', 'middle', 'mine-brightness']


class TestWrong:
    @pytest.mark.parametrize(
        'names',
        [
            ('nowhere_at_all:attack',),
            ('mine:absent',),
            ('mine:',),
            (':middle',),
            ('mine:number',),
            ('mine:taken',),
            ('mine:in_parts',),
            ('bn:distance',),
            ('mine:middle', 'mine:again'),
            ('broken:attack',),
            ('fails:attack',),
            ('invalid:wrong',),
        ],
    )
    def test_named(self, names):
        """Before anything is measured."""
        with pytest.raises(InputError) as caught:
            auditing.run(
                auditing.Opened(target=target_of(Small()), faces=FACES), settings_of(*names)
            )
        assert caught.value.field == 'attacks'
        assert '\n' not in str(caught.value)

    @pytest.mark.parametrize('name', ['flat', 'short', 'unsure', 'words'])
    def test_features(self, views, name):
        for more in ((), ('norm', 'combined-file')):
            with pytest.raises(InputError) as caught:
                found(views, f'mine:{name}', *more)
            assert caught.value.field == 'attacks'
            assert f'mine-{name}' in str(caught.value)

    @pytest.mark.parametrize('name', ['typo', 'flat', 'short', 'words'])
    def test_before_anything_is_measured(self, name, monkeypatch):
        monkeypatch.setattr(auditing, 'measure_views', None)
        opened = auditing.Opened(target=target_of(Small()), faces=FACES)
        with pytest.raises(InputError) as caught:
            auditing.run(opened, settings_of(f'mine:{name}', 'norm'))
        assert caught.value.field == 'attacks'
        assert '\n' not in str(caught.value)

    @pytest.mark.parametrize('name', ['nothing', 'unsure', 'sides', 'middle', 'of_people'])
    def test_what_values_are_to_blame_for_is_no_fault_beforehand(self, name):
        wanted = attacks.chosen((f'mine:{name}',))
        rehearsal.check(
            wanted, target_of(Small()), FACES, seed=0, references={'a': target_of(Plain())}
        )

    def test_the_same_twice(self):
        with pytest.raises(InputError) as caught:
            settings_of('mine:middle', 'mine:middle')
        assert caught.value.field == 'attacks'

    def test_for_strangers_without_a_sign(self):
        norm = attacks.get('norm')
        for signs in ((), (0.0,)):
            with pytest.raises(InputError) as caught:
                dataclasses.replace(norm, signs=signs)
            assert caught.value.field == 'signs'

    def test_on_people_by_a_shadow(self):
        with pytest.raises(InputError) as caught:
            Attack(name='a', title='a', source='a', access='file', unit='person', needs='nothing')
        assert caught.value.field == 'settings'
