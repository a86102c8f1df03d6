#!/usr/bin/env bats
# Each kind of listener holds its limit, whatever an operator looks at, and what a killed worker held is free again at once: where the
# kernel finds its connections if it is asked in the right way, and by /proc too. Where it does not, they stay.

load daemon

setup_more() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	unshare -n true || skip "no network namespaces"
}

holds() { # KIND
	run unshare -n python3 "$SOURCE/tests/programs/kinds.py" "$1"
	[ "$status$output" = 0 ] || { echo "$output"; return 1; }
	run unshare -n python3 "$SOURCE/tests/programs/kinds.py" "$1" python3 "$SOURCE/tests/programs/without_netlink.py"
	[ "$status$output" = 0 ] || { echo "without netlink: $output"; return 1; }
}

mptcp_or_skip() { sysctl -n net.mptcp.enabled 2>/dev/null | grep -q 1 || skip "no MPTCP"; }

@test "kinds: a plain listener" { holds plain; }
@test "kinds: one that is bound to a device" { holds device; }
@test "kinds: one that is bound to a device, at the wildcard address" { holds device-wildcard; }
@test "kinds: one that is bound to a device beside one that is not" { holds beside; }
@test "kinds: MPTCP" { mptcp_or_skip; holds mptcp; }
@test "kinds: MPTCP, and clients that do not speak it" { mptcp_or_skip; holds mptcp-plain-client; }
@test "kinds: MPTCP beside TCP" { mptcp_or_skip; holds mptcp-beside; }
@test "kinds: IPv4 clients of an IPv6 listener" { holds mapped; }
@test "kinds: IPv6" { holds ipv6; }
@test "kinds: link-local addresses" { holds link-local; }
@test "kinds: link-local addresses of a listener at the wildcard address" { holds link-local-wildcard; }
@test "kinds: SO_REUSEPORT" { holds reuseport; }
@test "kinds: IP_TRANSPARENT" { holds transparent; }
steering_or_skip() { [ "$(id -u)" -eq 0 ] && [ -e /proc/sys/kernel/unprivileged_bpf_disabled ] || skip "no bpf(2)"; }

@test "kinds: some connections steered to the listener by a program (BPF_PROG_TYPE_SK_LOOKUP)" { steering_or_skip; holds steered; }
@test "kinds: the same at the wildcard address" { steering_or_skip; holds steered-wildcard; }
@test "kinds: another network namespace" { holds namespace; }
@test "kinds: another network namespace beside the daemon's own" { holds namespace-beside; }
