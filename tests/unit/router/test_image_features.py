"""Photograph reading: shape, faces, light and subject, on the repository's photographs and drawn pictures."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from models.errors import ConfigError, InvalidImage
from models.types import Size
from policies.base import Features, ImageFeatures, PromptFeatures
from router.features import features_from_json, features_json, read_features
from router.features.faces import find_faces
from router.features.image import orientation_of, read_image_features
from router.features.scene import Scene, subject_of
from router.images import load_photograph

PHOTOGRAPHS = Path(__file__).parents[3] / "examples" / "photographs"


def photograph(name: str) -> Image.Image:
    return Image.open(PHOTOGRAPHS / f"{name}.jpg").convert("RGB")


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def scenery(width: int = 600, height: int = 400) -> Image.Image:
    """Blue sky over rough green ground."""
    rng = np.random.default_rng(3)
    pixels = np.empty((height, width, 3), np.uint8)
    horizon = height // 2
    pixels[:horizon] = (110, 160, 230)
    pixels[horizon:] = (60, 110, 40)
    rough = rng.normal(0, 30, (height - horizon, width, 1))
    pixels[horizon:] = np.clip(pixels[horizon:] + rough, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def thing_on(ground: tuple[int, int, int]) -> Image.Image:
    """A red disc on a plain ground."""
    picture = Image.new("RGB", (600, 400), ground)
    ImageDraw.Draw(picture).ellipse((180, 80, 420, 320), fill=(190, 30, 40))
    return picture


# --- the repository's photographs --------------------------------------------------------------------------


def test_portrait() -> None:
    read = read_image_features((PHOTOGRAPHS / "portrait.jpg").read_bytes())
    assert read.subject == "portrait"
    assert read.subject_confidence >= 0.6
    assert read.face_count == 1
    x, y, width, height = read.faces[0]
    # The face's middle in the photograph is near (0.44, 0.21) of its sides.
    assert abs(x + width / 2 - 0.44) < 0.05
    assert abs(y + height / 2 - 0.21) < 0.05
    assert read.largest_face == pytest.approx(width * height, abs=1e-3)
    assert 0.02 < read.largest_face < 0.08
    assert read.orientation == "square"


def test_landscape() -> None:
    read = read_image_features((PHOTOGRAPHS / "landscape.jpg").read_bytes())
    assert (read.subject, read.faces, read.orientation) == ("landscape", (), "landscape")
    assert read.subject_confidence >= 0.5
    assert read.size == Size(1440, 1080)


def test_product() -> None:
    read = read_image_features((PHOTOGRAPHS / "product.jpg").read_bytes())
    assert (read.subject, read.faces) == ("product", ())


@pytest.mark.parametrize("name", ["portrait", "landscape", "product"])
def test_bytes_and_picture_read_alike(name: str) -> None:
    data = (PHOTOGRAPHS / f"{name}.jpg").read_bytes()
    by_bytes, by_picture = read_image_features(data), read_image_features(photograph(name))
    assert by_bytes.size == by_picture.size
    assert by_bytes.subject == by_picture.subject
    assert by_bytes.face_count == by_picture.face_count
    assert by_bytes.exposure == pytest.approx(by_picture.exposure, abs=0.01)
    assert by_bytes.spread == pytest.approx(by_picture.spread, abs=0.01)


@pytest.mark.parametrize("size", [(3000, 3000), (1024, 1024), (256, 256)])
def test_the_face_is_found_at_any_size(size: tuple[int, int]) -> None:
    read = read_image_features(jpeg(photograph("portrait").resize(size)))
    assert read.face_count == 1
    assert 0.02 < read.largest_face < 0.08


def test_the_face_is_found_without_colour() -> None:
    grey = photograph("portrait").convert("L").convert("RGB")
    assert read_image_features(grey).face_count == 1


def test_two_people_are_a_group() -> None:
    person = photograph("portrait")
    both = Image.new("RGB", (1024, 512))
    both.paste(person, (0, 0))
    both.paste(person, (512, 0))
    read = read_image_features(both)
    assert (read.face_count, read.subject) == (2, "group")
    assert read.faces[0][2] * read.faces[0][3] >= read.faces[1][2] * read.faces[1][3]


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM])
def test_a_face_upside_down_is_not_claimed(turn: Image.Transpose) -> None:
    assert read_image_features(photograph("portrait").transpose(turn)).face_count == 0


@pytest.mark.parametrize("name", ["landscape", "product"])
@pytest.mark.parametrize("part", range(4))
def test_no_faces_in_parts_of_pictures_without_people(name: str, part: int) -> None:
    """Crops change every scale and place that the cascades see; none may show a face."""
    picture = photograph(name)
    width, height = picture.size
    left, top = (part % 2) * width // 2, (part // 2) * height // 2
    crop = picture.crop((left, top, left + width // 2, top + height // 2))
    for image in (crop, crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT), crop.convert("L").convert("RGB")):
        assert read_image_features(image).faces == ()


@pytest.mark.parametrize("seed", range(6))
def test_no_faces_in_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    skin = np.clip(rng.normal((200, 150, 120), 25, (60, 80, 3)), 0, 255).astype(np.uint8)
    for pixels in (coarse, skin):
        image = Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC)
        assert read_image_features(image).faces == ()


# --- drawn pictures -----------------------------------------------------------------------------------------


def test_horizon_is_found() -> None:
    read = read_image_features(scenery())
    assert read.subject == "landscape"
    assert read.horizon == pytest.approx(0.5, abs=0.05)


def test_no_horizon_in_a_plain_picture() -> None:
    assert read_image_features(Image.new("RGB", (400, 300), (120, 130, 140))).horizon is None


@pytest.mark.parametrize("ground", [(250, 250, 250), (128, 128, 128), (5, 5, 5)])
def test_a_thing_on_plain_ground_is_a_product(ground: tuple[int, int, int]) -> None:
    read = read_image_features(thing_on(ground))
    assert read.subject == "product"
    assert 0 < read.subject_confidence < 0.8


def test_what_shows_nothing_known_is_other() -> None:
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).resize((600, 400))
    for image in (noise, Image.new("RGB", (600, 400), (90, 90, 90))):
        read = read_image_features(image)
        assert read.subject == "other"
        assert read.subject_confidence <= 0.3


def test_light() -> None:
    half = Image.new("L", (400, 300), 0)
    half.paste(255, (200, 0, 400, 300))
    read = read_image_features(half.convert("RGB"))
    assert read.exposure == pytest.approx(0.5, abs=0.01)
    assert read.contrast == pytest.approx(1.0, abs=0.01)
    assert read.spread == pytest.approx(0.5, abs=0.01)
    flat = read_image_features(Image.new("RGB", (400, 300), (128, 128, 128)))
    assert (flat.contrast, flat.spread, flat.sharpness) == (0.0, 0.0, 0.0)


def test_blur_lowers_sharpness() -> None:
    sharp = photograph("landscape")
    measured = [
        read_image_features(sharp.filter(ImageFilter.GaussianBlur(radius))).sharpness for radius in (0, 6, 20)
    ]
    assert all(value is not None for value in measured)
    assert measured[0] > 3 * measured[1] > 9 * measured[2]  # type: ignore[operator]


def test_sharpness_is_taken_at_one_size() -> None:
    whole = read_image_features(photograph("product")).sharpness
    half = read_image_features(photograph("product").reduce(2)).sharpness
    assert whole == pytest.approx(half, rel=0.35)


def test_noise_is_measured_whatever_is_pictured() -> None:
    rng = np.random.default_rng(7)
    for name in ("landscape", "product"):
        pixels = np.asarray(photograph(name).resize((400, 300)), float)
        clean = read_image_features(Image.fromarray(pixels.astype(np.uint8)))
        loud = np.clip(pixels + rng.normal(0, 20, pixels.shape[:2])[..., None], 0, 255).astype(np.uint8)
        noisy = read_image_features(Image.fromarray(loud))
        assert noisy.noise == pytest.approx(20, rel=0.35)
        assert clean.noise is not None
        assert clean.noise < 6
        assert ("noisy" in noisy.defects, "noisy" in clean.defects) == (True, False)


def test_blur_is_no_matter_of_contrast() -> None:
    thing = thing_on((235, 235, 235))
    soft = thing.filter(ImageFilter.GaussianBlur(8))
    pale = Image.blend(thing, Image.new("RGB", thing.size, (235, 235, 235)), 0.7)
    assert "blurred" in read_image_features(soft).defects
    assert "blurred" not in read_image_features(thing).defects
    assert "blurred" not in read_image_features(pale).defects


@pytest.mark.parametrize(
    ("tone", "monochrome", "aged"),
    [((1.0, 1.0, 1.0), True, False), ((1.0, 0.86, 0.66), True, True), (None, False, False)],
)
def test_black_and_white_and_sepia(tone: tuple[float, ...] | None, monochrome: bool, aged: bool) -> None:
    image = photograph("portrait")
    if tone is not None:
        grey = np.asarray(image.convert("L"), float)[..., None] * np.array(tone)
        image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    read = read_image_features(jpeg(image))
    assert read.monochrome is monochrome
    assert (read.aged >= 0.5) is aged
    assert read.subject == "portrait"


def test_a_dark_portrait_is_still_one() -> None:
    dark = Image.fromarray((np.asarray(photograph("portrait"), float) * 0.12).astype(np.uint8))
    read = read_image_features(dark)
    assert "dark" in read.defects
    assert (read.subject, read.face_count) == ("portrait", 1)


def test_a_row_of_things_is_no_product() -> None:
    chart = Image.new("RGB", (600, 400), (255, 255, 255))
    for bar in range(8):
        ImageDraw.Draw(chart).rectangle(
            (60 + 62 * bar, 80 + 20 * bar, 95 + 62 * bar, 340), fill=(30, 90, 180)
        )
    assert read_image_features(chart).subject == "other"


def test_a_beige_wall_is_no_sky() -> None:
    rng = np.random.default_rng(2)
    room = np.empty((400, 600, 3), float)
    room[:280], room[280:] = (222, 214, 200), (120, 85, 60)
    pixels = np.clip(room + rng.normal(0, 4, (400, 600, 1)), 0, 255).astype(np.uint8)
    assert read_image_features(Image.fromarray(pixels)).subject == "other"


@pytest.mark.parametrize(
    ("size", "orientation"),
    [
        ((1000, 1000), "square"),
        ((1000, 960), "square"),
        ((1000, 940), "landscape"),
        ((940, 1000), "portrait"),
        ((1920, 1080), "landscape"),
        ((1080, 1920), "portrait"),
        ((32, 4000), "portrait"),
    ],
)
def test_orientation(size: tuple[int, int], orientation: str) -> None:
    assert orientation_of(Size(*size)) == orientation


@pytest.mark.parametrize("size", [(32, 32), (32, 900), (900, 32), (4000, 33)])
def test_odd_shapes_are_read(size: tuple[int, int]) -> None:
    for source in (Image.new("RGB", size, (200, 150, 120)), jpeg(Image.new("RGB", size, (200, 150, 120)))):
        read = read_image_features(source)
        assert (read.width, read.height) == size


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_modes_are_read(mode: str) -> None:
    assert read_image_features(photograph("landscape").convert(mode)).width == 1440


def test_bytes_that_are_no_picture() -> None:
    with pytest.raises(InvalidImage):
        read_image_features(b"no picture")


# --- subject, from evidence ---------------------------------------------------------------------------------

NOTHING = Scene(
    horizon=None,
    sky=0.0,
    greenery=0.0,
    ground_texture=0.0,
    plain_border=0.0,
    neutral_border=0.0,
    apart=0.0,
    colourful=0.0,
)


@pytest.mark.parametrize(
    ("faces", "subject"),
    [
        ((), "other"),
        ((0.2,), "portrait"),
        ((0.004,), "other"),
        ((0.05, 0.04), "group"),
        ((0.2, 0.01), "portrait"),
        ((0.05, 0.002), "portrait"),
    ],
)
def test_subject_by_faces(faces: tuple[float, ...], subject: str) -> None:
    assert subject_of(faces, NOTHING)[0] == subject


def test_confidence_rises_with_the_face() -> None:
    assert subject_of((0.02,), NOTHING)[1] < subject_of((0.08,), NOTHING)[1] <= 0.95


# --- face models, threads, storage --------------------------------------------------------------------------


def test_missing_face_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"yunet\.onnx does not exist") as caught:
        read_image_features(photograph("portrait"), face_model=tmp_path / "yunet.onnx")
    assert caught.value.param == "face_model"


def test_broken_face_model_is_named(tmp_path: Path) -> None:
    model = tmp_path / "broken.onnx"
    model.write_bytes(b"not a network")
    with pytest.raises(ConfigError, match="no YuNet face model"):
        read_image_features(photograph("portrait"), face_model=model)


def test_threads_share_the_cascades() -> None:
    """OpenCV's cascades are not safe for threads; readings at once must equal readings one by one."""
    sizes = {"portrait": (400, 400), "landscape": (400, 300), "product": (400, 270)}
    rgb = {name: np.asarray(photograph(name).resize(size)) for name, size in sizes.items()}
    alone = {name: find_faces(pixels) for name, pixels in rgb.items()}
    assert len(alone["portrait"]) == 1
    start = threading.Barrier(6)

    def read(index: int) -> None:
        start.wait()
        for step in range(8):
            name = list(rgb)[(index + step) % 3]
            assert find_faces(rgb[name]) == alone[name]

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(read, range(6)))


def test_features_survive_storage() -> None:
    data = (PHOTOGRAPHS / "portrait.jpg").read_bytes()
    loaded = load_photograph(data, max_pixels=40_000_000)
    for read in (
        read_features(loaded, "must push in, no zoom, she smiles gently, with sound, seamless loop"),
        read_features(data, ""),
        Features(ImageFeatures(640, 480, "landscape"), PromptFeatures()),
    ):
        assert features_from_json(features_json(read)) == read


def test_features_of_a_photograph_and_words() -> None:
    read = read_features(photograph("portrait").resize((400, 400)), "a woman in orange")
    assert read.prompt.is_caption
    assert any("400 pixels wide" in line for line in read.advice)
    assert any("not what happens" in line for line in read.advice)
