"""Folders of still frames, without av: PNG, JPEG, TIFF, WebP and BMP in, the same kind out."""

from david_cli.images.files import read_image, read_image_header, write_image
from david_cli.images.folder import list_frames, natural_key
from david_cli.images.still import Header, StillImage, image_to_rgb, with_change

__all__ = [
    "Header",
    "StillImage",
    "image_to_rgb",
    "list_frames",
    "natural_key",
    "read_image",
    "read_image_header",
    "with_change",
    "write_image",
]
