"""Draws one face: a pure function of a person's looks and the circumstances of the picture.

Signed distances, composited back to front with soft edges: `vmap`, `jit` and differentiate at will.
Coordinates: x to the right, y down, the picture spans [-1, 1] x [-1, 1].
"""

import jax
import jax.numpy as jnp

# What makes a person: each entry of the identity vector lies in [0, 1].
IDENTITY = (
    *('skin', 'hair_tone', 'hair_length', 'hair_volume', 'hairline', 'parting', 'fringe'),
    *('face_width', 'face_length', 'jaw', 'cheeks', 'ears'),
    *('eye_colour', 'eye_size', 'eye_spacing', 'eye_height', 'eye_slant'),
    *('brow_thickness', 'brow_height', 'brow_arch'),
    *('nose_length', 'nose_width', 'mouth_width', 'mouth_height', 'lips', 'lip_colour'),
    *('beard', 'moustache', 'glasses', 'mole_x', 'mole_y', 'freckles', 'clothes'),
)

# What makes a picture of a person: entries in [0, 1], 0.5 is a neutral studio picture.
NUISANCE = (
    *('yaw', 'pitch', 'roll', 'zoom', 'shift_x', 'shift_y'),
    *('smile', 'mouth_open', 'brow_raise', 'lids', 'gaze_x', 'gaze_y'),
    *('light_x', 'light_y', 'contrast', 'warmth', 'exposure'),
    *('background_hue', 'background_tone', 'background_slope', 'blur', 'noise', 'noise_seed'),
)

_SKIN = ((255, 226, 202), (240, 196, 160), (214, 158, 116), (160, 104, 70), (98, 62, 44))
_HAIR = ((28, 24, 26), (62, 42, 32), (112, 74, 46), (158, 84, 44), (208, 168, 98), (178, 176, 176))
_EYES = ((74, 46, 28), (122, 88, 44), (84, 116, 72), (72, 122, 168), (126, 142, 152))
_LIPS = ((186, 96, 92), (204, 84, 90), (168, 72, 68))
_CLOTHES = (
    (52, 70, 110),
    (120, 44, 52),
    (54, 92, 74),
    (92, 84, 104),
    (196, 190, 178),
    (38, 40, 46),
)


def render(identity: jax.Array, nuisance: jax.Array, size: int) -> jax.Array:
    """Draws one face.

    Args:
      identity: [len(IDENTITY)] float32 in [0, 1].
      nuisance: [len(NUISANCE)] float32 in [0, 1].
      size: height and width in pixels.

    Returns:
      [size, size, 3] float32 RGB in [0, 255].
    """
    person = dict(zip(IDENTITY, identity, strict=True))
    # Signed: 0 is neutral, the ends are -1 and 1.
    shot = dict(zip(NUISANCE, 2 * nuisance - 1, strict=True))
    shot['smile'] = 0.3 + 0.7 * shot['smile']  # people tend to smile in photographs
    axis = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size * 2 - 1
    x, y = axis[None, :], axis[:, None]
    canvas = _background(shot, x, y)
    # The camera: the rest is drawn in the head's own frame.
    turn = 0.35 * shot['roll']
    zoom = 1.03 - 0.14 * shot['zoom']
    x, y = x - 0.14 * shot['shift_x'], y - 0.1 * shot['shift_y'] - 0.06
    x, y = jnp.cos(turn) * x + jnp.sin(turn) * y, jnp.cos(turn) * y - jnp.sin(turn) * x
    x, y = x * zoom, y * zoom
    soft = 1.3 * zoom / size  # half a pixel and a bit: the edge of every shape
    canvas = _figure(canvas, person, shot, x, y, soft)
    return _photograph(canvas, shot, size)


def _lerp(value, low, high):
    return low + (high - low) * value


def _palette(colours, value):
    table = jnp.asarray(colours, jnp.float32)
    stops = jnp.linspace(0.0, 1.0, len(colours))
    return jnp.stack([jnp.interp(value, stops, table[:, channel]) for channel in range(3)])


def _inside(distance, soft):
    """Coverage in [0, 1] of a shape given its signed distance (negative inside)."""
    return jax.nn.sigmoid(-2.5 * distance / soft)


