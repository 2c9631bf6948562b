# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import array
import struct
import sys
import time
import tracemalloc
import types
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from aitable_ros.perception.images.decoding import (
    SUPPORTED_ENCODINGS,
    ImageConversionError,
    MalformedImageError,
    UnsupportedEncodingError,
    image_to_rgb,
)
from aitable_ros.ros_support.frames.image_conversion import (
    message_to_rgb,
    rgb_to_compressed,
    rgb_to_image,
)

HEIGHT, WIDTH = 6, 8
# (Y, U, V) of pure colours in BT.601 limited range (ITU-R BT.601-7, table 3, rounded).
YUV = {
    'white': ((235, 128, 128), (255, 255, 255)),
    'black': ((16, 128, 128), (0, 0, 0)),
    'red': ((81, 90, 240), (255, 0, 0)),
    'green': ((145, 54, 34), (0, 255, 0)),
    'blue': ((41, 240, 110), (0, 0, 255)),
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def rgb(rng) -> np.ndarray:
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def smooth_rgb() -> np.ndarray:
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x * 3 + 20, y * 4 + 10, 200 - x * 2], axis=2).astype(np.uint8)


def image_message(
    encoding: str, rows: np.ndarray, width: int, height: int, padding: int = 0, bigendian: int = 0
) -> Image:
    """Make a message of rows of bytes, each followed by padding that is no picture."""
    rows = rows.reshape(rows.shape[0], -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    msg = Image(width=width, height=height, encoding=encoding, step=padded.shape[1])
    msg.is_bigendian = bigendian
    msg.data.frombytes(padded.tobytes())
    return msg


def compressed_message(data: bytes, declared: str = 'jpeg') -> CompressedImage:
    return CompressedImage(format=declared, data=array.array('B', data))


def png(picture: np.ndarray) -> bytes:
    """Encode an array in OpenCV's channel order."""
    return cv2.imencode('.png', picture)[1].tobytes()


def jpeg(picture: np.ndarray, quality: int = 95) -> bytes:
    return cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def with_alpha(colour: np.ndarray) -> np.ndarray:
    alpha = np.arange(colour.shape[0] * colour.shape[1], dtype=np.uint8)
    return np.dstack([colour, alpha.reshape(colour.shape[:2])])


@pytest.mark.parametrize(
    ('encoding', 'pack'),
    [
        ('rgb8', lambda rgb: rgb),
        ('bgr8', lambda rgb: rgb[:, :, ::-1]),
        ('8UC3', lambda rgb: rgb[:, :, ::-1]),
        ('rgba8', with_alpha),
        ('bgra8', lambda rgb: with_alpha(rgb[:, :, ::-1])),
        ('8UC4', lambda rgb: with_alpha(rgb[:, :, ::-1])),
    ],
)
def test_colour_of_8_bits_comes_out_exactly(rgb, encoding, pack):
    rows = np.ascontiguousarray(pack(rgb))
    for padding in (0, 1, 40):
        converted = image_to_rgb(image_message(encoding, rows, WIDTH, HEIGHT, padding))
        assert converted.dtype == np.uint8
        assert converted.flags.c_contiguous
        np.testing.assert_array_equal(converted, rgb)


@pytest.mark.parametrize(('encoding', 'padding'), [('mono8', 0), ('mono8', 3), ('8UC1', 0)])
def test_grey_of_8_bits_fills_all_channels(rng, encoding, padding):
    grey = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    converted = image_to_rgb(image_message(encoding, grey, WIDTH, HEIGHT, padding))
    np.testing.assert_array_equal(converted, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ('encoding', 'pack'),
    [
        ('mono16', lambda rgb: rgb[:, :, :1]),
        ('16UC1', lambda rgb: rgb[:, :, :1]),
        ('rgb16', lambda rgb: rgb),
        ('bgr16', lambda rgb: rgb[:, :, ::-1]),
        ('16UC3', lambda rgb: rgb[:, :, ::-1]),
        ('rgba16', lambda rgb: rgb[:, :, [0, 1, 2, 1]]),
        ('bgra16', lambda rgb: rgb[:, :, [2, 1, 0, 1]]),
        ('16UC4', lambda rgb: rgb[:, :, [2, 1, 0, 1]]),
    ],
)
def test_16_bits_keep_the_upper_8_in_either_byte_order(rng, encoding, pack):
    rgb16 = rng.integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    packed = pack(rgb16)
    shown = np.repeat(packed, 3, axis=2) if packed.shape[2] == 1 else rgb16
    for order, bigendian, padding in (('<u2', 0, 0), ('<u2', 0, 3), ('>u2', 1, 0), ('>u2', 1, 3)):
        rows = np.ascontiguousarray(packed.astype(order))
        converted = image_to_rgb(image_message(encoding, rows, WIDTH, HEIGHT, padding, bigendian))
        np.testing.assert_array_equal(converted, shown >> 8)


@pytest.mark.parametrize('bits', [10, 12, 14, 16])
@pytest.mark.parametrize('bigendian', [0, 1])
def test_of_16_bits_those_that_are_in_use_count(rng, bits, bigendian):
    """Infrared cameras send 10 or 12 bits, right-aligned."""
    grey = rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint16)
    grey[0, 0] = 255
    values = grey << (bits - 8) | 1
    shown = np.repeat(grey[:, :, None], 3, axis=2)
    rows = values.astype('>u2' if bigendian else '<u2')
    for padding in (0, 3):
        msg = image_message('mono16', rows, WIDTH, HEIGHT, padding, bigendian)
        np.testing.assert_array_equal(image_to_rgb(msg), shown)
    compressed = compressed_message(png(values), 'mono16; png compressed ')
    np.testing.assert_array_equal(image_to_rgb(compressed), shown)


