#include "command/sockets.h"

#include "kernel/kernel.h"
#include "values/clock.h"
#include "values/fingerprint.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM = 1 << 16 };

static bool add(struct socket_facts **list, size_t *number, const struct socket_facts *facts)
{
	/* The capacity doubles when the number reaches a power of two, from 64 on. */
	if (*number == 0 || (*number >= 64 && (*number & (*number - 1)) == 0)) {
		struct socket_facts *larger = realloc(*list, (*number == 0 ? 64 : *number * 2) * sizeof(*larger));

		if (larger == NULL)
			return false;
		*list = larger;
	}
	(*list)[(*number)++] = *facts;
	return true;
}

static bool take(const struct listed_socket *listed, void *with)
{
	struct sockets *sockets = with;
	unsigned state = listed->state;
	struct socket_facts facts = {
	    .connection = {.peer = {.address = listed->peer.address, .port = listed->peer.port},
			   .local = {.address = listed->local.address, .port = listed->local.port}},
	    .inode = listed->identity.inode,
	    .ipv4 = listed->family == AF_INET,
	    .half_closed = state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK,
	};

	if (facts.inode == 0)
		return true;
	return state == TCP_LISTEN ? add(&sockets->listener, &sockets->listeners, &facts)
				   : add(&sockets->open, &sockets->opens, &facts);
}

static bool read_family(struct sockets *sockets, int family, char *buffer)
{
	const unsigned states = 1U << TCP_LISTEN | 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT | 1U << TCP_FIN_WAIT1 |
				1U << TCP_FIN_WAIT2 | 1U << TCP_LAST_ACK | 1U << TCP_CLOSING;

	return kernel_list(family, states, 0, buffer, DATAGRAM, take, sockets);
}

bool sockets_read(struct sockets *sockets)
{
	char *buffer = malloc(DATAGRAM);

	*sockets = (struct sockets){0};
	bool good = buffer != NULL && read_family(sockets, AF_INET, buffer);
	/* A kernel without IPv6 has no such sockets. */
	if (good && !read_family(sockets, AF_INET6, buffer) && access("/proc/net/tcp6", F_OK) == 0)
		good = false;
	free(buffer);
	if (!good)
		sockets_free(sockets);
	return good;
}

void sockets_free(struct sockets *sockets)
{
	free(sockets->listener);
	free(sockets->open);
	*sockets = (struct sockets){0};
}

uint64_t connection_hash(const struct connection *connection)
{
	static uint64_t key[2];
	uint64_t words[2];

	if (key[0] == 0 && (getentropy(key, sizeof(key)) != 0 || key[0] == 0))
		key[0] = clock_us();
	memcpy(words, connection->peer.address.bytes, sizeof(words));
	return fingerprint(key, fingerprint(key, words[0], words[1], 0),
			   (uint64_t)connection->peer.port << 16 | connection->local.port, 1);
}

static size_t place_of(const struct socket_index *index, const struct connection *connection)
{
	return connection_hash(connection) & (index->places - 1);
}

bool sockets_index(struct socket_index *index, const struct sockets *sockets)
{
	*index = (struct socket_index){.sockets = sockets, .places = 64};
	while (index->places < 2 * sockets->opens)
		index->places *= 2;
	index->place = calloc(index->places, sizeof(*index->place));
	for (size_t i = 0; i < sockets->opens && index->place != NULL; i++) {
		size_t at = place_of(index, &sockets->open[i].connection);
		while (index->place[at] != 0)
			at = (at + 1) & (index->places - 1);
		index->place[at] = (uint32_t)i + 1;
	}
	return index->place != NULL;
}

void sockets_index_free(struct socket_index *index)
{
	free(index->place);
	index->place = NULL;
}

const struct socket_facts *sockets_find(const struct socket_index *index, const struct connection *connection)
{
	for (size_t at = place_of(index, connection); index->place[at] != 0; at = (at + 1) & (index->places - 1)) {
		const struct socket_facts *facts = &index->sockets->open[index->place[at] - 1];

		if (!endpoint_same(&facts->connection.peer, &connection->peer))
			continue;
		if (connection_lacks_address(connection) ? facts->connection.local.port == connection->local.port
							 : endpoint_same(&facts->connection.local, &connection->local))
			return facts;
	}
	return NULL;
}