def _over(canvas, colour, coverage):
    return canvas + coverage[..., None] * (colour - canvas)


def _ellipse(x, y, a, b):
    """Approximate signed distance to an ellipse of half-axes a, b around the origin."""
    return (jnp.sqrt((x / a) ** 2 + (y / b) ** 2 + 1e-8) - 1) * jnp.minimum(a, b)


def _background(shot, x, y):
    hue = jnp.pi * shot['background_hue']
    wheel = jnp.cos(hue + jnp.asarray((0.0, 2.1, 4.2)))
    tone = 158 + 62 * shot['background_tone']
    slope = 26 * (x * shot['background_slope'] - 0.8 * y)
    return tone + 30 * wheel + slope[..., None]


def _figure(canvas, person, shot, x, y, soft):
    skin = _palette(_SKIN, person['skin'])
    hair = _palette(_HAIR, person['hair_tone'])
    width = _lerp(person['face_width'], 0.47, 0.62)
    length = _lerp(person['face_length'], 0.64, 0.78)
    jaw = _lerp(person['jaw'], 0.62, 1.02)
    yaw, pitch = 0.16 * shot['yaw'], 0.1 * shot['pitch']

    # Head: an ellipse above, narrowing to the chin below.
    lower = jnp.clip(y / length, 0, 1)
    half = width * (1 - (1 - jaw) * lower**1.6)
    head = _ellipse(x, y, half, length)
    depth = jnp.sqrt(jnp.clip(1 - (x / half) ** 2 - (y / length) ** 2, 0.0, 1.0) + 1e-4)

    # Hair behind the head, down to the shoulders when long.
    volume = _lerp(person['hair_volume'], 0.05, 0.19)
    fall = _lerp(person['hair_length'], -0.25, 0.95)
    cap = _ellipse(x, y + 0.1, width + volume, length + volume * 0.9)
    curtain = jnp.maximum(jnp.abs(x) - (width + volume), jnp.abs(y + 0.1) - (fall + 0.1))
    mane = jnp.where(y < -0.1, cap, jnp.maximum(curtain, y - fall))
    canvas = _over(canvas, 0.72 * hair, _inside(mane, 2 * soft))

    # Shoulders, neck, ears.
    clothes = _palette(_CLOTHES, person['clothes'])
    shoulders = _ellipse(x, y - 1.5, 1.02, 0.62)
    canvas = _over(canvas, clothes * (1 - 0.15 * (y[..., None] - 1)), _inside(shoulders, soft))
    neck = jnp.maximum(jnp.abs(x) - 0.5 * width, jnp.abs(y - 0.75) - 0.33)
    neck = jnp.minimum(neck, _ellipse(x, y - 0.98, 0.62 * width, 0.16))
    canvas = _over(canvas, 0.74 * skin, _inside(neck, soft))
    size = _lerp(person['ears'], 0.06, 0.15)
    for side in (-1, 1):
        ear = _ellipse(x - side * (width + 0.15 * size) + 0.4 * yaw, y - 0.02, size, 1.7 * size)
        canvas = _over(canvas, 0.86 * skin, _inside(ear, soft))
        inner = _ellipse(x - side * (width + 0.3 * size) + 0.4 * yaw, y - 0.02, 0.5 * size, size)
        canvas = _over(canvas, 0.68 * skin, 0.6 * _inside(inner, 3 * soft))

    # The face, lit from one side.
    light = 0.55 * shot['light_x'] * x / half - 0.4 * (0.4 + 0.6 * shot['light_y']) * y / length
    shade = 0.8 + 0.24 * depth + (0.1 + 0.1 * shot['contrast']) * light * 2
    face = skin * shade[..., None]
    for side in (-1, 1):
        cheek = jnp.exp(-(((x - side * 0.55 * width) / 0.16) ** 2) - ((y - 0.2) / 0.12) ** 2)
        amount = 0.34 * person['cheeks'] * cheek
        face = _over(face, skin * jnp.asarray((1.0, 0.66, 0.62)), amount)
    canvas = _over(canvas, face, _inside(head, soft))
    on_face = _inside(head, soft)

    canvas = _beard(canvas, person, hair, x, y, on_face, yaw, pitch, soft)
    canvas = _features(canvas, person, shot, skin, hair, x, y, width, soft)
    canvas = _marks(canvas, person, skin, x - yaw, y - pitch, on_face, soft)
    return _hair(canvas, person, hair, x, y, width, length, volume, yaw, soft)


