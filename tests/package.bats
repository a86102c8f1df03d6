#!/usr/bin/env bats
# The Debian packages: built, looked over by lintian, installed, used and removed, in a copy of this system.

load built

@test "package: built without a word from lintian, installed, used and removed" {
	((EUID == 0)) || skip "needs root"
	unshare --mount --net --ipc --pid --fork true || skip "no namespaces to be had"
	cd "$SOURCE"
	OUT=$BATS_TEST_TMPDIR/packages DEB_BUILD_OPTIONS="nocheck noautodbgsym" scripts/package --check
}