@pytest.mark.parametrize('bits', [10, 12, 14])
def test_left_aligned_picture_that_is_dark_stays_so(rng, bits):
    values = rng.integers(0, 1 << bits - 2, (HEIGHT, WIDTH)).astype('<u2') << (16 - bits)
    values[0, 0] = 0x3FFF >> 16 - bits << 16 - bits
    converted = image_to_rgb(image_message('mono16', values, WIDTH, HEIGHT))
    np.testing.assert_array_equal(converted[:, :, 0], values >> 8)


def test_dark_picture_is_not_made_brighter_than_10_bits(rng):
    values = rng.integers(0, 40, (HEIGHT, WIDTH)).astype('<u2')
    converted = image_to_rgb(image_message('mono16', values, WIDTH, HEIGHT))
    np.testing.assert_array_equal(converted[:, :, 0], values >> 2)


def yuv_planes(left: str, right: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make Y, U, V planes (all of full size) of an image of two colours."""
    yuv = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    yuv[:, : WIDTH // 2], yuv[:, WIDTH // 2 :] = YUV[left][0], YUV[right][0]
    return yuv[:, :, 0], yuv[:, :, 1], yuv[:, :, 2]


def uyvy(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.stack([u[:, ::2], y[:, ::2], v[:, ::2], y[:, 1::2]], axis=2)


def yuyv(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.stack([y[:, ::2], u[:, ::2], y[:, 1::2], v[:, ::2]], axis=2)


def nv12(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    chroma = np.stack([u[::2, ::2], v[::2, ::2]], axis=2).reshape(y.shape[0] // 2, -1)
    return np.vstack([y, chroma])


def nv21(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return nv12(y, v, u)


YUV_LAYOUTS = [
    ('yuv422', uyvy),
    ('uyvy', uyvy),
    ('yuv422_yuy2', yuyv),
    ('yuyv', yuyv),
    ('nv12', nv12),
    ('nv21', nv21),
]


@pytest.mark.parametrize(('encoding', 'pack'), YUV_LAYOUTS)
def test_yuv_colours(encoding, pack):
    for left, right, padding in (('red', 'blue', 0), ('white', 'green', 5)):
        rows = pack(*yuv_planes(left, right))
        converted = image_to_rgb(image_message(encoding, rows, WIDTH, HEIGHT, padding))
        expected = np.empty((HEIGHT, WIDTH, 3), int)
        expected[:, : WIDTH // 2], expected[:, WIDTH // 2 :] = YUV[left][1], YUV[right][1]
        # Two grey levels: Y, U and V of the pure colours above are rounded.
        np.testing.assert_allclose(converted.astype(int), expected, atol=2)


@pytest.mark.parametrize(('encoding', 'pack'), YUV_LAYOUTS)
def test_yuv_keeps_the_order_of_pixels_that_share_chroma(encoding, pack):
    y = np.full((HEIGHT, WIDTH), 16, np.uint8)
    y[:, 1::2] = 235
    neutral = np.full_like(y, 128)
    converted = image_to_rgb(image_message(encoding, pack(y, neutral, neutral), WIDTH, HEIGHT))
    assert (converted[:, ::2] == 0).all()
    assert (converted[:, 1::2] == 255).all()


@pytest.mark.parametrize('encoding', ['nv12', 'nv21'])
def test_step_of_a_semi_planar_image_may_count_the_chroma_in(encoding):
    rows = nv12(*yuv_planes('white', 'black'))
    msg = image_message(encoding, rows, WIDTH, HEIGHT)
    msg.step = WIDTH * 3 // 2
    converted = image_to_rgb(msg)
    assert (converted[:, : WIDTH // 2] == 255).all()
    assert (converted[:, WIDTH // 2 :] == 0).all()


@pytest.mark.parametrize(('bits', 'padding'), [(8, 0), (16, 3)])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_of_one_colour(pattern, bits, padding):
    colour = {'r': 200, 'g': 100, 'b': 50}
    tile = np.array([colour[c] for c in pattern]).reshape(2, 2)
    mosaic = np.tile(tile, (HEIGHT // 2, WIDTH // 2)).astype(np.uint8)
    rows = mosaic if bits == 8 else mosaic.astype('<u2') * 256 + 99
    msg = image_message(f'bayer_{pattern}{bits}', rows, WIDTH, HEIGHT, padding)
    assert (image_to_rgb(msg)[2:-2, 2:-2] == (200, 100, 50)).all()


def test_packed_rgb8_is_a_read_only_view(rgb):
    msg = image_message('rgb8', rgb, WIDTH, HEIGHT)
    converted = image_to_rgb(msg)
    assert np.shares_memory(converted, np.frombuffer(msg.data, np.uint8))


class Buffer:
    """``rosidl_buffer.Buffer`` of Lyrical, as its stub says: no buffer as Python has them."""

    def __init__(self, data):
        self._data = data

    def __len__(self):
        return len(self._data)

    def to_array(self):
        return self._data


@pytest.mark.parametrize('make', [rgb_to_image, rgb_to_compressed])
def test_data_in_other_memory_is_fetched(smooth_rgb, make):
    msg = make(smooth_rgb, Header())
    names = [name.lstrip('_') for name in msg.__slots__]
    values = {name: getattr(msg, name) for name in names if hasattr(msg, name)}
    elsewhere = types.SimpleNamespace(**{**values, 'data': Buffer(msg.data)})
    np.testing.assert_array_equal(image_to_rgb(elsewhere), image_to_rgb(msg))


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono16', 'nv12', 'jpeg'])
def test_result_is_read_only_whatever_the_encoding(rgb, encoding):
    if encoding == 'jpeg':
        msg = compressed_message(jpeg(rgb))
    else:
        rows = {'mono16': rgb[:, :, :2], 'nv12': np.zeros((HEIGHT * 3 // 2, WIDTH), np.uint8)}
        rows = np.ascontiguousarray(rows.get(encoding, rgb))
        msg = image_message(encoding, rows, WIDTH, HEIGHT)
    converted = image_to_rgb(msg)
    with pytest.raises(ValueError, match='read-only'):
        converted[0, 0, 0] = 1


@pytest.mark.parametrize(
    'declared',
    [
        'png',
        '',
        'bgr8; png compressed bgr8',
        'rgb8; png compressed ',
        'rgb8; jpeg compressed rgb8',
    ],
)
def test_png_comes_out_exactly_whatever_the_format_field_says(rgb, declared):
    msg = compressed_message(png(rgb[:, :, ::-1]), declared)
    np.testing.assert_array_equal(image_to_rgb(msg), rgb)


@pytest.mark.parametrize(
    'declared', ['jpeg', 'jpg', 'bgr8; jpeg compressed bgr8', 'rgb8; jpeg compressed bgr8']
)
def test_jpeg_comes_out_nearly(smooth_rgb, declared):
    msg = compressed_message(jpeg(smooth_rgb[:, :, ::-1]), declared)
    difference = np.abs(image_to_rgb(msg).astype(int) - smooth_rgb)
    assert difference.mean() < 1.5
    assert difference.max() < 12


def test_png_alpha_is_dropped(rgb):
    converted = image_to_rgb(compressed_message(png(with_alpha(rgb[:, :, ::-1])), 'png'))
    np.testing.assert_array_equal(converted, rgb)


def test_png_of_16_bits_keeps_the_upper_8(rng):
    rgb16 = rng.integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    declared = 'rgb16; png compressed bgr16'
    converted = image_to_rgb(compressed_message(png(rgb16[:, :, ::-1]), declared))
    np.testing.assert_array_equal(converted, rgb16 >> 8)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_grey_png_fills_all_channels(rng, dtype):
    grey = rng.integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH)).astype(dtype)
    converted = image_to_rgb(compressed_message(png(grey), 'mono16; png compressed '))
    expected = grey if dtype == np.uint8 else grey >> 8
    np.testing.assert_array_equal(converted, np.repeat(expected[:, :, None], 3, axis=2))


def test_compressed_mosaic_is_demosaicked():
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (HEIGHT // 2, WIDTH // 2))
    converted = image_to_rgb(compressed_message(png(mosaic), 'bayer_rggb8; png compressed '))
    assert (converted[2:-2, 2:-2] == (200, 100, 50)).all()


@pytest.mark.parametrize('encode', [png, jpeg])
def test_grey_picture_of_a_bayer_camera_is_left_grey(encode):
    """compressed_image_transport demosaicks before it compresses, from 2.3.2 on to grey."""
    grey = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (HEIGHT // 2, WIDTH // 2))
    kind = encode.__name__
    msg = compressed_message(encode(grey), f'bayer_rggb8; {kind} compressed mono8')
    plain = compressed_message(encode(grey), f'mono8; {kind} compressed mono8')
    np.testing.assert_array_equal(image_to_rgb(msg), image_to_rgb(plain))


def test_bayer_camera_image_that_was_demosaicked_before_compression_is_left_alone(rgb):
    declared = 'bayer_rggb8; png compressed bgr8'
    converted = image_to_rgb(compressed_message(png(rgb[:, :, ::-1]), declared))
    np.testing.assert_array_equal(converted, rgb)


def test_exif_orientation_does_not_turn_the_picture(smooth_rgb):
    exif = b'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0'
    plain = jpeg(smooth_rgb)
    turned = plain[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + plain[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    np.testing.assert_array_equal(
        image_to_rgb(compressed_message(turned)), image_to_rgb(compressed_message(plain))
    )


def test_jpeg_with_padding_after_its_end(smooth_rgb):
    plain = jpeg(smooth_rgb)
    np.testing.assert_array_equal(
        image_to_rgb(compressed_message(plain + bytes(500))),
        image_to_rgb(compressed_message(plain)),
    )


def test_jpeg_with_fill_bytes_between_its_segments(smooth_rgb):
    plain = jpeg(smooth_rgb)
    table = plain.index(b'\xff\xdb')
    filled = plain[:table] + b'\xff\xff\xff' + plain[table:]
    np.testing.assert_array_equal(
        image_to_rgb(compressed_message(filled)), image_to_rgb(compressed_message(plain))
    )


def changed(msg: Image, **fields: object) -> Image:
    for name, value in fields.items():
        setattr(msg, name, value)
    return msg


@pytest.mark.parametrize(
    ('encoding', 'fields', 'message'),
    [
        ('rgb8', {'width': 0}, '0x6 pixels: it has no pixels'),
        ('rgb8', {'width': 2**32 - 1, 'height': 2**32 - 1}, 'more than the 64000000 pixels'),
        ('rgb8', {'step': 23}, 'step is 23 bytes, but a row of 8 pixels has 24'),
        ('rgb8', {'step': 25}, r'144 bytes of data, but step 25 \* height = 150 bytes'),
        ('rgb8', {'height': 5}, r'144 bytes of data, but step 24 \* height = 120 bytes'),
        ('rgb8', {'data': array.array('B')}, '0 bytes of data'),
        ('rgba8', {}, 'step is 24 bytes, but a row of 8 pixels has 32'),
        ('uyvy', {'width': 7}, 'needs an even width'),
        ('nv12', {'height': 5}, 'needs an even height'),
        ('nv21', {'step': 7}, 'step is 7 bytes, but a luma row of 8 pixels has 8'),
        ('nv21', {'step': 24}, r'144 bytes of data, but step 24 \* height \* 3/2 = 216 bytes'),
        ('bayer_rggb8', {'width': 7}, 'needs an even width'),
    ],
)
def test_raw_message_that_contradicts_itself_is_refused(rgb, encoding, fields, message):
    msg = changed(image_message(encoding, rgb, WIDTH, HEIGHT), **fields)
    with pytest.raises(MalformedImageError, match=message):
        image_to_rgb(msg)


@pytest.mark.parametrize(
    ('encoding', 'step', 'size'),
    [('nv24', 640, 921_600), ('yuv444_planar', 640, 921_600), ('mjpeg', 0, 50_000), ('', 0, 0)],
)
def test_unknown_encoding_is_named_as_unknown_whatever_its_layout(
    monkeypatch, encoding, step, size
):
    msg = Image(width=640, height=480, step=step, encoding=encoding)
    msg.data.frombytes(bytes(size))
    with pytest.raises(UnsupportedEncodingError, match=f"'{encoding}' is not among rgb8, "):
        image_to_rgb(msg)
    install_cv_bridge(monkeypatch, lambda *_: pytest.fail('asked'))
    with pytest.raises(UnsupportedEncodingError, match=f"'{encoding}' is not among rgb8, "):
        message_to_rgb(msg)


@pytest.mark.parametrize('msg', [Image(encoding='x' * 10**6), CompressedImage(format='x' * 10**6)])
def test_what_is_said_of_a_message_stays_short(msg):
    msg.data.frombytes(b'x')
    with pytest.raises(ImageConversionError) as caught:
        image_to_rgb(msg)
    assert len(str(caught.value)) < 500


def test_size_limit_is_a_parameter(rgb):
    msg = image_message('rgb8', rgb, WIDTH, HEIGHT)
    assert image_to_rgb(msg, max_pixels=WIDTH * HEIGHT).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(MalformedImageError, match='8x6 pixels: more than the 47 pixels allowed'):
        image_to_rgb(msg, max_pixels=WIDTH * HEIGHT - 1)


def png_bomb(width: int, height: int) -> bytes:
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    plain = png(np.zeros((1, 1, 3), np.uint8))
    return plain[:12] + header + struct.pack('>I', zlib.crc32(header)) + plain[33:]


def jpeg_bomb(width: int, height: int) -> bytes:
    plain = bytearray(jpeg(np.zeros((8, 8, 3), np.uint8)))
    frame = plain.index(b'\xff\xc0')
    struct.pack_into('>HH', plain, frame + 5, height, width)
    return bytes(plain)


@pytest.mark.parametrize('bomb', [png_bomb, jpeg_bomb])
def test_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch, bomb):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    with pytest.raises(MalformedImageError, match='60000x50000 pixels: more than the 64000000'):
        image_to_rgb(compressed_message(bomb(60000, 50000)))


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'no data'),
        (b'\x89PNG\r\n\x1a\n', 'PNG without a header'),
        (png(np.zeros((9, 9), np.uint8))[:40], '9x9 pixels: cannot be decoded'),
        (png_bomb(0, 4), 'no pixels'),
        (b'\xff\xd8\xff\xe0', 'JPEG without a frame header'),
        (b'\xff\xd8\xff' * 50, 'JPEG without a frame header'),
        (b'\xff\xd8\xff\xe0\x00\x00' * 50, 'JPEG without a frame header'),
        (b'\xff\xd8' + b'\xff' * 500, 'JPEG without a frame header'),
        (jpeg(np.zeros((9, 9), np.uint8))[:95], 'JPEG without a frame header'),
        (jpeg(np.zeros((9, 9), np.uint8))[:-2], 'JPEG without an end, so it was cut short'),
        (jpeg_bomb(8, 0), 'no pixels'),
    ],
    ids=lambda value: value if isinstance(value, str) else f'{len(value)} bytes',
)
def test_broken_compressed_data_is_refused(data, message):
    with pytest.raises(MalformedImageError, match=message):
        image_to_rgb(compressed_message(data))


@pytest.mark.parametrize('unit', [b'\xff\xe0\x00\x02', b'\xff', b'\xff\xd0'])
def test_search_for_the_header_of_a_jpeg_is_bounded(unit):
    msg = compressed_message(b'\xff\xd8\xff\xe0\x00\x02' + unit * (4_000_000 // len(unit)))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(MalformedImageError, match='JPEG without a frame header'):
            image_to_rgb(msg)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05


@pytest.mark.parametrize(
    ('data', 'declared', 'message'),
    [
        (
            b'GIF89a\x10\x00\x10\x00',
            'gif',
            r"\('gif'\): neither JPEG nor PNG, it begins with 47 49",
        ),
        (png(np.zeros((9, 9), np.uint16)), '16UC1; compressedDepth png', 'depth image'),
    ],
)
def test_other_compressed_formats_are_unsupported(data, declared, message):
    with pytest.raises(UnsupportedEncodingError, match=message):
        image_to_rgb(compressed_message(data, declared))


@pytest.fixture
def float_message() -> Image:
    return image_message('32FC1', np.zeros((HEIGHT, WIDTH), np.float32), WIDTH, HEIGHT)


def install_cv_bridge(monkeypatch, imgmsg_to_cv2) -> None:
    module = types.ModuleType('cv_bridge')
    module.CvBridge = type('CvBridge', (), {'imgmsg_to_cv2': staticmethod(imgmsg_to_cv2)})
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)


def test_without_cv_bridge_the_error_names_what_is_supported(monkeypatch, float_message):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    with pytest.raises(UnsupportedEncodingError) as caught:
        message_to_rgb(float_message)
    for part in ("'32FC1'", 'apt install', *SUPPORTED_ENCODINGS):
        assert part in str(caught.value)


def test_other_encodings_go_through_cv_bridge(monkeypatch, float_message):
    def imgmsg_to_cv2(msg, wanted):
        assert (msg.encoding, wanted) == ('32FC1', 'rgb8')
        return np.full((msg.height, msg.width, 3), 9, np.uint8)

    install_cv_bridge(monkeypatch, imgmsg_to_cv2)
    converted = message_to_rgb(float_message)
    assert converted.shape == (HEIGHT, WIDTH, 3)
    assert (converted == 9).all()


def test_failure_of_cv_bridge_is_reported(monkeypatch, float_message):
    def imgmsg_to_cv2(msg, wanted):
        raise RuntimeError('[32FC1] is not a color format')

    install_cv_bridge(monkeypatch, imgmsg_to_cv2)
    with pytest.raises(UnsupportedEncodingError, match=r'32FC1.*is not a color format'):
        message_to_rgb(float_message)


def test_cv_bridge_result_of_another_kind_is_refused(monkeypatch, float_message):
    install_cv_bridge(monkeypatch, lambda *_: np.zeros((HEIGHT, WIDTH), np.float32))
    with pytest.raises(UnsupportedEncodingError, match=r'made float32\[6, 8\] of it'):
        message_to_rgb(float_message)


SMALL = st.integers(0, 20)
ANY_UINT32 = st.integers(0, 2**32 - 1)
ALLOCATION_LIMIT = 1 << 20


@st.composite
def raw_messages(draw) -> Image:
    msg = Image()
    msg.encoding = draw(st.sampled_from([*SUPPORTED_ENCODINGS, '', '8UC2', '32FC1', 'h264']))
    # Half of the messages are nearly right: those reach the code behind the checks.
    nearly_right = draw(st.booleans())
    sides = st.integers(1, 20) if nearly_right else SMALL | ANY_UINT32
    msg.width, msg.height = draw(sides), draw(sides)
    pixel_bytes = draw(st.sampled_from([1, 2, 3, 4, 6, 8]))
    steps = st.just(msg.width * pixel_bytes + draw(st.integers(0, 3)))
    msg.step = draw(steps if nearly_right else SMALL | ANY_UINT32)
    msg.is_bigendian = draw(st.integers(0, 255))
    fitting = msg.step * msg.height
    lengths = st.sampled_from([fitting, fitting, fitting * 3 // 2, fitting + 1])
    length = draw(lengths if fitting < 10_000 else st.integers(0, 500))
    msg.data.frombytes(bytes(i * 37 % 256 for i in range(length)))
    return msg


@settings(max_examples=400, deadline=None, derandomize=True)
@given(msg=raw_messages())
def test_any_raw_message_converts_or_raises_the_one_error(msg):
    check_converts_or_raises(msg, (msg.height, msg.width, 3))


PICTURES = [
    jpeg(np.arange(16 * 12 * 3, dtype=np.uint8).reshape(12, 16, 3)),
    png(np.arange(16 * 12 * 3, dtype=np.uint8).reshape(12, 16, 3)),
    png(np.arange(16 * 12, dtype=np.uint16).reshape(12, 16)),
]


@st.composite
def damaged_pictures(draw) -> CompressedImage:
    data = bytearray(draw(st.sampled_from(PICTURES)))
    # Where the headers are, or anywhere.
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, 40) | st.integers(0, len(data) - 1))
        data[position] = draw(st.integers(0, 255))
    cut = draw(st.none() | st.integers(0, len(data)))
    return compressed_message(
        bytes(data[:cut]), draw(st.sampled_from(['jpeg', 'png', 'bayer_rggb8; png', '; ;']))
    )


@settings(max_examples=400, deadline=None, derandomize=True)
@given(msg=damaged_pictures())
def test_any_compressed_message_converts_or_raises_the_one_error(msg):
    check_converts_or_raises(msg, None)


def check_converts_or_raises(msg, shape) -> None:
    tracemalloc.start()
    try:
        converted = image_to_rgb(msg, max_pixels=50_000)
    except ImageConversionError:
        pass
    else:
        assert converted.dtype == np.uint8
        assert converted.flags.c_contiguous
        assert converted.shape == (shape or (*converted.shape[:2], 3))
        assert converted.size
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < ALLOCATION_LIMIT


@pytest.fixture
def header() -> Header:
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 12, 345
    return header


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_image_message_holds_the_picture(rgb, header, encoding):
    msg = rgb_to_image(rgb, header, encoding)
    assert (msg.width, msg.height, msg.step, msg.encoding) == (WIDTH, HEIGHT, WIDTH * 3, encoding)
    assert msg.header == header
    stored = np.frombuffer(msg.data, np.uint8).reshape(rgb.shape)
    np.testing.assert_array_equal(stored if encoding == 'rgb8' else stored[:, :, ::-1], rgb)


def test_image_message_of_grey(rgb, header):
    msg = rgb_to_image(rgb, header, 'mono8')
    assert (msg.width, msg.height, msg.step, msg.encoding) == (WIDTH, HEIGHT, WIDTH, 'mono8')
    luma = rgb @ (0.299, 0.587, 0.114)
    np.testing.assert_allclose(image_to_rgb(msg), np.dstack([luma] * 3), atol=1)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_image_message_of_a_part_of_a_picture(rgb, header, encoding):
    part = rgb[1:4, ::2]
    np.testing.assert_array_equal(image_to_rgb(rgb_to_image(part, header, encoding)), part)


def test_image_message_of_vga_size_takes_less_than_1_ms(rng, header, monkeypatch):
    # With field checks (always on in Humble), assigning the data would take 100 ms.
    module = sys.modules[Image.__module__]
    monkeypatch.setattr(module, 'ros_python_check_fields', '1', raising=False)
    rgb = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        rgb_to_image(rgb, header, 'bgr8')
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1e-3  # the fastest: the others tell of the load of the machine


def test_compressed_message_is_a_jpeg_of_the_picture(smooth_rgb, header):
    msg = rgb_to_compressed(smooth_rgb, header, quality=95)
    assert msg.format == 'rgb8; jpeg compressed bgr8'
    assert msg.header == header
    assert bytes(msg.data[:3]) == b'\xff\xd8\xff'
    assert np.abs(image_to_rgb(msg).astype(int) - smooth_rgb).mean() < 1.5


@pytest.mark.parametrize('convert', [rgb_to_image, rgb_to_compressed])
def test_arrays_of_another_kind_are_refused(convert, header):
    for shape, dtype in (((4, 4), 'u1'), ((4, 4, 4), 'u1'), ((4, 4, 3), 'f4'), ((0, 4, 3), 'u1')):
        with pytest.raises(ImageConversionError, match=r'expected .* uint8 RGB, got'):
            convert(np.zeros(shape, dtype), header)


def test_unknown_target_encoding_and_quality_are_refused(rgb, header):
    with pytest.raises(ImageConversionError, match="'yuv422'"):
        rgb_to_image(rgb, header, 'yuv422')
    for quality in (0, 101):
        with pytest.raises(ImageConversionError, match=r'1\.\.100'):
            rgb_to_compressed(rgb, header, quality=quality)
    with pytest.raises(ImageConversionError):
        rgb_to_compressed(np.zeros((1, 70_000, 3), np.uint8), header)
