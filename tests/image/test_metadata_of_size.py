"""What metadata says of the picture is true of the enlarged one, or it is gone."""

import struct
import warnings

import numpy as np
import pytest
import tifffile
from containers import encoded, segment, with_segments
from icc_profiles import wide_rgb
from PIL import Image

from imagen_fast import ImageWarning, load, upscale
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.read import read
from imagen_fast.image.write import write
from imagen_fast.image.xmp_packet import parse

RDF = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" {names} {attributes}>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Größe > 160</rdf:li></rdf:Alt></dc:title>
{elements}</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
NAMES = {
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "regions": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
}


def packet(properties, form="attributes", more=""):
    """An XMP packet that states these properties as attributes or as elements."""
    used = {name.split(":")[0] for name in properties} | {n for n in NAMES if f"<{n}:" in more}
    used |= {name for name in NAMES if f" {name}:" in more}
    names = " ".join(f'xmlns:{name}="{NAMES[name]}"' for name in sorted(used))
    if form == "attributes":
        texts = " ".join(f'{name}="{value}"' for name, value in properties.items())
        return RDF.format(names=names, attributes=texts, elements=more).encode()
    texts = "\n".join(f"<{name}>{value}</{name}>" for name, value in properties.items())
    return RDF.format(names=names, attributes="", elements=texts + more).encode()


def stated(data):
    """Name and text of every property in a packet, prefixes as in NAMES."""
    prefixes = {space: prefix for prefix, space in NAMES.items()}
    return {
        f"{prefixes[p.name[0]]}:{p.name[1]}": data[slice(*p.value)].decode()
        for p in parse(data)
        if p.name[0] in prefixes
    }


SIZES = {"tiff:ImageWidth": 160, "tiff:ImageLength": 120, "exif:PixelXDimension": 160,
         "exif:PixelYDimension": 120}  # fmt: skip
PANORAMA = {
    "GPano:ProjectionType": "equirectangular",
    "GPano:FullPanoWidthPixels": 400,
    "GPano:FullPanoHeightPixels": 200,
    "GPano:CroppedAreaImageWidthPixels": 160,
    "GPano:CroppedAreaImageHeightPixels": 120,
    "GPano:CroppedAreaLeftPixels": 30,
    "GPano:CroppedAreaTopPixels": 40,
    "GPano:InitialHorizontalFOVDegrees": 75,
}


def enlarged(path, extension=".png", scale=2):
    """The metadata of what the API makes of a file."""
    return read(
        upscale(path, scale, output=path.with_name(f"out{extension}"), backend="fake")
    ).metadata


@pytest.mark.parametrize("form", ["attributes", "elements"])
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_sizes_in_xmp_follow_the_picture(tmp_path, photo, form, extension):
    before = packet(SIZES | PANORAMA, form)
    Image.fromarray(photo).save(tmp_path / "in.jpg", xmp=before)
    after = enlarged(tmp_path / "in.jpg", extension).xmp
    assert stated(after) == {
        "tiff:ImageWidth": "320",
        "tiff:ImageLength": "240",
        "exif:PixelXDimension": "320",
        "exif:PixelYDimension": "240",
        "GPano:ProjectionType": "equirectangular",
        "GPano:FullPanoWidthPixels": "800",
        "GPano:FullPanoHeightPixels": "400",
        "GPano:CroppedAreaImageWidthPixels": "320",
        "GPano:CroppedAreaImageHeightPixels": "240",
        "GPano:CroppedAreaLeftPixels": "60",
        "GPano:CroppedAreaTopPixels": "80",
        "GPano:InitialHorizontalFOVDegrees": "75",
    }
    assert "Größe > 160".encode() in after
    for new, old in (
        ("320", "160"),
        ("240", "120"),
        ("800", "400"),
        ("400", "200"),
        ("60", "30"),
        ("80", "40"),
    ):
        for quote in ('"{}"', ">{}<"):
            after = after.replace(quote.format(new).encode(), quote.format(old).encode())
    assert after.replace(b'"400"', b'"200"').replace(b">400<", b">200<").translate(
        None, b"0123456789"
    ) == (before.translate(None, b"0123456789"))  # every other byte stays


def test_a_prefix_is_what_the_packet_binds_it_to(tmp_path, photo):
    odd = packet(SIZES).replace(b"tiff:", b"ns1:").replace(b":tiff=", b":ns1=")
    odd = odd.replace(b"<dc:title>", b'<dc:title xmlns:tiff="urn:other" tiff:ImageWidth="160">')
    Image.fromarray(photo).save(tmp_path / "in.webp", xmp=odd)
    after = enlarged(tmp_path / "in.webp").xmp
    assert b'ns1:ImageWidth="320"' in after
    assert b'tiff:ImageWidth="160"' in after