def _beard(canvas, person, hair, x, y, on_face, yaw, pitch, soft):
    amount = jnp.clip(2.2 * person['beard'] - 1.2, 0, 1)
    x, y = x - 0.6 * yaw, y - 0.6 * pitch
    below = y - (0.2 + 0.9 * x**2)
    mouth = _ellipse(x, y - 0.4, 0.22, 0.09)
    region = jnp.minimum(_inside(-below, 6 * soft), 1 - _inside(mouth, 4 * soft))
    grain = 0.88 + 0.12 * jnp.sin(60 * x + 9 * jnp.sin(23 * y)) * jnp.sin(47 * y)
    return _over(canvas, 0.85 * hair * grain[..., None], 0.9 * amount * region * on_face)


def _features(canvas, person, shot, skin, hair, x, y, width, soft):
    """Eyes, brows, nose, mouth: they move with the head's turn as they stand out from it."""
    near_x, near_y = 0.16 * shot['yaw'], 0.1 * shot['pitch']
    spacing = _lerp(person['eye_spacing'], 0.36, 0.5) * width
    level = _lerp(person['eye_height'], -0.12, 0.0) + near_y
    size = _lerp(person['eye_size'], 0.085, 0.135)
    slant = _lerp(person['eye_slant'], -0.22, 0.22)
    iris = _palette(_EYES, person['eye_colour'])
    opening = 0.56 - 0.22 * shot['lids']
    for side in (-1, 1):
        u, v = x - side * spacing - near_x, y - level
        v = v + side * slant * u
        socket = jnp.exp(-((u / (1.7 * size)) ** 2) - ((v + 0.02) / (1.3 * size)) ** 2)
        canvas = _over(canvas, 0.66 * skin, 0.34 * socket)
        eye = _ellipse(u, v, size, size * opening)
        white = _inside(eye, soft)
        canvas = _over(canvas, jnp.asarray((246.0, 244.0, 240.0)), white)
        p, q = u - 0.35 * size * shot['gaze_x'], v - 0.16 * size * shot['gaze_y']
        canvas = _over(canvas, iris, white * _inside(_ellipse(p, q, 0.5 * size, 0.5 * size), soft))
        pupil = _inside(_ellipse(p, q, 0.24 * size, 0.24 * size), soft)
        canvas = _over(canvas, jnp.asarray((16.0, 14.0, 16.0)), white * pupil)
        glint = _ellipse(p - 0.16 * size, q + 0.16 * size, 0.12 * size, 0.12 * size)
        canvas = _over(canvas, jnp.asarray((255.0, 255.0, 255.0)), white * _inside(glint, soft))
        lid = jnp.abs(eye) - 0.012
        upper = _inside(lid, soft) * jax.nn.sigmoid(-v / (0.3 * size) * 4)
        canvas = _over(canvas, 0.34 * skin * jnp.asarray((0.8, 0.7, 0.7)), 0.9 * upper)

        rise = _lerp(person['brow_height'], 0.1, 0.19) + 0.05 * shot['brow_raise']
        arch = _lerp(person['brow_arch'], -0.2, 1.5)
        thick = _lerp(person['brow_thickness'], 0.012, 0.046)
        w = v + rise + size * 0.4 + arch * (u - side * 0.03) ** 2 * 2
        brow = jnp.maximum(
            jnp.abs(w) - thick * (1.1 - jnp.abs(u) / (3 * size)), jnp.abs(u) - 1.35 * size
        )
        canvas = _over(canvas, 0.8 * hair, 0.92 * _inside(brow, 1.5 * soft))

    # Nose: a lit bridge, a shaded underside, two nostrils.
    long = _lerp(person['nose_length'], 0.14, 0.27)
    wide = _lerp(person['nose_width'], 0.055, 0.13)
    u, v = x - 1.5 * near_x, y - 1.3 * near_y
    tip = long - 0.02
    bridge = jnp.exp(-((u / (0.4 * wide)) ** 2)) * _inside(
        jnp.abs(v - 0.5 * tip + 0.06) - 0.5 * tip, 9 * soft
    )
    canvas = _over(canvas, jnp.minimum(1.14 * skin + 6, 255.0), 0.4 * bridge)
    ball = jnp.exp(-((u / (0.85 * wide)) ** 2) - ((v - tip) / (0.55 * wide)) ** 2)
    canvas = _over(canvas, jnp.minimum(1.1 * skin, 255.0), 0.45 * ball)
    under = jnp.exp(-((u / (1.1 * wide)) ** 2) - ((v - tip - 0.6 * wide) / (0.25 * wide)) ** 2)
    canvas = _over(canvas, 0.58 * skin, 0.7 * under)
    for side in (-1, 1):
        nostril = _ellipse(u - side * 0.55 * wide, v - tip - 0.42 * wide, 0.26 * wide, 0.16 * wide)
        canvas = _over(canvas, 0.36 * skin, 0.85 * _inside(nostril, 1.5 * soft))

    # Mouth: lips around a line that bends with the smile, teeth when open.
    wide = _lerp(person['mouth_width'], 0.13, 0.235) * (1 + 0.16 * shot['smile'])
    level = _lerp(person['mouth_height'], 0.37, 0.46)
    full = _lerp(person['lips'], 0.022, 0.066)
    open_ = 0.055 * jnp.maximum(shot['mouth_open'], 0)
    u, v = x - 1.15 * near_x, y - level - 1.1 * near_y
    v = v + (0.9 * shot['smile']) * (u**2 - 0.3 * wide**2)
    lips = _palette(_LIPS, person['lip_colour']) * (0.45 + 0.55 * skin / 255)
    taper = jnp.sqrt(jnp.clip(1 - (u / wide) ** 2, 0.0, 1.0) + 1e-4)
    outer = jnp.maximum(jnp.abs(v - 0.15 * full) - (full + open_) * taper, jnp.abs(u) - wide)
    canvas = _over(canvas, lips, _inside(outer, 1.5 * soft))
    lower = jnp.exp(-((u / (0.6 * wide)) ** 2) - ((v - 0.6 * full - open_) / (0.3 * full)) ** 2)
    canvas = _over(canvas, jnp.minimum(1.2 * lips, 255.0), 0.5 * lower)
    inner = jnp.abs(v) - (open_ * taper + 0.005)
    inner = jnp.maximum(inner, jnp.abs(u) - 0.94 * wide)
    canvas = _over(canvas, jnp.asarray((74.0, 30.0, 32.0)), _inside(inner, soft))
    teeth = jnp.maximum(jnp.abs(v + 0.3 * open_) - 0.55 * open_ * taper, jnp.abs(u) - 0.8 * wide)
    shown = jnp.clip(open_ * 40, 0, 1)
    canvas = _over(canvas, jnp.asarray((240.0, 236.0, 228.0)), shown * _inside(teeth, soft))

    # Moustache, between nose and lips.
    amount = jnp.clip(3 * person['moustache'] - 1.9, 0, 1)
    arc = v + full + 0.035 + 0.8 * u**2 - 0.02
    tache = jnp.maximum(jnp.abs(arc) - 0.034, jnp.abs(u) - 1.05 * wide)
    canvas = _over(canvas, 0.8 * hair, 0.92 * amount * _inside(tache, 2 * soft))

    # Glasses.
    amount = jnp.clip(5 * person['glasses'] - 3.2, 0, 1)
    level = _lerp(person['eye_height'], -0.12, 0.0) + near_y
    for side in (-1, 1):
        u, v = x - side * spacing - near_x, y - level
        rim = jnp.abs(_ellipse(u, v, 0.18, 0.145)) - 0.014
        canvas = _over(canvas, jnp.asarray((34.0, 30.0, 34.0)), amount * _inside(rim, soft))
    bridge = jnp.maximum(jnp.abs(y - level + 0.03) - 0.012, jnp.abs(x - near_x) - (spacing - 0.17))
    return _over(canvas, jnp.asarray((34.0, 30.0, 34.0)), amount * _inside(bridge, soft))


