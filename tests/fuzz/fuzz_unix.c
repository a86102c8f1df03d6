/* libFuzzer: the kernel's replies about Unix sockets. The reader is internal, so its file is included. */
#include "kernel/kernel_unix.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	enum answer answer = ANSWER_NONE;
	uint32_t sequence = 0;
	/* Aligned as the receive buffer is, and exactly as long, so that a read past its end is seen. */
	char *exact = malloc(size + 1);

	memcpy(exact, data, size);
	exact = realloc(exact, size > 0 ? size : 1);
	if (read_reply(exact, size, &sequence, &answer) && answer != ANSWER_OPEN && answer != ANSWER_GONE)
		abort();
	free(exact);
	return 0;
}
