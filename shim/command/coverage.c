#include "command/coverage.h"

#include "command/processes.h"

#include "kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

/* ---- which listeners are the daemon's ---- */

/* A daemon opens its listeners before clients connect: they are searched for among a process's first descriptors only. */
enum { DESCRIPTORS_MOST = 1024 };

struct marking {
	const struct sockets *sockets;
	bool *own;
};

static void mark(unsigned long inode, void *with)
{
	const struct marking *marking = with;

	for (size_t i = 0; i < marking->sockets->listeners; i++)
		marking->own[i] |= marking->sockets->listener[i].inode == inode;
}

static bool is_wildcard(const struct address *address)
{
	static const struct address ipv6_any = {{0}};
	static const struct address ipv4_any = {{[10] = 0xff, [11] = 0xff}};

	return memcmp(address, &ipv6_any, sizeof(*address)) == 0 || memcmp(address, &ipv4_any, sizeof(*address)) == 0;
}

/* How well a listener fits a connection; 0: not at all. The kernel prefers the one with the exact address. */
static int fitness(const struct endpoint *listener, bool ipv4_listener, const struct endpoint *local)
{
	if (listener->port != local->port)
		return 0;
	if (memcmp(&listener->address, &local->address, sizeof(local->address)) == 0)
		return 3;
	if (!is_wildcard(&listener->address))
		return 0;
	return ipv4_listener == address_is_ipv4(&local->address) ? 2 : ipv4_listener ? 0 : 1;
}

enum whose { NOBODYS, OURS, OTHERS };

static enum whose whose(const struct sockets *sockets, const bool *own, const struct endpoint *local)
{
	enum whose best_is = NOBODYS;
	int best = 0;

	for (size_t i = 0; i < sockets->listeners; i++) {
		int fit = fitness(&sockets->listener[i].connection.local, sockets->listener[i].ipv4, local);

		if (fit == 0 || fit < best || (fit == best && best_is == OURS))
			continue;
		best = fit;
		best_is = own[i] ? OURS : OTHERS;
	}
	return best_is;
}

bool listeners_lead_to(const struct sockets *sockets, const bool *own, const struct endpoint *local)
{
	return whose(sockets, own, local) == OURS;
}

/* ---- what the table holds ---- */

struct held {
	const struct table_view *view;
	uint32_t *place; /* index in view->record + 1, by hash, with open addressing; 0: empty */
	size_t places;	 /* a power of two */
	unsigned char port[65536 / 8];
};

/* Bounds the search: whoever writes the table can make many records that have one peer and port and differ in their local
 * addresses. */
enum { PROBES = 64 };

static size_t place_of(const struct held *held, const struct connection *connection)
{
	return connection_hash(connection) & (held->places - 1);
}

/* If the local address was not recorded, the port has to match. */
static bool same_local(const struct connection *recorded, const struct endpoint *local)
{
	return connection_lacks_address(recorded) ? recorded->local.port == local->port
						  : endpoint_same(&recorded->local, local);
}

static bool is_held(const struct held *held, const struct connection *connection)
{
	size_t i = place_of(held, connection);

	for (int probe = 0; probe < PROBES && held->place[i] != 0; probe++, i = (i + 1) & (held->places - 1)) {
		const struct connection *recorded = &held->view->record[held->place[i] - 1].connection;

		if (endpoint_same(&recorded->peer, &connection->peer) && same_local(recorded, &connection->local))
			return true;
	}
	return false;
}

static bool find_held(struct held *held, const struct table_view *view)
{
	*held = (struct held){.view = view, .places = 64};
	while (held->places < 2 * view->records)
		held->places *= 2;
	held->place = calloc(held->places, sizeof(*held->place));
	for (size_t record = 0; record < view->records && held->place != NULL; record++) {
		const struct connection *connection = &view->record[record].connection;

		/* A port of 0 would be an empty place. */
		if (connection_is_unix(connection) || connection->local.port == 0)
			continue;
		size_t i = place_of(held, connection);
		int probe = 0;
		for (; probe < PROBES && held->place[i] != 0; probe++)
			i = (i + 1) & (held->places - 1);
		if (probe == PROBES)
			continue;
		held->place[i] = (uint32_t)record + 1;
		held->port[connection->local.port / 8] |= (unsigned char)(1U << connection->local.port % 8);
	}
	return held->place != NULL;
}

/* ---- the comparison ---- */

/* A connection that is not in the table may have ended since it was listed. It only counts if the kernel still has it. Returns
 * how many were gone. */
static int64_t look_again(struct question *missing, size_t number)
{
	struct asking asking = {0};
	int64_t gone = 0;

	for (size_t from = 0; from < number; from += QUESTIONS_MOST) {
		size_t some = number - from < QUESTIONS_MOST ? number - from : QUESTIONS_MOST;

		kernel_ask(&asking, missing + from, some);
		for (size_t i = from; i < from + some; i++)
			gone += answer_is_gone(missing[i].answer);
	}
	kernel_end(&asking);
	return gone;
}

void coverage_of(const struct table_view *view, const struct sockets *sockets, int64_t *covered, int64_t *in_kernel)
{
	bool *own = calloc(sockets->listeners + 1, sizeof(*own));
	struct question *missing = calloc(sockets->opens + 1, sizeof(*missing));
	size_t missed = 0;
	struct held *held = calloc(1, sizeof(*held));

	*covered = -1;
	*in_kernel = 0;
	if (own != NULL && missing != NULL && held != NULL && find_held(held, view)) {
		*covered = 0;
		struct marking marking = {.sockets = sockets, .own = own};
		for (size_t i = 0; i < view->place.pids; i++)
			process_sockets(view->place.pid[i], DESCRIPTORS_MOST, mark, &marking);
		bool any = memchr(own, true, sockets->listeners) != NULL;
		for (size_t i = 0; i < sockets->opens; i++) {
			const struct socket_facts *facts = &sockets->open[i];
			const struct endpoint *local = &facts->connection.local;
			bool port_is_ours = (held->port[local->port / 8] & 1U << local->port % 8) != 0;
			bool known = port_is_ours && is_held(held, &facts->connection);
			enum whose listener = known ? OURS : whose(sockets, own, local);

			if (listener == NOBODYS || !any)
				listener = port_is_ours ? OURS : OTHERS;
			if (!known && (facts->half_closed || listener == OTHERS))
				continue;
			(*in_kernel)++;
			*covered += known;
			if (!known)
				missing[missed++].connection = facts->connection;
		}
		*in_kernel -= look_again(missing, missed);
	}
	if (held != NULL)
		free(held->place);
	free(held);
	free(own);
	free(missing);
}
