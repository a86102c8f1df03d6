# What was built, and where: meson test says so; by hand it is what lies in the folder build, or in $BUILD.
# shellcheck shell=bash

bats_require_minimum_version 1.5.0

SOURCE=${SOURCE:-$(readlink -f "${BASH_SOURCE[0]%/*}/..")}
BUILD=${BUILD:-$SOURCE/build}
CONNLIMIT=${CONNLIMIT:-$BUILD/connlimit}
PRELOAD=${PRELOAD:-$BUILD/libconnlimit_preload.so}
[[ -x $CONNLIMIT && -e $PRELOAD ]] || { echo "nothing is built in $BUILD: meson setup build && ninja -C build" >&2; exit 1; }
export SOURCE BUILD CONNLIMIT PRELOAD
# Each test ends, also by hand. meson test bounds files, most of them at less.
BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-900}
[[ $PATH == /usr/sbin:* ]] || PATH=/usr/sbin:/usr/bin:$PATH # Debian's own programs, not what else is there under their names
