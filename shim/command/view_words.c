/* The words for what is in a view, the same wherever it is shown. */
#include "command/view.h"

#include "table/bans.h"

#include <inttypes.h>
#include <stdio.h>

const char *view_origin(unsigned origin)
{
	static const char *const names[] = {"default", "environment", "file", "set", "option"};

	return origin < 5 ? names[origin] : "?";
}

const char *view_mode(unsigned mode)
{
	static const char *const names[] = {"enforce", "observe", "off"};

	return mode < 3 ? names[mode] : "?";
}

const char *view_way(unsigned way)
{
	static const char *const names[ASKED_WAYS] = {"none", "sock_diag", "proc", "unreachable"};

	return way < ASKED_WAYS ? names[way] : "?";
}

void view_span(char text[SPAN_TEXT], uint64_t seconds)
{
	if (seconds >= 86400)
		snprintf(text, SPAN_TEXT, "%" PRIu64 "d %" PRIu64 "h", seconds / 86400 % 1000000, seconds % 86400 / 3600);
	else if (seconds >= 3600)
		snprintf(text, SPAN_TEXT, "%" PRIu64 "h %" PRIu64 "m", seconds / 3600, seconds % 3600 / 60);
	else if (seconds >= 60)
		snprintf(text, SPAN_TEXT, "%" PRIu64 "m %" PRIu64 "s", seconds / 60, seconds % 60);
	else
		snprintf(text, SPAN_TEXT, "%" PRIu64 "s", seconds);
}

void view_ban(char text[SPAN_TEXT], uint32_t seconds)
{
	if (seconds == 0)
		snprintf(text, SPAN_TEXT, "-");
	else if (seconds == BAN_FOREVER)
		snprintf(text, SPAN_TEXT, "for ever");
	else
		view_span(text, seconds);
}

void view_limit(char text[LIMIT_TEXT], uint32_t limit)
{
	if (limit == LIMIT_NONE)
		snprintf(text, LIMIT_TEXT, "unlimited");
	else if (limit == LIMIT_DENY)
		snprintf(text, LIMIT_TEXT, "deny");
	else
		snprintf(text, LIMIT_TEXT, "%" PRIu32, limit);
}

/* ---- what does not work as it should ---- */

bool view_degraded(const struct table_view *view, enum degraded what)
{
	switch (what) {
	case DEGRADED_ANONYMOUS: return view->place.memory == MEMORY_ANONYMOUS;
	case DEGRADED_PROC: return view->asked[KERNEL_PROC] != 0;
	case DEGRADED_BLIND: return view->asked[KERNEL_UNREACHABLE] != 0;
	case DEGRADED_UNVERIFIED: return view->unverified != 0;
	case DEGRADED_UNCOUNTED: return view->uncounted != 0;
	case DEGRADED_UNNAMED: return view->unnamed != 0;
	case DEGRADED_UNCOVERED: return view->covered >= 0 && view->covered < view->in_kernel;
	case DEGRADED_UNVERIFIABLE: return view->unverifiable[0].port != 0;
	case DEGRADED_NOT_COMPARED: return view->compared != COMPARED;
	case DEGRADED_RELOAD: return view->failed >= 0;
	case DEGRADED_FLEET: return view->settings.cluster_per_ip != LIMIT_NONE && !view->fleet_current;
	case DEGRADED_EVICTED:
		return view->settings.cluster_per_ip != LIMIT_NONE && view->fleet_current && view->fleet_evicting;
	case DEGRADEDS: break;
	}
	return false;
}

