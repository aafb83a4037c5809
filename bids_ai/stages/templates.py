"""The template of a run: the user's own, or the one that nilearn bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_ai.stages.context import Context

if TYPE_CHECKING:
    from bids_ai.preprocess.templates import Template

#: Grid of the bundled template in the tests' coarse mode, mm.
_SLOPPY_RESOLUTION_MM = 4.0


def load_template(context: Context) -> Template:
    """Give the template on disk; the bundled one is written to the cache once."""
    from bids_ai.preprocess.templates import bundled_template, user_template

    own = context.config.anat.template
    if own.t1w and own.mask and own.space:
        return user_template(own.t1w, own.mask, own.space, head=own.head, gm=own.gm, wm=own.wm)
    resolution = _SLOPPY_RESOLUTION_MM if context.config.sloppy else 1.0
    return bundled_template(context.cache_dir, resolution_mm=resolution)
