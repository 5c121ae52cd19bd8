"""Folders of still frames, without av: of eight kinds, 1 to 32 bits, the same kind out."""

from david_cli.images.files import read_image, read_image_header, write_image
from david_cli.images.folder import FRAME_KINDS, find_frames, list_frames, natural_key
from david_cli.images.still import Header, StillImage, image_to_rgb, with_change

__all__ = [
    "FRAME_KINDS",
    "Header",
    "StillImage",
    "find_frames",
    "image_to_rgb",
    "list_frames",
    "natural_key",
    "read_image",
    "read_image_header",
    "with_change",
    "write_image",
]
