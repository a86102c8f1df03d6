/* A child whose making no preload sees accepts a connection and executes another program, which closes it: unseen_child. Says
 * how many of ten later connections of that client are served, one after the other. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unseen_fork.h"

static struct sockaddr_in address = {.sin_family = AF_INET};

static int connect_to(void)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(client, (struct sockaddr *)&address, sizeof(address)) != 0)
		_exit(2);
	return client;
}

static int serve_one(int listener)
{
	char byte;
	int client = connect_to();
	int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	int served = recv(client, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;

	close(connection);
	close(client);
	return served;
}

int main(void)
{
	struct linger reset = {.l_onoff = 1};
	socklen_t length = sizeof(address);
	int served = 0;
	int executed[2];
	char byte;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 8) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) != 0 || pipe2(executed, O_CLOEXEC) != 0)
		return 2;
	int client = connect_to();
	pid_t child = unseen_fork();
	if (child == 0) {
		accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		execlp("sleep", "sleep", "60", (char *)NULL);
		_exit(1);
	}
	close(executed[1]);
	if (read(executed[0], &byte, 1) != 0)
		return 2;
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	for (int i = 0; i < 10; i++)
		served += serve_one(listener);
	printf("%d\n", served);
	kill(child, SIGKILL);
	return waitpid(child, NULL, 0) == child ? 0 : 2;
}