const char *view_degraded_name(enum degraded what)
{
	static const char *const names[DEGRADEDS] = {
	    [DEGRADED_ANONYMOUS] = "anonymous_memory",
	    [DEGRADED_PROC] = "proc_net_tcp",
	    [DEGRADED_BLIND] = "kernel_unreachable",
	    [DEGRADED_UNVERIFIED] = "unverified_refusals",
	    [DEGRADED_UNCOUNTED] = "uncounted_connections",
	    [DEGRADED_UNNAMED] = "no_proxy_header",
	    [DEGRADED_UNCOVERED] = "uncovered_connections",
	    [DEGRADED_NOT_COMPARED] = "not_compared",
	    [DEGRADED_RELOAD] = "reload_failed",
	    [DEGRADED_UNVERIFIABLE] = "unverifiable_listeners",
	    [DEGRADED_FLEET] = "fleet_not_heard",
	    [DEGRADED_EVICTED] = "fleet_evicted",
	};

	return (unsigned)what < DEGRADEDS ? names[what] : "?";
}

static void say_unverifiable(char *text, size_t size, const struct table_view *view)
{
	char address[ADDRESS_TEXT];
	size_t length = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < UNVERIFIABLE && view->unverifiable[i].port != 0 && length < size; i++) {
		address_format(address, &view->unverifiable[i].address);
		length += (size_t)snprintf(text + length, size - length, "%s%s port %u", i == 0 ? "" : ", ", address,
					   view->unverifiable[i].port);
	}
	if (length < size)
		snprintf(text + length, size - length,
			 ": the kernel does not tell this daemon which connections of the listener are gone, so a connection "
			 "that ends unseen keeps counting");
}

void view_degraded_says(char *text, size_t size, const struct table_view *view, enum degraded what)
{
	char span[SPAN_TEXT];

	switch (what) {
	case DEGRADED_ANONYMOUS:
		snprintf(text, size,
			 "no shared memory segment was available: the table is in memory that only forked processes share");
		break;
	case DEGRADED_PROC:
		snprintf(text, size,
			 "sock_diag was not available in %" PRIu64 " checks: the daemon read /proc/net/tcp, which is slower",
			 view->asked[KERNEL_PROC]);
		break;
	case DEGRADED_BLIND:
		snprintf(text, size,
			 "the daemon could not ask the kernel in %" PRIu64 " checks, neither by sock_diag nor in /proc",
			 view->asked[KERNEL_UNREACHABLE]);
		break;
	case DEGRADED_UNVERIFIED:
		snprintf(text, size, "%" PRIu64 " refusals could not be verified with the kernel", view->unverified);
		break;
	case DEGRADED_UNCOUNTED:
		snprintf(text, size, "%" PRIu64 " connections were admitted uncounted (capacity %" PRIu32 ")", view->uncounted,
			 view->capacity);
		break;
	case DEGRADED_UNNAMED:
		snprintf(text, size,
			 "%" PRIu64
			 " connections of balancers (CONNLIMIT_PROXY) had no PROXY header, or a malformed one, or it "
			 "was late: they count as the balancer's own",
			 view->unnamed);
		break;
	case DEGRADED_UNCOVERED:
		snprintf(text, size, "the kernel has %" PRId64 " connections to this daemon that the table does not hold",
			 view->in_kernel - view->covered);
		break;
	case DEGRADED_UNVERIFIABLE: say_unverifiable(text, size, view); break;
	case DEGRADED_NOT_COMPARED:
		snprintf(text, size, "these counts are not compared with the kernel: %s",
			 view->compared == NOT_ANSWERED ? "it does not answer" : "the daemon is in another network namespace");
		break;
	case DEGRADED_RELOAD:
		view_span(span, view->failed > 0 ? (uint64_t)view->failed : 0);
		snprintf(text, size, "the last reload, %s ago, failed and the old limits stand: %s", span, view->failure);
		break;
	case DEGRADED_FLEET:
		snprintf(text, size, "the fleet %s: this machine's own limits hold",
			 view->heard < 0 ? "was never heard (connlimit sync)" : "is not heard");
		break;
	case DEGRADED_EVICTED:
		snprintf(text, size,
			 "Redis is configured to evict the fleet's keys (maxmemory-policy allkeys-...): counts are lost until "
			 "that is noticed and corrected");
		break;
	case DEGRADEDS: snprintf(text, size, "?"); break;
	}
}
