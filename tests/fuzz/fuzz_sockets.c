/* libFuzzer: the dump of all sockets that `connlimit status` reads. The reader is internal, so its file is included. */
#include "../../shim/command/sockets.c"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct sockets sockets = {0};
	bool good = true;
	/* Exactly as long as it is, so that a read past its end is seen. */
	char *exact = malloc(size > 0 ? size : 1);

	memcpy(exact, data, size);
	read_replies(&sockets, exact, size, &good);
	if (sockets.listeners + sockets.opens > size / sizeof(struct inet_diag_msg))
		abort();
	free(exact);
	sockets_free(&sockets);
	return 0;
}
