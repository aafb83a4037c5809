#!/bin/sh
# `IMAGE /data /out participant` is `bids-ai run /data /out participant`; `IMAGE ec ...` is `bids-ai ec ...`.
set -eu

# Libraries want a home they can write to. With a read-only root there is none, with -u there may be none.
if [ ! -w "${HOME:-/}" ]; then
    HOME=$(mktemp -d "${TMPDIR:-/tmp}/bids-ai-home.XXXXXX") || {
        echo "bids-ai: this container has no folder for temporary files that user $(id -u) can write to." \
             "Add --tmpfs /tmp, or -v SCRATCH:/tmp." >&2
        exit 2
    }
    export HOME
fi
# The list of fonts was made when the image was built; making it takes seconds in every job.
if [ -z "${MPLCONFIGDIR:-}" ] && [ -d /opt/bids_ai/cache/matplotlib ]; then
    MPLCONFIGDIR=$HOME/.cache/bids_ai-matplotlib
    if [ ! -d "$MPLCONFIGDIR" ]; then
        mkdir -p "$MPLCONFIGDIR" && cp /opt/bids_ai/cache/matplotlib/* "$MPLCONFIGDIR" || unset MPLCONFIGDIR
    fi
    export MPLCONFIGDIR="${MPLCONFIGDIR:-/tmp}"
fi

case "${1:---help}" in
    run | index | ccep | ec | simulate | fetch | doctor | completion | help | stage | -h | --help | --version) exec bids-ai "$@" ;;
    *) exec bids-ai run "$@" ;;
esac
