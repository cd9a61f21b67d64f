#!/usr/bin/env bash
# The first job, by itself: platform up, login, run, platform down. Works in temporary folders, so it neither sees nor
# touches a login or a platform of yours, and leaves nothing behind.
set -euo pipefail

home=$(mktemp -d "${TMPDIR:-/tmp}/neuro-demo.XXXXXX")
export NEUROMATION_CONFIG=$home/config NEURO_PLATFORM_DATA=$home/platform
unset NEURO_URL NEURO_TOKEN NEURO_PASSED_CONFIG

leave() {
    neuro platform down >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap leave EXIT

step() {
    printf '\n$ %s\n' "$1"
    bash -c "$1"
}

step 'neuro platform up'
step 'neuro login --local'
step "neuro run host -- python3 -c 'print(\"hello from a job\")'"
step "neuro run --detach -n train host -- sh -c 'for i in 1 2 3; do echo step \$i; sleep 0.2; done'"
step 'neuro logs train'
step 'neuro ps --all'
step 'neuro platform down'
