/* Accepts and serves in a thread with the smallest stack there is, and reloads on the smallest signal stack: small_stack PORT;
 * or on coroutines' stacks of so many bytes, each with a page behind it that must not be touched: small_stack PORT BYTES
 * [proc], where the kernel is not to be asked by netlink
 *
 * Sends one byte to each client and holds the connection until the client has closed it. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static int listener;

static void *serve(void *nothing)
{
	for (;;) {
		int descriptor = accept(listener, NULL, NULL);

		if (descriptor >= 0)
			send(descriptor, "+", 1, MSG_NOSIGNAL);
	}
	return nothing;
}

static ucontext_t outside;
static int taken;

static void take_one(void)
{
	taken = accept(listener, NULL, NULL);
}

static void close_one(void)
{
	close(taken);
}

static void on_stack_of(size_t bytes, void (*function)(void))
{
	enum { PAGE = 4096 };
	size_t whole = PAGE + (bytes + PAGE - 1) / PAGE * PAGE;
	ucontext_t inside;
	char *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(memory, PAGE, PROT_NONE);
	getcontext(&inside);
	inside.uc_stack.ss_sp = memory + PAGE;
	inside.uc_stack.ss_size = bytes;
	inside.uc_link = &outside;
	makecontext(&inside, function, 0);
	swapcontext(&outside, &inside);
	munmap(memory, whole);
}

static void serve_on_stacks_of(size_t bytes)
{
	enum { MOST = 64 };
	struct pollfd polled[MOST] = {{.fd = listener, .events = POLLIN}};
	unsigned number = 1;

	for (;;) {
		if (poll(polled, number, -1) < 0)
			continue;
		for (unsigned i = 1; i < number; i++) {
			if (polled[i].revents == 0)
				continue;
			taken = polled[i].fd;
			on_stack_of(bytes, close_one);
			polled[i--] = polled[--number];
		}
		if (polled[0].revents == 0 || number == MOST)
			continue;
		on_stack_of(bytes, take_one);
		if (taken < 0)
			continue;
		send(taken, "+", 1, MSG_NOSIGNAL);
		polled[number++] = (struct pollfd){.fd = taken, .events = POLLRDHUP};
	}
}

static void forbid_netlink(void)
{
	struct sock_filter steps[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(steps) / sizeof(steps[0]), steps};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(1);
}

static void nothing_more(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	struct sigaction action = {.sa_handler = nothing_more, .sa_flags = SA_ONSTACK};
	size_t size = 8192; /* SIGSTKSZ as it was before it grew with the processor's registers */
	stack_t stack = {.ss_sp = malloc(size), .ss_size = size};
	pthread_attr_t attributes;
	pthread_t thread;
	int on = 1;

	if (argc < 2)
		return 2;
	address.sin_port = htons((in_port_t)atoi(argv[1]));
	sigaltstack(&stack, NULL);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 64) != 0)
		return 1;
	sigaction(SIGHUP, &action, NULL);
	if (argc > 3)
		forbid_netlink();
	if (argc > 2)
		serve_on_stacks_of((size_t)atoi(argv[2]));
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
	if (pthread_create(&thread, &attributes, serve, NULL) != 0)
		return 1;
	for (;;)
		pause();
}
