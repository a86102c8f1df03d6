/* The public library: connlimit.h over the table. */
#include "connlimit.h"

#include "decisions/regroup.h"
#include "kernel/kernel.h"
#include "settings/lists.h"
#include "table/balancer.h"
#include "table/bans.h"
#include "table/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct connlimit_config {
	struct settings settings;
	struct settings_error error;
};

struct connlimit {
	struct table table;
};

/* ---- configuration ---- */

connlimit_config *connlimit_config_new(void)
{
	/* Zeros: what is not in use is copied into shared memory as well. */
	connlimit_config *config = calloc(1, sizeof(*config));

	if (config != NULL)
		settings_default(&config->settings);
	return config;
}

void connlimit_config_delete(connlimit_config *config)
{
	free(config);
}

/* Reads the lists of a configuration. NULL if it has none, or on error. */
static struct rules_index *read_lists(const struct settings *settings, struct settings_error *error, bool *good)
{
	*good = settings->lists == 0;
	if (*good)
		return NULL;
	struct rules_index *listed = malloc(sizeof(*listed));
	char *buffer = malloc(LISTS_ROOM);
	if (listed == NULL || buffer == NULL)
		memcpy(error->text, "out of memory", sizeof("out of memory"));
	else
		*good = lists_read(settings, listed, buffer, error);
	free(buffer);
	if (*good)
		return listed;
	free(listed);
	errno = EINVAL;
	return NULL;
}

/* Only checks them: they are read again when the configuration is put in force. */
static bool lists_are_good(connlimit_config *config)
{
	bool good;

	free(read_lists(&config->settings, &config->error, &good));
	return good;
}

int connlimit_config_set(connlimit_config *config, const char *name, const char *value)
{
	enum setting_id id = settings_find(name, strlen(name), &config->error);

	if (id != SETTINGS && settings_set(&config->settings, id, value, strlen(value), FROM_OPTION, &config->error) &&
	    lists_are_good(config))
		return 0;
	errno = EINVAL;
	return -1;
}

int connlimit_config_file(connlimit_config *config, const char *path)
{
	struct settings *work = malloc(sizeof(*work));
	char *buffer = malloc(SETTINGS_FILE_ROOM);
	bool good = false;

	if (work == NULL || buffer == NULL)
		memcpy(config->error.text, "out of memory", sizeof("out of memory"));
	else
		good = settings_from_file(&config->settings, work, buffer, path, &config->error);
	free(work);
	free(buffer);
	if (good && lists_are_good(config))
		return 0;
	errno = EINVAL;
	return -1;
}

int connlimit_config_get(const connlimit_config *config, const char *name, char *text, size_t size)
{
	struct settings_error error;
	enum setting_id id = settings_find(name, strlen(name), &error);

	if (id == SETTINGS || size == 0) {
		errno = EINVAL;
		return -1;
	}
	settings_format(text, size, &config->settings, id);
	return 0;
}

const char *connlimit_config_error(const connlimit_config *config)
{
	return config->error.text;
}

/* ---- limiter ---- */

connlimit *connlimit_open(const connlimit_config *config)
{
	connlimit_config *standard = config == NULL ? connlimit_config_new() : NULL;
	connlimit *limiter = malloc(sizeof(*limiter));
	bool opened = false;

	if (config == NULL)
		config = standard;
	struct settings_error error;
	struct rules_index *listed = NULL;
	bool good = config == NULL || settings_agree(&config->settings, &error);
	if (good && config != NULL)
		listed = read_lists(&config->settings, &error, &good);
	if (!good) {
		free(limiter);
		errno = EINVAL;
		return NULL;
	}
	if (limiter != NULL && config != NULL) {
		const struct settings *settings = &config->settings;
		bool made = false;

		opened = settings->table[0] != '\0'
			     ? table_open_listed(&limiter->table, settings->table, settings, listed, &made)
			     : table_open_anonymous_listed(&limiter->table, "", settings, listed);
		if (opened && made)
			limits_keep_start(&limiter->table, settings);
	} else {
		errno = ENOMEM;
	}
	int kept = errno;
	free(standard);
	free(listed);
	if (opened)
		return limiter;
	free(limiter);
	errno = kept;
	return NULL;
}

