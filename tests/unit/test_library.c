/* libconnlimit as a server uses it: over real connections from several addresses of 127/8. */
#include "connlimit.h"
#include "skipped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct ends {
	int client;
	int server;
};

static int listener;
static struct sockaddr_in listening;

static int listen_somewhere(void **state)
{
	socklen_t length = sizeof(listening);

	(void)state;
	listening = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&listening, sizeof(listening)), 0);
	assert_int_equal(listen(listener, 256), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&listening, &length), 0);
	return 0;
}

static int stop_listening(void **state)
{
	(void)state;
	return close(listener);
}

static struct sockaddr_in address_of(unsigned host)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host)};
}

static struct ends connect_from(unsigned host)
{
	struct sockaddr_in own = address_of(host);
	struct ends ends = {.client = socket(AF_INET, SOCK_STREAM, 0)};

	assert_int_equal(bind(ends.client, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(ends.client, (struct sockaddr *)&listening, sizeof(listening)), 0);
	ends.server = accept(listener, NULL, NULL);
	assert_true(ends.server >= 0);
	return ends;
}

static void hang_up(struct ends ends)
{
	close(ends.client);
	close(ends.server);
}

static connlimit *limiter_of(const char *per_ip)
{
	connlimit_config *config = connlimit_config_new();

	assert_int_equal(connlimit_config_set(config, "PER_IP", per_ip), 0);
	assert_int_equal(connlimit_config_set(config, "CAPACITY", "1024"), 0);
	connlimit *limiter = connlimit_open(config);
	connlimit_config_delete(config);
	assert_non_null(limiter);
	return limiter;
}

static unsigned open_from(connlimit *limiter, unsigned host)
{
	struct sockaddr_in peer = address_of(host);

	return connlimit_open_connections(limiter, (struct sockaddr *)&peer, sizeof(peer));
}

static void denies_at_the_limit_and_others_are_unaffected(void **state)
{
	connlimit *limiter = limiter_of("3");
	struct ends ends[5];
	connlimit_handle handle[5];

	(void)state;
	for (int i = 0; i < 3; i++) {
		ends[i] = connect_from(1);
		assert_int_equal(connlimit_accept(limiter, ends[i].server, &handle[i]), CONNLIMIT_ADMITTED);
	}
	ends[3] = connect_from(1);
	assert_int_equal(connlimit_accept(limiter, ends[3].server, &handle[3]), CONNLIMIT_REFUSED);
	connlimit_free(limiter, &handle[3]); /* holds nothing */
	assert_int_equal(open_from(limiter, 1), 3);
	ends[4] = connect_from(2);
	assert_int_equal(connlimit_accept(limiter, ends[4].server, &handle[4]), CONNLIMIT_ADMITTED);
	assert_int_equal(open_from(limiter, 2), 1);
	for (int i = 0; i < 5; i++) {
		hang_up(ends[i]);
		connlimit_free(limiter, &handle[i]);
	}
	assert_int_equal(open_from(limiter, 1), 0);
	assert_int_equal(open_from(limiter, 2), 0);
	connlimit_close(limiter);
}

static void frees_exactly_once(void **state)
{
	connlimit *limiter = limiter_of("2");
	struct ends one = connect_from(1);
	struct ends two = connect_from(1);
	connlimit_handle first;
	connlimit_handle second;

	(void)state;
	assert_int_equal(connlimit_accept(limiter, one.server, &first), CONNLIMIT_ADMITTED);
	assert_int_equal(connlimit_accept(limiter, two.server, &second), CONNLIMIT_ADMITTED);
	connlimit_handle copy = first;
	connlimit_free(limiter, &first);
	connlimit_free(limiter, &first);
	connlimit_free(limiter, &copy);
	assert_int_equal(open_from(limiter, 1), 1);
	connlimit_free(limiter, &second);
	assert_int_equal(open_from(limiter, 1), 0);
	hang_up(one);
	hang_up(two);
	connlimit_close(limiter);
}

static void limits_change_while_it_runs(void **state)
{
	connlimit *limiter = limiter_of("1");
	struct ends ends[3] = {connect_from(1), connect_from(1), connect_from(1)};
	connlimit_handle handle[3];
	char text[32];

	(void)state;
	assert_int_equal(connlimit_accept(limiter, ends[0].server, &handle[0]), CONNLIMIT_ADMITTED);
	assert_int_equal(connlimit_accept(limiter, ends[1].server, &handle[1]), CONNLIMIT_REFUSED);
	connlimit_config *config = connlimit_get_config(limiter);
	assert_int_equal(connlimit_config_get(config, "per-ip", text, sizeof(text)), 0);
	assert_string_equal(text, "1");
	assert_int_equal(connlimit_config_set(config, "CONNLIMIT_PER_IP", "2"), 0);
	assert_int_equal(connlimit_set_config(limiter, config), 0);
	assert_int_equal(connlimit_accept(limiter, ends[1].server, &handle[1]), CONNLIMIT_ADMITTED);
	assert_int_equal(connlimit_accept(limiter, ends[2].server, &handle[2]), CONNLIMIT_REFUSED);
	/* Lowering closes nobody, and admits nobody until the count is under. */
	assert_int_equal(connlimit_config_set(config, "per-ip", "1"), 0);
	assert_int_equal(connlimit_set_config(limiter, config), 0);
	connlimit_config_delete(config);
	assert_int_equal(open_from(limiter, 1), 2);
	hang_up(ends[0]);
	connlimit_free(limiter, &handle[0]);
	assert_int_equal(connlimit_accept(limiter, ends[2].server, &handle[2]), CONNLIMIT_REFUSED);
	hang_up(ends[1]);
	connlimit_free(limiter, &handle[1]);
	assert_int_equal(connlimit_accept(limiter, ends[2].server, &handle[2]), CONNLIMIT_ADMITTED);
	connlimit_free(limiter, &handle[2]);
	hang_up(ends[2]);
	connlimit_close(limiter);
}

static void clients_are_banned_and_unbanned(void **state)
{
	connlimit *limiter = limiter_of("1");
	struct sockaddr_in peer = address_of(2);
	const struct sockaddr *at = (const struct sockaddr *)&peer;
	connlimit_config *config = connlimit_config_new();
	connlimit_handle handle;

	(void)state;
	assert_int_equal(connlimit_banned(limiter, at, sizeof(peer)), 0);
	assert_int_equal(connlimit_ban(limiter, at, sizeof(peer), 60), 0);
	assert_in_range(connlimit_banned(limiter, at, sizeof(peer)), 30, 60);
	struct ends ends = connect_from(2);
	assert_int_equal(connlimit_accept(limiter, ends.server, &handle), CONNLIMIT_REFUSED);
	assert_int_equal(connlimit_ban(limiter, at, sizeof(peer), 0), 0);
	assert_int_equal(connlimit_banned(limiter, at, sizeof(peer)), UINT_MAX);
	assert_int_equal(connlimit_unban(limiter, at, sizeof(peer)), 0);
	assert_int_equal(connlimit_unban(limiter, at, sizeof(peer)), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(connlimit_accept(limiter, ends.server, &handle), CONNLIMIT_ADMITTED);
	assert_int_equal(connlimit_ban(limiter, at, sizeof(peer), 3600001), -1);
	assert_int_equal(errno, EINVAL);
	peer.sin_family = AF_NETLINK;
	assert_int_equal(connlimit_ban(limiter, at, sizeof(peer), 60), -1);
	assert_int_equal(errno, EAFNOSUPPORT);
	peer.sin_family = AF_INET;
	/* By itself, and never who is unlimited. */
	connlimit_config_set(config, "PER_IP", "1");
	connlimit_config_set(config, "BAN", "2/h for 1h");
	connlimit_config_set(config, "RULES", "127.0.0.3=unlimited");
	assert_int_equal(connlimit_set_config(limiter, config), 0);
	for (int i = 0; i < 2; i++) {
		struct ends more = connect_from(2);
		connlimit_handle other;
		assert_int_equal(connlimit_accept(limiter, more.server, &other), CONNLIMIT_REFUSED);
		hang_up(more);
	}
	assert_in_range(connlimit_banned(limiter, at, sizeof(peer)), 3000, 3600);
	peer = address_of(3);
	assert_int_equal(connlimit_ban(limiter, at, sizeof(peer), 60), -1);
	assert_int_equal(errno, EPERM);
	connlimit_free(limiter, &handle);
	hang_up(ends);
	connlimit_config_delete(config);
	connlimit_close(limiter);
}

static void a_bad_setting_changes_nothing_and_says_why(void **state)
{
	connlimit_config *config = connlimit_config_new();
	char text[64];

	(void)state;
	assert_int_equal(connlimit_config_set(config, "PER_IP", "5"), 0);
	assert_int_equal(connlimit_config_set(config, "PER_IP", "five"), -1);
	assert_int_equal(errno, EINVAL);
	assert_non_null(strstr(connlimit_config_error(config), "'five' is not a number; allowed"));
	assert_int_equal(connlimit_config_set(config, "PER_PI", "5"), -1);
	assert_non_null(strstr(connlimit_config_error(config), "did you mean"));
	assert_int_equal(connlimit_config_file(config, "/none"), -1);
	assert_non_null(strstr(connlimit_config_error(config), "/none: cannot be opened"));
	assert_int_equal(connlimit_config_get(config, "PER_IP", text, sizeof(text)), 0);
	assert_string_equal(text, "5");
	connlimit_config_delete(config);
}

static void lists_of_networks(void **state)
{
	char path[] = "/tmp/test_library.XXXXXX";
	char value[64];
	connlimit_config *config = connlimit_config_new();
	connlimit_handle handle;
	struct sockaddr_in peer = address_of(9);
	int file = mkstemp(path);

	(void)state;
	assert_true(file >= 0);
	assert_int_equal(write(file, "10.0.0.0/8\n127.0.0.8/31\n", 24), 24);
	close(file);
	snprintf(value, sizeof(value), "@%s=deny", path);
	assert_int_equal(connlimit_config_set(config, "RULES", value), 0);
	connlimit *limiter = connlimit_open(config);
	assert_non_null(limiter);
	peer.sin_port = htons(40000);
	assert_int_equal(connlimit_accept_address(limiter, (struct sockaddr *)&peer, sizeof(peer), NULL, 0, &handle),
			 CONNLIMIT_REFUSED);
	peer = address_of(7);
	peer.sin_port = htons(40001);
	assert_int_equal(connlimit_accept_address(limiter, (struct sockaddr *)&peer, sizeof(peer), NULL, 0, &handle),
			 CONNLIMIT_ADMITTED);
	/* It is gone: what is in force stays. */
	unlink(path);
	assert_int_equal(connlimit_set_config(limiter, config), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(connlimit_config_set(config, "RULES", value), -1);
	assert_non_null(strstr(connlimit_config_error(config), "cannot be opened"));
	peer = address_of(8);
	peer.sin_port = htons(40002);
	assert_int_equal(connlimit_accept_address(limiter, (struct sockaddr *)&peer, sizeof(peer), NULL, 0, &handle),
			 CONNLIMIT_REFUSED);
	connlimit_close(limiter);
	connlimit_config_delete(config);
}

static int accept_from(connlimit *limiter, uint8_t host, connlimit_handle *handle)
{
	struct sockaddr_in peer = address_of(host);

	peer.sin_port = htons((uint16_t)(40000 + host));
	return connlimit_accept_address(limiter, (struct sockaddr *)&peer, sizeof(peer), NULL, 0, handle);
}

static void networks_beside_clients(void **state)
{
	connlimit_config *config = connlimit_config_new();
	struct sockaddr_in peer = address_of(200);
	connlimit_handle handle[3];
	char text[64];

	(void)state;
	assert_int_equal(connlimit_config_set(config, "PER_NETWORK", "2"), 0);
	assert_int_equal(connlimit_config_get(config, "network-ipv4-prefix", text, sizeof(text)), 0);
	assert_string_equal(text, "24");
	connlimit *limiter = connlimit_open(config);
	assert_non_null(limiter);
	assert_int_equal(accept_from(limiter, 7, &handle[0]), CONNLIMIT_ADMITTED);
	assert_int_equal(accept_from(limiter, 8, &handle[1]), CONNLIMIT_ADMITTED);
	assert_int_equal(accept_from(limiter, 9, &handle[2]), CONNLIMIT_REFUSED);
	assert_int_equal(connlimit_open_connections_of_network(limiter, (struct sockaddr *)&peer, sizeof(peer)), 2);
	assert_int_equal(connlimit_open_connections(limiter, (struct sockaddr *)&peer, sizeof(peer)), 0);
	connlimit_free(limiter, &handle[0]);
	assert_int_equal(connlimit_open_connections_of_network(limiter, (struct sockaddr *)&peer, sizeof(peer)), 1);
	assert_int_equal(accept_from(limiter, 9, &handle[2]), CONNLIMIT_ADMITTED);
	/* What does not fit together neither begins nor replaces what does. */
	assert_int_equal(connlimit_config_set(config, "IPV4_PREFIX", "16"), 0);
	assert_int_equal(connlimit_set_config(limiter, config), -1);
	assert_int_equal(errno, EINVAL);
	assert_null(connlimit_open(config));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(accept_from(limiter, 10, &handle[0]), CONNLIMIT_REFUSED);
	connlimit_close(limiter);
	connlimit_config_delete(config);
}

static void addresses_alone_are_enough(void **state)
{
	connlimit *limiter = limiter_of("2");
	struct sockaddr_in peer = address_of(7);
	connlimit_handle handle[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		peer.sin_port = htons((in_port_t)(40000 + i));
		assert_int_equal(connlimit_accept_address(limiter, (struct sockaddr *)&peer, sizeof(peer), NULL, 0, &handle[i]),
				 i < 2 ? CONNLIMIT_ADMITTED : CONNLIMIT_REFUSED);
	}
	assert_int_equal(open_from(limiter, 7), 2);
	/* A server's own test may leave the ports out as well. */
	peer = address_of(8);
	for (int i = 0; i < 3; i++)
		assert_int_equal(connlimit_accept_address(limiter, (struct sockaddr *)&peer, sizeof(peer), NULL, 0, &handle[i]),
				 i < 2 ? CONNLIMIT_ADMITTED : CONNLIMIT_REFUSED);
	/* The kernel knows none of them, and they stay: nothing can be concluded of a connection of which one end is known. */
	struct ends ends = connect_from(7);
	assert_int_equal(connlimit_accept(limiter, ends.server, &handle[2]), CONNLIMIT_REFUSED);
	assert_int_equal(open_from(limiter, 7), 2);
	connlimit_free(limiter, &handle[0]);
	connlimit_free(limiter, &handle[1]);
	assert_int_equal(open_from(limiter, 8), 0);
	hang_up(ends);
	connlimit_close(limiter);
}

static void local_users_have_their_own_limit(void **state)
{
	connlimit_config *config = connlimit_config_new();
	connlimit_handle handle[3];
	int pair[3][2];
	int netlink = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);

	(void)state;
	if (netlink < 0)
		skip(); /* qemu's user mode has none, and /proc does not tell of single Unix connections */
	close(netlink);
	connlimit_config_set(config, "per-ip", "1");
	connlimit_config_set(config, "capacity", "64");
	connlimit *limiter = connlimit_open(config);
	for (int i = 0; i < 3; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]), 0);
	assert_int_equal(connlimit_accept(limiter, pair[0][0], &handle[0]), CONNLIMIT_UNCOUNTED);
	connlimit_config_set(config, "per-uid", "2");
	assert_int_equal(connlimit_set_config(limiter, config), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(connlimit_accept(limiter, pair[i][0], &handle[i]),
				 i < 2 ? CONNLIMIT_ADMITTED : CONNLIMIT_REFUSED);
	assert_int_equal(connlimit_open_connections_of_user(limiter, geteuid()), 2);
	assert_int_equal(connlimit_open_connections_of_user(limiter, geteuid() + 1), 0);
	/* One that was closed and not freed refuses nobody. */
	close(pair[0][0]);
	int verdict = CONNLIMIT_REFUSED;
	for (int i = 0; i < 5000 && verdict == CONNLIMIT_REFUSED; i++) {
		verdict = connlimit_accept(limiter, pair[2][0], &handle[2]);
		usleep(1000); /* the kernel is not asked again at once */
	}
	assert_int_equal(verdict, CONNLIMIT_ADMITTED);
	connlimit_free(limiter, &handle[1]);
	connlimit_free(limiter, &handle[2]);
	assert_int_equal(connlimit_open_connections_of_user(limiter, geteuid()), 0);
	for (int i = 0; i < 3; i++) {
		if (i > 0)
			close(pair[i][0]);
		close(pair[i][1]);
	}
	connlimit_config_delete(config);
	connlimit_close(limiter);
}

enum { SETTERS = 4, SETS = 200 };

static _Atomic bool all_set;

/* Each thread sets numbers of its own, always two that belong together. */
static void *set_often(void *with)
{
	static _Atomic int next = 1;
	connlimit_config *config = connlimit_config_new();
	uintptr_t failed = 0;
	char text[32];

	for (int i = 0; i < SETS; i++) {
		int number = next++;
		snprintf(text, sizeof(text), "%d", number);
		failed += connlimit_config_set(config, "PER_IP", text) != 0;
		snprintf(text, sizeof(text), "192.0.2.1=%d", number);
		failed += connlimit_config_set(config, "RULES", text) != 0;
		while (connlimit_set_config(with, config) != 0)
			assert_int_equal(errno, EAGAIN);
	}
	connlimit_config_delete(config);
	return (void *)failed; // NOLINT(performance-no-int-to-ptr)
}

static void *get_often(void *with)
{
	char per_ip[16];
	char rules[64];
	uintptr_t mixed = 0;

	while (!all_set) {
		connlimit_config *config = connlimit_get_config(with);
		if (config == NULL)
			continue;
		connlimit_config_get(config, "PER_IP", per_ip, sizeof(per_ip));
		connlimit_config_get(config, "RULES", rules, sizeof(rules));
		mixed += rules[0] != '\0' && strcmp(strchr(rules, '=') + 1, per_ip) != 0;
		connlimit_config_delete(config);
	}
	return (void *)mixed; // NOLINT(performance-no-int-to-ptr)
}

static void a_config_is_set_and_got_whole_from_many_threads(void **state)
{
	connlimit *limiter = limiter_of("1");
	pthread_t setter[SETTERS];
	pthread_t getter;
	void *wrong;

	(void)state;
	pthread_create(&getter, NULL, get_often, limiter);
	for (int i = 0; i < SETTERS; i++)
		pthread_create(&setter[i], NULL, set_often, limiter);
	for (int i = 0; i < SETTERS; i++) {
		pthread_join(setter[i], &wrong);
		assert_null(wrong);
	}
	all_set = true;
	pthread_join(getter, &wrong);
	assert_null(wrong);
	connlimit_close(limiter);
}

static void an_error_leaks_nothing(void **state)
{
	connlimit *limiter = limiter_of("1");
	struct sockaddr nowhere = {.sa_family = AF_UNIX};
	connlimit_handle handle;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(connlimit_accept(limiter, -1, &handle), -1);
		assert_int_equal(errno, EBADF);
		assert_true(handle.held == 0);
		assert_int_equal(connlimit_accept(limiter, listener, &handle), -1);
		assert_int_equal(errno, ENOTCONN);
		assert_int_equal(connlimit_accept_address(limiter, &nowhere, sizeof(nowhere), NULL, 0, &handle), -1);
		assert_int_equal(errno, EAFNOSUPPORT);
	}
	struct ends ends = connect_from(1);
	assert_int_equal(connlimit_accept(limiter, ends.server, &handle), CONNLIMIT_ADMITTED);
	connlimit_free(limiter, &handle);
	hang_up(ends);
	connlimit_close(limiter);
}

