/* libFuzzer: the dump of all sockets that `connlimit status` reads. The reader and the visitor are internal, so their files are
 * included. */
#include "kernel/kernel_list.c"
#include "command/sockets.c"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct sockets sockets = {0};
	/* Exactly as long as it is, so that a read past its end is seen. */
	char *exact = malloc(size > 0 ? size : 1);

	memcpy(exact, data, size);
	read_list(exact, size, take, &sockets);
	if (sockets.listeners + sockets.opens > size / sizeof(struct inet_diag_msg))
		abort();
	free(exact);
	sockets_free(&sockets);
	return 0;
}
