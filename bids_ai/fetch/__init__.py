"""Fetching published atlases and templates into a folder, for use there or on a machine without network.

Start at `install.install_edition` and `install.install_template`; `bids_ai.parcellation.published` says what there is,
and `bids_ai.parcellation.fetched` finds what was fetched.
"""
