/* A second preloaded object, whose constructor comes before ours and its destructor after: with ACCEPT_EARLY it accepts a
 * connection, with SAY_GOODBYE=N it writes to descriptor N. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void early(void)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(where);

	if (getenv("ACCEPT_EARLY") == NULL)
		return;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&where, length) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&where, &length) != 0 ||
	    connect(client, (struct sockaddr *)&where, length) != 0 || accept(listener, NULL, NULL) < 0)
		_exit(3);
}

__attribute__((destructor)) static void late(void)
{
	const char *descriptor = getenv("SAY_GOODBYE");

	if (descriptor != NULL && write(atoi(descriptor), "bye", 3) != 3)
		_exit(3);
}
