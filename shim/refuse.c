#include "refuse.h"

#include "real.h"

#include <sys/socket.h>

/* socket(7), SO_LINGER with a time of 0: close sends a reset, and no TIME_WAIT is left for an attacker to pile up. */
static void reset_on_close(int descriptor)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void refuse(int descriptor)
{
	reset_on_close(descriptor);
	REAL(close)(descriptor);
}

void refuse_in_place(int descriptor)
{
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	/* connect(2): AF_UNSPEC dissolves the association, which for TCP is a reset. A read gives ECONNRESET, as after the client's own. */
	reset_on_close(descriptor);
	if (connect(descriptor, &nowhere, sizeof(nowhere)) != 0)
		shutdown(descriptor, SHUT_RDWR);
}
