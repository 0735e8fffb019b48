"""What every source of frames has in common."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from drawn_frames import picture
from PIL import Image

from imagen_fast.errors import VideoError
from imagen_fast.video.job import open_source
from imagen_fast.video.reading import Cut


@pytest.mark.parametrize("kind", ["container", "folder", "animation"])
@pytest.mark.parametrize("start", [None, Fraction(2, 25)])
def test_the_first_frame_is_shown_beforehand_and_read_all_the_same(
    make: Callable[..., Path], tmp_path: Path, kind: str, start: Fraction | None
) -> None:
    if kind == "container":
        path = make(tmp_path / "a.mp4", frames=4)
    else:
        frames = [Image.fromarray(picture(n, 48, 64)) for n in range(4)]
        path = tmp_path / ("a" if kind == "folder" else "a.png")
        if kind == "folder":
            path.mkdir()
            for number, frame in enumerate(frames):
                frame.save(path / f"{number}.png")
        else:
            frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    source = open_source(path, Cut(start, None), None)
    first = source.first().color
    read = [frame.picture for frame in source.frames(lambda index: False)]
    assert len(read) == (4 if start is None else 2)
    assert read[0] is not None
    np.testing.assert_array_equal(first, read[0].color)
    source.close()


def test_a_video_has_a_rate_of_its_own(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"a.mp4: a video has its rate; --fps is for pictures"):
        open_source(make(tmp_path / "a.mp4", frames=2), Cut(), Fraction(25))
