/* Makes a fixed list of calls, most of them wrong, and prints what came of each: result, errno, addresses. The output must be
 * the same with and without the preload object. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result)
{
	printf("%s: %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "");
}

static struct sockaddr_storage name;
static socklen_t name_length;

static int listener_of(int family, int type, int flags)
{
	int s = socket(family, type | flags, 0);
	int off = 0;

	memset(&name, 0, sizeof(name));
	name.ss_family = (sa_family_t)family;
	name_length = family == AF_INET	   ? sizeof(struct sockaddr_in)
		      : family == AF_INET6 ? sizeof(struct sockaddr_in6)
					   : sizeof(sa_family_t);
	if (family == AF_INET)
		((struct sockaddr_in *)&name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (family == AF_INET6)
		setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	bind(s, (struct sockaddr *)&name, name_length);
	listen(s, 16);
	name_length = sizeof(name);
	getsockname(s, (struct sockaddr *)&name, &name_length);
	return s;
}

static int connect_to_it(int type)
{
	int s = socket(name.ss_family, type, 0);

	if (name.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&name)->sin6_addr = in6addr_loopback;
	if (connect(s, (struct sockaddr *)&name, name_length) != 0)
		perror("connect");
	return s;
}

static void with_room(int listener, socklen_t room, int type, int on_heap)
{
	unsigned char stack[128];
	unsigned char *buffer = on_heap ? malloc(sizeof(stack)) : stack;
	socklen_t stack_length = room;
	socklen_t *length = on_heap ? malloc(sizeof(*length)) : &stack_length;
	char what[64];

	memset(buffer, 0xee, sizeof(stack));
	*length = room;
	int client = connect_to_it(type);
	int s = accept4(listener, (struct sockaddr *)buffer, length, SOCK_CLOEXEC);
	snprintf(what, sizeof(what), "accept4 room %d%s", (int)room, on_heap ? " on the heap" : "");
	tell(what, s);
	printf("  length %d, bytes", s >= 0 ? (int)*length : -2);
	for (int i = 0; s >= 0 && i < 32; i++)
		if (i != 2 && i != 3) /* the client's port */
			printf(" %02x", buffer[i]);
	printf(", FD_CLOEXEC %d\n", s >= 0 ? fcntl(s, F_GETFD) : -2);
	close(s);
	close(client);
	if (on_heap) {
		free(buffer);
		free(length);
	}
}

static void accept_family(const char *family, int listener, int type)
{
	static const socklen_t rooms[] = {0, 1, 2, 4, 15, 16, 28, 128};

	printf("-- %s\n", family);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		with_room(listener, rooms[i], type, 0);
		with_room(listener, rooms[i], type, 1);
	}
	with_room(listener, (socklen_t)-1, type, 0);
	int client = connect_to_it(type);
	int s = accept(listener, NULL, NULL);
	tell("accept without an address", s);
	errno = 77;
	tell("close", close(s));
	printf("errno after: %d\n", errno);
	tell("close twice", close(s));
	close(client);
	client = connect_to_it(type);
	socklen_t length = 99;
	errno = 78;
	s = accept(listener, NULL, &length);
	printf("accept: errno after %d, length %d\n", errno, (int)length);
	close(s);
	close(client);
	client = connect_to_it(type);
	struct sockaddr_storage address;
	tell("no length", accept(listener, (struct sockaddr *)&address, NULL));
	close(client);
	client = connect_to_it(type);
	length = sizeof(address);
	tell("bad address", accept(listener, (struct sockaddr *)1, &length));
	close(client);
	client = connect_to_it(type);
	tell("bad length", accept(listener, (struct sockaddr *)&address, (socklen_t *)1));
	close(client);
	close(listener);
}