def test_regions_in_xmp_are_those_of_the_enlarged_picture(tmp_path, photo):
    size = '<regions:AppliedToDimensions stDim:w="160" stDim:h="120" stDim:unit="pixel"/>'
    Image.fromarray(photo).save(tmp_path / "in.jpg", xmp=packet({}, more=size))
    assert b'stDim:w="320" stDim:h="240"' in enlarged(tmp_path / "in.jpg").xmp


MOTION = {"GCamera:MotionPhoto": 1, "GCamera:MotionPhotoVersion": 1,
          "GCamera:MotionPhotoPresentationTimestampUs": 500_000}  # fmt: skip
ITEMS = """<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource">
<Container:Item Item:Mime="image/jpeg" Item:Semantic="Primary"/></rdf:li>
<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Length="999"/>
</rdf:li></rdf:Seq></Container:Directory>"""


@pytest.mark.parametrize("form", ["attributes", "elements"])
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(
    ("claims", "more", "said"),
    [
        ({"hdrgm:Version": "1.0", "hdrgm:GainMapMax": "2.3"}, ITEMS, "gain map"),
        (MOTION, ITEMS, "video"),
        ({"GCamera:MicroVideo": 1, "GCamera:MicroVideoOffset": 4000}, "", "video"),
        ({"GDepth:Format": "RangeInverse", "GDepth:Near": "1.5"}, "", "depth map"),
        ({"xmpNote:HasExtendedXMP": "0123456789ABCDEF"}, "", "second part of XMP"),
    ],
)
def test_claims_of_what_was_beside_the_picture_are_gone(
    tmp_path, photo, form, extension, claims, more, said
):
    kept = {"GCamera:SpecialTypeID": "none", "tiff:ImageWidth": 160}
    Image.fromarray(photo).save(tmp_path / "in.jpg", xmp=packet(claims | kept, form, more))
    with pytest.warns(ImageWarning, match=f"in.jpg: its {said} is not carried over"):
        after = enlarged(tmp_path / "in.jpg", extension).xmp
    assert stated(after) == {"GCamera:SpecialTypeID": "none", "tiff:ImageWidth": "320"}
    assert b"Directory" not in after


def test_a_gain_map_that_only_a_segment_tells_of_is_named(tmp_path, photo):
    part = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")
    (tmp_path / "in.jpg").write_bytes(with_segments(encoded(photo, "JPEG"), part))
    with pytest.warns(ImageWarning, match="gain map is not carried over"):
        read(tmp_path / "in.jpg")


def exif(order, *, long=False, places=True):
    """EXIF that states the size three times over, and where in the picture something is."""
    block = Image.Exif()
    block.endian = order
    block[0x0100], block[0x0101], block[0x010F] = 160, 120, "Maker"
    inner = {
        0x9003: "2024:05:06 07:08:09",
        0xA002: 160,
        0xA003: 120,
        0xA005: {1: "R98", 0x1001: 160, 0x1002: 120},
    }
    if places:
        inner |= {
            0x9214: (80, 60, 10, 10),
            0xA214: (80, 60),
            0xA20E: 1200.0,
            0xA20F: 1200.0,
            0xA210: 2,
        }
    block[0x8769] = inner
    return block.tobytes().removeprefix(b"Exif\0\0")


def numbers(data):
    """Everything that Pillow finds in a block."""
    block = Image.Exif()
    block.load(data)
    return dict(block) | dict(block.get_ifd(0x8769)) | dict(block.get_ifd(0xA005))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_sizes_in_exif_follow_the_picture_and_places_go(tmp_path, photo, order, extension):
    Image.fromarray(photo).save(tmp_path / "in.webp", exif=b"Exif\0\0" + exif(order), lossless=True)
    found = numbers(enlarged(tmp_path / "in.webp", extension, scale=4).exif)
    assert [found[tag] for tag in (0x0100, 0xA002, 0x1001)] == [640] * 3
    assert [found[tag] for tag in (0x0101, 0xA003, 0x1002)] == [480] * 3
    assert (found[0x010F], found[0x9003], found[1]) == ("Maker", "2024:05:06 07:08:09", "R98")
    assert not found.keys() & {0x9214, 0xA214, 0xA20E, 0xA20F, 0xA210}


