"""The wearer's own view: which of a take's videos it is, when its frames are, and the frames themselves.

Ego-Exo4D and SynthKitchen keep it under frame_aligned_videos. Nothing is decoded before it is asked for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eailkit.errors import DatasetError


def find_ego_video(folder: Path) -> Path | None:
    """The wearer's own view among a take's videos, the smallest size of it, or None."""
    for base in (folder / "frame_aligned_videos" / "downscaled" / "448", folder / "frame_aligned_videos"):
        found = sorted(base.glob("aria*_214-1.mp4"))
        if found:
            return found[0]
    return None


def video_times_s(path: Path) -> np.ndarray:
    """Time of each frame since the take's start, seconds: the middle of the span it stands for, (k + 0.5) / fps.

    Raises:
        DatasetError: the file is no video.
    """
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            count = stream.frames or sum(1 for packet in container.demux(stream) if packet.size)
            return (np.arange(count) + 0.5) / float(stream.average_rate)
    except (av.FFmpegError, IndexError) as fault:
        raise DatasetError(f"{path}: can't be read as a video ({fault}); copy or download it again.") from None


def decode_frames(path: Path, indices: list[int], *, size: int | None = None) -> np.ndarray:
    """Frames of a video as uint8 RGB, (len(indices), height, width, 3), in one pass from its start.

    Args:
        indices: frame numbers, any order.
        size: scale to size x size pixels; the video's own size where None.

    Raises:
        DatasetError: the file is no video, or ends before a wanted frame.
    """
    import av

    wanted, images = set(map(int, indices)), {}
    try:
        with av.open(str(path)) as container:
            for i, frame in enumerate(container.decode(video=0)):
                if i in wanted:
                    scaled = frame.reformat(width=size, height=size, format="rgb24") if size else frame
                    images[i] = scaled.to_ndarray(format="rgb24")
                if len(images) == len(wanted):
                    break
    except av.FFmpegError as fault:
        raise DatasetError(f"{path}: can't be read as a video ({fault}); copy or download it again.") from None
    if len(images) < len(wanted):
        raise DatasetError(
            f"{path}: found no frame {min(wanted - set(images))}; the video is shorter than expected: get it again."
        )
    return (
        np.stack([images[int(i)] for i in indices]) if len(wanted) else np.zeros((0, size or 0, size or 0, 3), np.uint8)
    )