void connlimit_close(connlimit *limiter)
{
	if (limiter == NULL)
		return;
	table_leave(&limiter->table);
	free(limiter);
}

int connlimit_set_config(connlimit *limiter, const connlimit_config *config)
{
	/* The turn is taken first: if two threads call this at once, the later one wins. */
	uint64_t turn = limits_turn(&limiter->table);
	connlimit_config *whole = connlimit_get_config(limiter);

	if (whole == NULL)
		return -1;
	/* What is fixed at the start is taken from the limits in force, the rest from the caller. */
	connlimit_config *wanted = malloc(sizeof(*wanted));
	if (wanted == NULL) {
		free(whole);
		return -1;
	}
	settings_copy(&wanted->settings, &config->settings);
	memcpy(wanted->settings.file, whole->settings.file, sizeof(wanted->settings.file));
	memcpy(wanted->settings.table, whole->settings.table, sizeof(wanted->settings.table));
	wanted->settings.capacity = whole->settings.capacity;
	wanted->settings.signal = whole->settings.signal;
	free(whole);
	bool good = settings_agree(&wanted->settings, &wanted->error);
	struct rules_index *listed = good ? read_lists(&wanted->settings, &wanted->error, &good) : NULL;
	bool published = good && regroup_publish_listed(&limiter->table, turn, &wanted->settings, listed);
	free(listed);
	free(wanted);
	if (published)
		return 0;
	errno = good ? EAGAIN : EINVAL;
	return -1;
}

connlimit_config *connlimit_get_config(connlimit *limiter)
{
	connlimit_config *config = connlimit_config_new();

	if (config == NULL)
		return NULL;
	if (limits_copy(&limiter->table, &config->settings))
		return config;
	free(config);
	errno = EAGAIN;
	return NULL;
}

/* ---- connections ---- */

static int decide(connlimit *limiter, const struct connection *connection, connlimit_handle *handle)
{
	reference held;
	int kept = errno;
	enum verdict verdict = table_admit(&limiter->table, connection, &held);

	errno = kept;
	handle->held = held;
	return verdict == VERDICT_ADMITTED  ? CONNLIMIT_ADMITTED
	       : verdict == VERDICT_REFUSED ? CONNLIMIT_REFUSED
					    : CONNLIMIT_UNCOUNTED;
}

static int decide_unix(connlimit *limiter, int fd, connlimit_handle *handle)
{
	struct connection connection;
	struct limits limits;

	limits_read(&limiter->table, &limits);
	if (limits.per_uid == LIMIT_NONE || !kernel_unix_connection(&connection, fd))
		return CONNLIMIT_UNCOUNTED;
	return decide(limiter, &connection, handle);
}

/* A forked child uses the limiter under its own pid. */
static void note_pid(connlimit *limiter)
{
	uint32_t pid = (uint32_t)getpid();

	if (__atomic_load_n(&limiter->table.pid, __ATOMIC_RELAXED) != pid)
		__atomic_store_n(&limiter->table.pid, pid, __ATOMIC_RELAXED);
}

int connlimit_accept(connlimit *limiter, int fd, connlimit_handle *handle)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	struct connection connection = {0};
	struct address client;

	handle->held = 0;
	address.ss_family = AF_UNSPEC;
	note_pid(limiter);
	if (getpeername(fd, (struct sockaddr *)&address, &length) != 0)
		return -1;
	if (address.ss_family == AF_UNIX)
		return decide_unix(limiter, fd, handle);
	if (!endpoint_from_sockaddr(&connection.peer, (struct sockaddr *)&address, length))
		return CONNLIMIT_UNCOUNTED;
	if (clients_are_named(&limiter->table))
		balancer_ask(&limiter->table, &connection, &client, fd);
	length = sizeof(address);
	if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
		return -1;
	if (!endpoint_from_sockaddr(&connection.local, (struct sockaddr *)&address, length))
		return CONNLIMIT_UNCOUNTED;
	kernel_know(&connection, fd);
	return decide(limiter, &connection, handle);
}

