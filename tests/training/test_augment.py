import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.training import augment


def test_a_rectangle_is_erased():
    image = jnp.full((30, 20, 3), 9.0)
    many = jax.vmap(lambda key: augment.erased(key, image, 0.75))(
        jax.random.split(jax.random.key(0), 200)
    )
    changed = np.asarray(many != 9).any(-1)
    areas = changed.mean((1, 2))
    np.testing.assert_allclose((areas > 0).mean(), 0.75, atol=0.1)
    assert areas.max() <= 0.45
    assert areas[areas > 0].mean() > 0.1
    for one in changed[areas > 0][:50]:
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        assert one[np.ix_(rows, columns)].all()
        assert len(rows) == rows[-1] - rows[0] + 1
    noise = np.asarray(many)[changed]
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.05)