def _marks(canvas, person, skin, x, y, on_face, soft):
    """Freckles and one mole."""
    speckle = jnp.sin(71 * x + 13 * jnp.sin(31 * y)) * jnp.sin(67 * y + 11 * jnp.sin(29 * x))
    where = jnp.exp(-((x / 0.34) ** 2) - ((y - 0.12) / 0.13) ** 2)
    amount = (
        jnp.clip(2 * person['freckles'] - 1, 0, 1) * where * jax.nn.sigmoid(14 * (speckle - 0.5))
    )
    canvas = _over(canvas, 0.7 * skin, 0.75 * amount * on_face)
    at_x, at_y = _lerp(person['mole_x'], -0.36, 0.36), _lerp(person['mole_y'], 0.1, 0.52)
    mole = _inside(_ellipse(x - at_x, y - at_y, 0.022, 0.022), soft)
    return _over(canvas, 0.34 * skin, 0.85 * mole * on_face)


def _hair(canvas, person, hair, x, y, width, length, volume, yaw, soft):
    """The hair in front: a cap above the hairline, a parting, a fringe, strands by the cheeks."""
    cap = _ellipse(x, y + 0.1, width + volume, length + volume * 0.9)
    parting = _lerp(person['parting'], -0.6, 0.6) * width
    line = -_lerp(person['hairline'], 0.34, 0.6) * length / 0.7
    line = line + 0.42 * _lerp(person['fringe'], -0.25, 1) * jnp.abs(x - parting - 0.5 * yaw)
    line = line + 0.55 * jnp.maximum(jnp.abs(x) - 0.72 * width, 0) * 6 * person['hair_volume']
    front = jnp.maximum(cap, y - line)
    fall = _lerp(person['hair_length'], -0.25, 0.8)
    side = jnp.maximum(
        jnp.abs(jnp.abs(x) - width - 0.4 * volume) - 0.55 * volume - 0.02, jnp.abs(y + 0.2) - fall
    )
    front = jnp.minimum(front, jnp.maximum(side, -y - 0.4))
    strands = 1 + 0.13 * jnp.sin(38 * (x - parting) + 6 * y + 2 * jnp.sin(9 * y))
    sheen = 0.3 * jnp.exp(-(((y + 0.62 + 0.25 * x**2) / 0.1) ** 2))
    colour = hair * (strands * (0.94 + sheen))[..., None]
    return _over(canvas, colour, _inside(front, 1.8 * soft))


