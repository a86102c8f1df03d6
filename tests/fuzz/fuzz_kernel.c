/* libFuzzer: the kernel's replies, by netlink and in /proc/net/tcp. The readers are internal, so their file is included. */
#include "../../lib/kernel.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct question questions[4];
	char *exact;

	if (size == 0)
		return 0;
	memset(questions, 0, sizeof(questions));
	/* Aligned as the receive buffer is, and exactly as long, so that a read past its end is seen. */
	exact = malloc(size);
	memcpy(exact, data + 1, size - 1);
	if (data[0] % 2 == 0)
		read_replies(exact, size - 1, questions, 4);
	else
		read_proc_line(exact, exact + size - 1, data[0] % 4 == 1, questions, 4);
	free(exact);
	return 0;
}
