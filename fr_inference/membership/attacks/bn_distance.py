"""The paper's attack: distances of an image's features to the statistics of the BatchNorm layers."""

from fr_inference.membership import attack


def _examples(images, fit, seed):
    return attack.of_images(images, fit, images.log_distances) if images.layers else None


ATTACK = attack.Attack(
    name='bn-distance',
    title='BatchNorm distances',
    source='Huang et al. 2024, arXiv 2401.13719',
    access='file',
    unit='image',
    needs='BatchNorm layers with statistics from training',
    examples=_examples,
    layers=True,
)