def _photograph(canvas, shot, size):
    """Exposure, warmth, blur, sensor noise."""
    warm = jnp.asarray((1.0, 0.0, -1.0)) * 0.11 * shot['warmth']
    canvas = canvas * (1 + warm) * (1 + 0.24 * shot['exposure'])
    canvas = 128 + (canvas - 128) * (1 + 0.22 * shot['contrast'])
    canvas = jnp.clip(canvas, 0, 255)
    sigma = 0.022 * size * jnp.abs(shot['blur'])
    reach = max(1, size // 16)
    offsets = jnp.arange(-reach, reach + 1, dtype=jnp.float32)
    kernel = jnp.exp(-(offsets**2) / (2 * sigma**2 + 1e-2))
    kernel = kernel / kernel.sum()
    padded = jnp.pad(canvas, ((reach, reach), (reach, reach), (0, 0)), mode='edge')
    taps = range(2 * reach + 1)
    rows = sum((kernel[i] * padded[i : i + size] for i in taps), jnp.zeros(()))
    canvas = sum((kernel[i] * rows[:, i : i + size] for i in taps), jnp.zeros(()))
    seed = jax.lax.stop_gradient((shot['noise_seed'] + 1) * 2**22).astype(jnp.uint32)
    noise = jax.random.normal(jax.random.key(seed), canvas.shape)
    return jnp.clip(canvas + 17 * jnp.abs(shot['noise']) * noise, 0, 255)