/* An IPv4 client of an IPv6 listener: its address is the mapped one. */
static void dual_stack(void)
{
	int listener = listener_of(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 *own = (struct sockaddr_in6 *)&name;
	in_port_t port = own->sin6_port;

	memset(&name, 0, sizeof(name));
	((struct sockaddr_in *)&name)->sin_family = AF_INET;
	((struct sockaddr_in *)&name)->sin_port = port;
	((struct sockaddr_in *)&name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	name_length = sizeof(struct sockaddr_in);
	accept_family("IPv4 by IPv6", listener, SOCK_STREAM);
}

static void nothing(int signal)
{
	(void)signal;
}

static void wrong_accepts(void)
{
	int pipes[2];
	int listener = listener_of(AF_INET, SOCK_STREAM, SOCK_NONBLOCK);
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	printf("-- wrong\n");
	tell("empty queue", accept(listener, (struct sockaddr *)&address, &length));
	printf("length untouched: %d\n", length == sizeof(address));
	tell("empty queue, accept4", accept4(listener, NULL, NULL, SOCK_NONBLOCK));
	tell("bad flags", accept4(listener, NULL, NULL, 0x40000000));
	tell("descriptor -1", accept(-1, NULL, NULL));
	tell("closed descriptor", accept(900, NULL, NULL));
	if (pipe(pipes) == 0)
		tell("not a socket", accept(pipes[0], NULL, NULL));
	int s = socket(AF_INET, SOCK_STREAM, 0);
	tell("not listening", accept(s, NULL, NULL));
	int d = socket(AF_INET, SOCK_DGRAM, 0);
	tell("datagrams", accept(d, NULL, NULL));
	tell("listen on datagrams", listen(d, 5));
	tell("listen on nothing", listen(901, 5));
	tell("listen", listen(s, 5));
	/* EINTR */
	int blocking = listener_of(AF_INET, SOCK_STREAM, 0);
	struct sigaction action = {.sa_handler = nothing};
	sigaction(SIGALRM, &action, NULL);
	ualarm(100000, 100000); /* again, if the first comes before the call */
	tell("interrupted", accept(blocking, NULL, NULL));
	ualarm(0, 0);
	/* EMFILE */
	struct rlimit before;
	struct rlimit none;
	getrlimit(RLIMIT_NOFILE, &before);
	int client = connect_to_it(SOCK_STREAM);
	none = (struct rlimit){.rlim_cur = (rlim_t)client + 1, .rlim_max = before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	tell("no descriptor left", accept(blocking, NULL, NULL));
	setrlimit(RLIMIT_NOFILE, &before);
	s = accept(blocking, NULL, NULL);
	tell("and then", s);
	/* a listener that is shut down */
	shutdown(blocking, SHUT_RDWR);
	tell("shut down", accept(blocking, NULL, NULL));
}

static void descriptors(void)
{
	int listener = listener_of(AF_INET, SOCK_STREAM, 0);
	int client = connect_to_it(SOCK_STREAM);
	int s = accept(listener, NULL, NULL);
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	printf("-- descriptors\n");
	tell("close -1", close(-1));
	tell("close huge", close(0x7fffffff));
	tell("dup2 to itself", dup2(s, s));
	tell("dup3 to itself", dup3(s, s, 0));
	tell("dup3 bad flags", dup3(s, 800, 1 << 30));
	tell("dup2 of nothing", dup2(902, s));
	tell("dup2 of nothing to itself", dup2(902, 902));
	tell("dup2 to -1", dup2(s, -1));
	tell("dup2 past the limit", dup2(s, (int)limit.rlim_cur));
	tell("still open", fcntl(s, F_GETFD));
	tell("dup of nothing", dup(902));
	tell("F_DUPFD past the limit", fcntl(s, F_DUPFD, (int)limit.rlim_cur));
	tell("F_DUPFD -1", fcntl(s, F_DUPFD, -1));
	int copy = fcntl(s, F_DUPFD_CLOEXEC, 700);
	printf("F_DUPFD_CLOEXEC: %d, flags %d\n", copy, fcntl(copy, F_GETFD));
	tell("dup2 over it", dup2(client, copy));
	tell("fcntl unknown", fcntl(s, 9999, 0));
	tell("fcntl of nothing", fcntl(902, F_GETFL));
	tell("F_SETFL", fcntl(s, F_SETFL, O_NONBLOCK));
	printf("F_GETFL: %x\n", (unsigned)fcntl(s, F_GETFL));
	struct flock lock = {.l_type = F_WRLCK};
	tell("F_GETLK on a socket", fcntl(s, F_GETLK, &lock));
	tell("close_range upside down", close_range(10, 5, 0));
	tell("close_range bad flags", close_range(600, 700, 1 << 20));
	tell("close_range", close_range((unsigned)copy, (unsigned)copy, 0));
	tell("closed by it", fcntl(copy, F_GETFD));
	FILE *stream = fdopen(dup(s), "w");
	tell("fclose", fclose(stream));
	tell("syscall close of nothing", syscall(SYS_close, 902));
	int raw = (int)syscall(SYS_dup, s);
	tell("syscall dup", raw);
	tell("syscall close", syscall(SYS_close, raw));
	tell("syscall close again", syscall(SYS_close, raw));
	tell("syscall nonsense", syscall(99999));
	tell("syscall with six", syscall(SYS_mmap, NULL, 4096L, 0L, 0x22L, -1L, 0L) != -1);
	tell("execve of nothing", execve("/none", (char *[]){"x", NULL}, (char *[]){NULL}));
	tell("execl of nothing", execl("/none", "x", NULL));
	tell("execlp of nothing", execlp("no-such-command", "x", NULL));
	tell("still open", fcntl(s, F_GETFD));
	fflush(stdout);
	pid_t child = vfork();
	if (child == 0) {
		close(s);
		_exit(7);
	}
	int status;
	waitpid(child, &status, 0);
	printf("vfork: %d\n", WEXITSTATUS(status));
	tell("still open", fcntl(s, F_GETFD));
	child = fork();
	if (child == 0)
		exit(close(s) == 0 ? 8 : 9);
	waitpid(child, &status, 0);
	printf("fork: %d\n", WEXITSTATUS(status));
	closefrom(s);
	tell("closed from there", fcntl(s, F_GETFD));
}

static void signals(void)
{
	struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART | SA_NODEFER};
	struct sigaction old;

	printf("-- signals\n");
	sigaddset(&action.sa_mask, SIGUSR2);
	tell("sigaction", sigaction(SIGHUP, &action, &old));
	printf("old default: %d\n", old.sa_handler == SIG_DFL);
	tell("sigaction asked", sigaction(SIGHUP, NULL, &old));
	printf("handler %d, flags %x, mask %d %d\n", old.sa_handler == nothing, (unsigned)old.sa_flags & ~0x04000000U,
	       sigismember(&old.sa_mask, SIGUSR2), sigismember(&old.sa_mask, SIGUSR1));
	printf("signal gave the handler: %d\n", signal(SIGHUP, SIG_IGN) == nothing);
	printf("signal gave SIG_IGN: %d\n", signal(SIGHUP, SIG_DFL) == SIG_IGN);
	tell("sigaction of 0", sigaction(0, &action, NULL));
	tell("sigaction of SIGKILL", sigaction(SIGKILL, &action, NULL));
	tell("signal 65", signal(65, SIG_IGN) == SIG_ERR ? -1 : 0);
}

int main(void)
{
	setbuf(stdout, NULL);
	accept_family("IPv4", listener_of(AF_INET, SOCK_STREAM, 0), SOCK_STREAM);
	accept_family("IPv6", listener_of(AF_INET6, SOCK_STREAM, 0), SOCK_STREAM);
	dual_stack();
	accept_family("Unix stream", listener_of(AF_UNIX, SOCK_STREAM, 0), SOCK_STREAM);
	accept_family("Unix seqpacket", listener_of(AF_UNIX, SOCK_SEQPACKET, 0), SOCK_SEQPACKET);
	wrong_accepts();
	signals();
	descriptors();
	return 0;
}