def test_sizes_beyond_sixteen_bits_find_room_in_exif(tmp_path):
    wide = Picture(np.zeros((1, 70_000, 1), np.uint8), None, Metadata(exif=exif("<")))
    write(tmp_path / "x.png", wide)
    found = numbers(read(tmp_path / "x.png").metadata.exif)
    assert (found[0xA002], found[0xA003], found[0x0100]) == (70_000, 1, 70_000)


def test_what_is_true_already_stays_byte_by_byte(tmp_path, photo):
    data = Metadata(exif=exif(">"), xmp=packet(SIZES | PANORAMA))
    write(tmp_path / "x.png", Picture(photo, None, data))
    found = read(tmp_path / "x.png").metadata
    assert (found.exif, found.xmp) == (data.exif, data.xmp)


def test_sizes_in_a_tiff_follow_the_picture(tmp_path, photo):
    write(tmp_path / "in.tif", Picture(photo, None, Metadata(exif=exif("<"))))
    target = upscale(tmp_path / "in.tif", 2, output=tmp_path / "out.tif", backend="fake")
    with tifffile.TiffFile(target) as file:
        tags = file.pages[0].tags
        inner = tags["ExifTag"].value
        assert (inner["PixelXDimension"], inner["PixelYDimension"]) == (320, 240)
        assert "SubjectArea" not in inner


def test_an_image_of_pillow_states_its_own_size(photo):
    image = Image.fromarray(photo)
    image.info |= {"exif": b"Exif\0\0" + exif("<"), "xmp": packet(SIZES)}
    with load("sr-x2-tiny", backend="fake") as engine:
        large = engine(image)
    found = numbers(large.info["exif"].removeprefix(b"Exif\0\0"))
    assert (found[0xA002], found[0xA003]) == (320, 240)
    assert stated(large.info["xmp"])["tiff:ImageWidth"] == "320"


def test_damaged_exif_never_stops_writing(tmp_path, photo):
    whole = exif("<")
    rng = np.random.default_rng(3)
    for n in range(8, len(whole)):
        broken = bytearray(whole[: n if n % 2 else None])
        broken[rng.integers(4, len(broken))] ^= 1 << rng.integers(8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(tmp_path / "x.tif", Picture(photo[:8, :8], None, Metadata(exif=bytes(broken))))
            write(tmp_path / "x.webp", Picture(photo[:8, :8], None, Metadata(exif=bytes(broken))))
        assert read(tmp_path / "x.webp").color.shape == (8, 8, 3)


LINEAR = ((b"gAMA", struct.pack(">I", 100_000)),)
SRGB = (
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
)
HDR = ((b"cICP", bytes([9, 16, 0, 1])),)


@pytest.mark.parametrize("extension", [".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize(
    ("color", "icc", "said"),
    [
        (HDR, None, "cICP"),
        (HDR, wide_rgb(), "cICP"),
        (LINEAR, None, "gAMA"),
        (((b"cHRM", struct.pack(">8I", *range(8))),), None, "cHRM"),
        (LINEAR, wide_rgb(), None),
        (SRGB, None, None),
        ((*LINEAR, (b"sRGB", b"\0")), None, None),
        (((b"cICP", bytes([1, 13, 0, 1])),), None, None),
    ],
)
def test_colour_information_that_a_format_cannot_carry_is_named(
    tmp_path, photo, extension, color, icc, said
):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ImageWarning)
        write(tmp_path / f"x{extension}", Picture(photo, None, Metadata(icc, png=color)))
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == (said is not None)
    assert all(f"cannot carry what {said} said of its colours" in text for text in texts)


def test_metadata_that_a_bmp_has_no_place_for_is_named(tmp_path, photo):
    data = Metadata(exif=exif("<"), xmp=packet(SIZES))
    with pytest.warns(ImageWarning) as caught:
        write(tmp_path / "x.bmp", Picture(photo, None, data))
    assert [("EXIF" in str(w.message), "XMP" in str(w.message)) for w in caught] == [
        (True, False),
        (False, True),
    ]


def test_primary_colours_of_a_tiff_without_a_profile_are_named(tmp_path, photo):
    def save(white, primaries):
        tags = [(318, 5, 2, white, True), (319, 5, 6, primaries, True)]
        tifffile.imwrite(tmp_path / "x.tif", photo, photometric="rgb", extratags=tags)

    srgb = (3127, 10000, 3290, 10000), (64, 100, 33, 100, 30, 100, 60, 100, 15, 100, 6, 100)
    save(*srgb)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path / "x.tif")
    save(srgb[0], (708, 1000, 292, 1000, 170, 1000, 797, 1000, 131, 1000, 46, 1000))
    with pytest.warns(ImageWarning, match="primary colours"):
        read(tmp_path / "x.tif")
