"""Further populations, by an attack that was fitted without them."""

from fr_inference import config
from fr_inference.membership import study
from fr_inference.membership.views import measure_views
from tests.membership.backbones import Plain, Small, noise_faces, target_of


def test_a_blind_backbone_with_statistics_beside_a_target_without():
    """What the target lacks is not looked at in the blind backbone, of other faces either."""
    settings = config.Settings(attacks=('norm', 'quantile'), replicates=100, batch_size=16)
    faces = {
        'members': noise_faces(12, 2, seed=1, name='in'),
        'nonmembers': noise_faces(12, 2, seed=2, name='out'),
        'member_identities': noise_faces(12, 2, seed=4, name='in'),
    }
    views = measure_views(
        target_of(Plain()),
        faces,
        settings=settings,
        features=study.features_of(settings),
        blind=target_of(Small(), seed=3),
    )
    populations = study.run(views, faces, settings=settings).membership['populations']
    assert 'blind' in populations['member_identities_vs_nonmembers']
