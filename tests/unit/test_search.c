/* A full total of 40 000 connections, of which one is gone and nobody was told: whoever comes next is admitted, and has not
 * waited for it. */
#include "apart.h"
#include "decisions/check.h"
#include "decisions/pace.h"
#include "kernel/kernel.h"
#include "table/table.h"
#include "values/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOLDERS = 5, EACH = 8000, WITHIN_US = 100000 };

struct one {
	int client;
	int server;
	reference held;
};

static struct settings settings;
static struct table table;
static struct sockaddr_in address;
static int listener;

static enum verdict arrive(struct one *one, uint32_t host)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + host)};
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	struct connection connection = {0};
	struct linger at_once = {.l_onoff = 1}; /* no TIME_WAIT, which others' searches would go over */

	one->client = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(one->client >= 0);
	setsockopt(one->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	assert_int_equal(bind(one->client, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(one->client, (struct sockaddr *)&address, sizeof(address)), 0);
	one->server = accept(listener, (struct sockaddr *)&peer, &length);
	assert_true(one->server >= 0);
	assert_true(endpoint_from_sockaddr(&connection.peer, (struct sockaddr *)&peer, length));
	assert_true(endpoint_from_sockaddr(&connection.local, (struct sockaddr *)&address, sizeof(address)));
	kernel_know(&connection, one->server);
	return table_admit(&table, &connection, &one->held);
}

static void leave(const struct one *one)
{
	close(one->client);
	close(one->server);
}

static void hear(int reports)
{
	char word;

	assert_int_equal(read(reports, &word, 1), 1);
}

/* Opens its part of all, says so, and ends those that it is told to. */
static void hold(int part, int orders, int reports)
{
	static struct one all[EACH];
	uint32_t which;

	for (uint32_t i = 0; i < EACH; i++)
		if (arrive(&all[i], (uint32_t)part * EACH + i) != VERDICT_ADMITTED)
			_exit(1);
	/* As if it were passed on: while a process that is known to hold it lives, none is gone. */
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		atomic_store(&table.record[slot].holder, 0);
	do {
		if (write(reports, "+", 1) != 1)
			_exit(1);
	} while (read(orders, &which, sizeof(which)) == sizeof(which) && which < EACH && (leave(&all[which]), true));
	_exit(0);
}

static void start(pid_t holder[HOLDERS], int orders[HOLDERS], int reports[HOLDERS])
{
	for (int part = 0; part < HOLDERS; part++) {
		int to[2];
		int from[2];

		assert_int_equal(pipe(to), 0);
		assert_int_equal(pipe(from), 0);
		holder[part] = fork();
		if (holder[part] == 0) {
			close(to[1]);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			hold(part, to[0], from[1]);
		}
		close(to[0]);
		close(from[1]);
		orders[part] = to[1];
		reports[part] = from[0];
		hear(reports[part]);
	}
}

/* Refused, and admitted once one of all is gone. */
static bool admits_for(uint32_t which, int orders, int reports)
{
	struct one further;
	char word;

	uint64_t began = clock_cpu_us();
	if (arrive(&further, 77777) != VERDICT_REFUSED)
		return false;
	uint64_t refused = clock_cpu_us() - began;
	leave(&further);
	if (write(orders, &which, sizeof(which)) != sizeof(which) || read(reports, &word, 1) != 1)
		return false;
	if (kernel_way() != KERNEL_SOCK_DIAG)
		pace_forgive(&table.header->search_pace); /* by /proc it takes some times as long */
	/* Of its own time: what others make it wait for is not the search's. */
	began = clock_cpu_us();
	if (arrive(&further, 77777) != VERDICT_ADMITTED)
		return false;
	uint64_t admitted = clock_cpu_us() - began;
	print_message("# refused after %lu us, admitted after %lu us\n", (unsigned long)refused, (unsigned long)admitted);
	/* It takes WITHIN_US on a machine of its own; a busy one's caches may take some times as long. */
	return kernel_way() != KERNEL_SOCK_DIAG || admitted < 4 * WITHIN_US;
}

/* In a process of its own, which has not searched yet, and then holds what it was admitted with. */
static pid_t decide(uint32_t which, int orders, int reports)
{
	int to[2];
	char word = 0;

	assert_int_equal(pipe(to), 0);
	pid_t child = fork();
	if (child == 0) {
		close(to[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		word = admits_for(which, orders, reports) ? '+' : '-';
		if (write(to[1], &word, 1) == 1)
			pause();
		_exit(1);
	}
	close(to[1]);
	assert_int_equal(read(to[0], &word, 1), 1);
	assert_int_equal(word, '+');
	close(to[0]);
	return child;
}

static void one_that_is_gone_among_all(void **state)
{
	struct rlimit descriptors = {.rlim_cur = 2 * EACH + 100, .rlim_max = 2 * EACH + 100};
	socklen_t length = sizeof(address);
	pid_t holder[2 * HOLDERS];
	int orders[HOLDERS];
	int reports[HOLDERS];

	(void)state;
	if (setrlimit(RLIMIT_NOFILE, &descriptors) != 0)
		return; /* the test's user may not open as many */
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 64), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	settings_default(&settings);
	settings.total = HOLDERS * EACH;
	settings.capacity = 65536;
	assert_true(table_open_anonymous(&table, "search", &settings) && set_apart(&table));
	start(holder, orders, reports);
	for (uint32_t part = 0; part < HOLDERS; part++) {
		pace_forgive(&table.header->search_pace); /* as if the last one were long ago, and paid for */
		holder[HOLDERS + part] = decide(1234 * part, orders[part], reports[part]);
	}
	for (int i = 0; i < 2 * HOLDERS; i++) {
		kill(holder[i], SIGKILL);
		waitpid(holder[i], NULL, 0);
	}
	table_leave(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_that_is_gone_among_all),
	};
	return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
