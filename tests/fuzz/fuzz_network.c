/* libFuzzer: addresses and networks. What is read is written so that it is read again as the same. */
#include "values/address.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct network network;
	struct network again;
	const char *error;
	size_t position = 0;
	char text[NETWORK_TEXT];
	char *exact = malloc(size + 1);

	memcpy(exact, data, size);
	bool read = network_parse(&network, exact, size, &error, &position);
	free(exact);
	if (!read) {
		if (position > size)
			abort();
		return 0;
	}
	if (network.prefix > 128 || !network_contains(&network, &network.address))
		abort();
	network_format(text, &network);
	if (!network_parse(&again, text, strlen(text), &error, &position) || again.prefix != network.prefix ||
	    memcmp(&again.address, &network.address, sizeof(again.address)) != 0)
		abort();
	return 0;
}