/* What was not freed counts: a server may be at work for a client that has hung up. It ends with the process. */
static void what_a_process_forgot_to_free_ends_with_it(void **state)
{
	connlimit *limiter = limiter_of("2");
	connlimit_handle handle;
	int status;

	(void)state;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 2; i++) {
			struct ends ends = connect_from(1);
			if (connlimit_accept(limiter, ends.server, &handle) != CONNLIMIT_ADMITTED)
				_exit(1);
			hang_up(ends);
		}
		struct ends more = connect_from(1);
		_exit(connlimit_accept(limiter, more.server, &handle) == CONNLIMIT_REFUSED ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	struct ends ends = connect_from(1);
	assert_int_equal(connlimit_accept(limiter, ends.server, &handle), CONNLIMIT_ADMITTED);
	hang_up(ends);
	connlimit_free(limiter, &handle);
	connlimit_close(limiter);
}

static void processes_share_one_by_name(void **state)
{
	connlimit_config *config = connlimit_config_new();
	connlimit_handle handle;
	char name[32];
	int status;

	(void)state;
	snprintf(name, sizeof(name), "library-%d", (int)getpid());
	connlimit_config_set(config, "TABLE", name);
	connlimit_config_set(config, "PER_IP", "1");
	connlimit_config_set(config, "CAPACITY", "64");
	connlimit *limiter = connlimit_open(config);
	assert_non_null(limiter);
	struct ends ends = connect_from(1);
	assert_int_equal(connlimit_accept(limiter, ends.server, &handle), CONNLIMIT_ADMITTED);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		connlimit_config_set(config, "PER_IP", "9"); /* not the maker: the limits are there already */
		connlimit *other = connlimit_open(config);
		struct ends more = connect_from(1);
		_exit(other == NULL || connlimit_accept(other, more.server, &handle) != CONNLIMIT_REFUSED ||
		      open_from(other, 1) != 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	connlimit_config_delete(config);
	hang_up(ends);
	connlimit_free(limiter, &handle);
	connlimit_close(limiter);
}

/* A child made while a connection is held has the same handle: whoever frees it, it counts down once. */
static void a_forked_child_shares_the_handle(void **state)
{
	connlimit *limiter = limiter_of("1");
	struct ends ends = connect_from(1);
	connlimit_handle handle;
	connlimit_handle other;
	int status;

	(void)state;
	assert_int_equal(connlimit_accept(limiter, ends.server, &handle), CONNLIMIT_ADMITTED);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		struct ends more = connect_from(1);
		bool refused = connlimit_accept(limiter, more.server, &other) == CONNLIMIT_REFUSED;
		hang_up(ends);
		hang_up(more);
		connlimit_free(limiter, &handle);
		_exit(refused && open_from(limiter, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	struct ends next = connect_from(1);
	assert_int_equal(connlimit_accept(limiter, next.server, &other), CONNLIMIT_ADMITTED);
	hang_up(ends);
	connlimit_free(limiter, &handle);
	assert_int_equal(open_from(limiter, 1), 1);
	connlimit_free(limiter, &other);
	hang_up(next);
	connlimit_close(limiter);
}

/* What a thread remembers of one limiter's table must not lead it astray in another's. */
static void two_limiters_in_one_thread_are_apart(void **state)
{
	enum { MANY = 200 };
	static struct ends ends[MANY];
	static connlimit_handle handle[MANY];
	connlimit *large = limiter_of("0");
	connlimit *small = limiter_of("2");
	struct ends few[3] = {connect_from(1), connect_from(1), connect_from(1)};
	connlimit_handle kept[3];

	(void)state;
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < MANY; i++) {
			if (round == 0)
				ends[i] = connect_from(2);
			assert_int_equal(connlimit_accept(large, ends[i].server, &handle[i]), CONNLIMIT_ADMITTED);
		}
		/* Each of the small one's is preceded by a release in the large one, at a place of its own. */
		for (int i = 0; i < 3; i++) {
			connlimit_free(large, &handle[MANY - 1 - (round * 23 + i * 7) % MANY]);
			assert_int_equal(connlimit_accept(small, few[i].server, &kept[i]),
					 i < 2 ? CONNLIMIT_ADMITTED : CONNLIMIT_REFUSED);
		}
		for (int i = 0; i < MANY; i++)
			connlimit_free(large, &handle[i]);
		for (int i = 0; i < 3; i++)
			connlimit_free(small, &kept[i]);
		assert_int_equal(open_from(small, 1), 0);
	}
	for (int i = 0; i < MANY; i++)
		hang_up(ends[i]);
	for (int i = 0; i < 3; i++)
		hang_up(few[i]);
	connlimit_close(large);
	connlimit_close(small);
}

enum { THREADS = 8, ROUNDS = 300, HOSTS = 3, LIMIT = 4 };

struct fuzz {
	connlimit *limiter;
	unsigned seed;
};

static _Atomic int open_now[HOSTS + 1];
static _Atomic int over;
static _Atomic int admitted;
static pthread_mutex_t connecting = PTHREAD_MUTEX_INITIALIZER;

static void *fuzz(void *with)
{
	struct fuzz *own = with;
	struct ends held[8];
	connlimit_handle handle[8];
	unsigned host[8];
	int number = 0;

	for (int i = 0; i < ROUNDS || number > 0; i++) {
		if (i < ROUNDS && number < 8 && rand_r(&own->seed) % 2 == 0) {
			host[number] = 1 + (unsigned)rand_r(&own->seed) % HOSTS;
			pthread_mutex_lock(&connecting); /* connect and accept of one connection belong together */
			held[number] = connect_from(host[number]);
			pthread_mutex_unlock(&connecting);
			if (connlimit_accept(own->limiter, held[number].server, &handle[number]) != CONNLIMIT_ADMITTED) {
				hang_up(held[number]);
				continue;
			}
			admitted++;
			if (atomic_fetch_add(&open_now[host[number]], 1) >= LIMIT)
				over++;
			number++;
		} else if (number > 0) {
			number--;
			open_now[host[number]]--;
			hang_up(held[number]);
			connlimit_free(own->limiter, &handle[number]);
		}
	}
	return NULL;
}

static void never_over_the_limit_from_many_threads(void **state)
{
	connlimit *limiter = limiter_of("4");
	pthread_t thread[THREADS];
	struct fuzz own[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		own[i] = (struct fuzz){.limiter = limiter, .seed = i + 1};
		pthread_create(&thread[i], NULL, fuzz, &own[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(over, 0);
	assert_true(admitted > ROUNDS);
	for (unsigned host = 1; host <= HOSTS; host++)
		assert_int_equal(open_from(limiter, host), 0);
	connlimit_close(limiter);
}

static void own_answer(int fd, void *with)
{
	*(int *)with += 1;
	close(fd);
}

static void an_http_client_over_the_limit_gets_429_or_the_servers_own_answer(void **state)
{
	connlimit *limiter = limiter_of("1");
	struct ends ends[3] = {connect_from(1), connect_from(1), connect_from(1)};
	connlimit_handle handle[3];
	char answer[512] = "";
	int called = 0;

	(void)state;
	assert_int_equal(connlimit_http_state(limiter, ends[0].server, CONNLIMIT_HTTP_NEW, &handle[0], NULL, NULL),
			 CONNLIMIT_ADMITTED);
	send(ends[1].client, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
	assert_int_equal(connlimit_http_state(limiter, ends[1].server, CONNLIMIT_HTTP_NEW, &handle[1], NULL, NULL),
			 CONNLIMIT_REFUSED);
	assert_true(recv(ends[1].client, answer, sizeof(answer) - 1, 0) > 0);
	assert_non_null(strstr(answer, "HTTP/1.1 429 Too Many Requests\r\n"));
	assert_int_equal(recv(ends[1].client, answer, sizeof(answer), 0), 0);
	assert_int_equal(connlimit_http_state(limiter, ends[2].server, CONNLIMIT_HTTP_NEW, &handle[2], own_answer, &called),
			 CONNLIMIT_REFUSED);
	assert_int_equal(called, 1);
	hang_up(ends[0]);
	connlimit_http_state(limiter, -1, CONNLIMIT_HTTP_CLOSED, &handle[0], NULL, NULL);
	connlimit_http_state(limiter, -1, CONNLIMIT_HTTP_CLOSED, &handle[0], NULL, NULL);
	assert_int_equal(open_from(limiter, 1), 0);
	struct ends upgraded = connect_from(1);
	assert_int_equal(connlimit_http_state(limiter, upgraded.server, CONNLIMIT_HTTP_NEW, &handle[0], NULL, NULL),
			 CONNLIMIT_ADMITTED);
	connlimit_http_state(limiter, upgraded.server, CONNLIMIT_HTTP_HIJACKED, &handle[0], NULL, NULL);
	assert_int_equal(open_from(limiter, 1), 0);
	hang_up(upgraded);
	close(ends[1].client);
	close(ends[2].client);
	connlimit_close(limiter);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, listen_somewhere, stop_listening)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(denies_at_the_limit_and_others_are_unaffected),
	    TEST(frees_exactly_once),
	    TEST(limits_change_while_it_runs),
	    TEST(clients_are_banned_and_unbanned),
	    TEST(a_bad_setting_changes_nothing_and_says_why),
	    TEST(lists_of_networks),
	    TEST(networks_beside_clients),
	    TEST(addresses_alone_are_enough),
	    TEST(local_users_have_their_own_limit),
	    TEST(a_config_is_set_and_got_whole_from_many_threads),
	    TEST(an_error_leaks_nothing),
	    TEST(what_a_process_forgot_to_free_ends_with_it),
	    TEST(processes_share_one_by_name),
	    TEST(a_forked_child_shares_the_handle),
	    TEST(two_limiters_in_one_thread_are_apart),
	    TEST(never_over_the_limit_from_many_threads),
	    TEST(an_http_client_over_the_limit_gets_429_or_the_servers_own_answer),
	};
	return cmocka_run_group_tests_name("library", tests, NULL, NULL);
}