int connlimit_accept_address(connlimit *limiter, const struct sockaddr *peer, socklen_t peer_length,
			     const struct sockaddr *local, socklen_t local_length, connlimit_handle *handle)
{
	struct connection connection = {0};

	handle->held = 0;
	note_pid(limiter);
	if (!endpoint_from_sockaddr(&connection.peer, peer, peer_length) ||
	    (local != NULL && !endpoint_from_sockaddr(&connection.local, local, local_length))) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return decide(limiter, &connection, handle);
}

void connlimit_free(connlimit *limiter, connlimit_handle *handle)
{
	uint64_t held = __atomic_exchange_n(&handle->held, 0, __ATOMIC_ACQ_REL);
	int kept = errno;

	if (held != 0)
		table_release(&limiter->table, held);
	errno = kept;
}

unsigned connlimit_open_connections(connlimit *limiter, const struct sockaddr *peer, socklen_t length)
{
	struct endpoint endpoint;

	return endpoint_from_sockaddr(&endpoint, peer, length) ? table_count(&limiter->table, &endpoint.address) : 0;
}

unsigned connlimit_open_connections_of_network(connlimit *limiter, const struct sockaddr *peer, socklen_t length)
{
	struct endpoint endpoint;

	return endpoint_from_sockaddr(&endpoint, peer, length) ? table_count_network(&limiter->table, &endpoint.address) : 0;
}

unsigned connlimit_open_connections_of_user(connlimit *limiter, uid_t user)
{
	return table_count_user(&limiter->table, user);
}

/* ---- bans ---- */

static bool client_of(const connlimit *limiter, const struct sockaddr *peer, socklen_t length, struct network *client)
{
	struct endpoint endpoint;
	struct limits limits;

	if (!endpoint_from_sockaddr(&endpoint, peer, length))
		return false;
	limits_read(&limiter->table, &limits);
	*client = limits_client(&limits, &endpoint.address);
	return true;
}

int connlimit_ban(connlimit *limiter, const struct sockaddr *peer, socklen_t length, unsigned seconds)
{
	struct endpoint endpoint;

	if (!endpoint_from_sockaddr(&endpoint, peer, length)) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	if (seconds > BAN_MOST) {
		errno = EINVAL;
		return -1;
	}
	switch (ban_address(&limiter->table, &endpoint.address, seconds != 0 ? seconds : BAN_FOREVER)) {
	case BAN_BEGUN: return 0;
	case BAN_EXEMPT: errno = EPERM; return -1;
	default: errno = ENOSPC; return -1;
	}
}

int connlimit_unban(connlimit *limiter, const struct sockaddr *peer, socklen_t length)
{
	struct network client;

	if (!client_of(limiter, peer, length, &client)) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	if (ban_end(&limiter->table, &client))
		return 0;
	errno = ENOENT;
	return -1;
}

unsigned connlimit_banned(connlimit *limiter, const struct sockaddr *peer, socklen_t length)
{
	struct network client;

	return client_of(limiter, peer, length, &client) ? ban_of(&limiter->table, &client) : 0;
}

/* ---- HTTP ---- */

void connlimit_answer_429(int fd, void *with)
{
	static const char answer[] =
	    "HTTP/1.1 429 Too Many Requests\r\n"
	    "Content-Type: text/plain\r\n"
	    "Content-Length: 18\r\n"
	    "Retry-After: 1\r\n"
	    "Connection: close\r\n"
	    "\r\n"
	    "Too Many Requests\n";
	char away[4096];

	(void)with;
	for (int i = 0; i < 16 && recv(fd, away, sizeof(away), MSG_DONTWAIT) > 0; i++)
		;
	send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 16 && recv(fd, away, sizeof(away), MSG_DONTWAIT) > 0; i++)
		;
	close(fd);
}

int connlimit_http_state(connlimit *limiter, int fd, enum connlimit_http_state state, connlimit_handle *handle,
			 connlimit_refused *refused, void *with)
{
	if (state != CONNLIMIT_HTTP_NEW) {
		connlimit_free(limiter, handle);
		return CONNLIMIT_ADMITTED;
	}
	int verdict = connlimit_accept(limiter, fd, handle);
	if (verdict == CONNLIMIT_REFUSED)
		(refused != NULL ? refused : connlimit_answer_429)(fd, with);
	return verdict;
}
