/* libFuzzer: the header of a balancer. It is read from memory of just its size; what it names is an address, and does not
 * depend on what follows; less of it names nobody else. */
#include "values/proxy_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static enum proxy_header read_exactly(const unsigned char *data, size_t size, struct address *client)
{
	unsigned char *exact = malloc(size);

	if (size > 0)
		memcpy(exact, data, size);
	enum proxy_header header = proxy_header_read(exact, size, client);
	free(exact);
	return header;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const struct address nobody;
	struct address client = nobody;
	size_t seen = size < PROXY_HEADER_MOST ? size : PROXY_HEADER_MOST;
	enum proxy_header whole = read_exactly(data, size, &client);

	if ((whole == PROXY_CLIENT) == address_is_unspecified(&client))
		abort();
	if (size >= PROXY_HEADER_MOST && whole == PROXY_UNDECIDED)
		abort();
	for (size_t less = 0; less <= seen; less++) {
		struct address named = nobody;
		enum proxy_header header = read_exactly(data, less, &named);

		if (header != PROXY_UNDECIDED && header != whole)
			abort();
		if (header == PROXY_CLIENT && memcmp(&named, &client, sizeof(client)) != 0)
			abort();
	}
	return 0;
}
