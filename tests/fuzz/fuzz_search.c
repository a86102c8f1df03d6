/* libFuzzer: the kernel's list of all connections, and what is sought in it. The reader is internal, so its file is included.
 */
#include "kernel/kernel_list.c"
#include "kernel/kernel_search.c"

#include <stdio.h>
#include <stdlib.h>

enum { QUESTIONS = 6 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct question questions[QUESTIONS];
	struct question asked[QUESTIONS];
	uint32_t place[64] = {0};
	static const struct asking nobody;
	struct kernel_search search = {
	    .question = questions, .number = QUESTIONS, .place = place, .places = search_places(QUESTIONS)};
	struct looking looking = {.asking = &nobody, .search = &search};

	if (size < sizeof(questions) / 4)
		return 0;
	/* Few addresses, so that some are the same. */
	memset(questions, 0, sizeof(questions));
	for (uint32_t i = 0; i < QUESTIONS; i++) {
		struct connection *connection = &questions[i].connection;
		bool ipv4 = (data[i] & 1) != 0;

		connection->peer.address.bytes[10] = connection->peer.address.bytes[11] = ipv4 ? 0xff : 0;
		connection->peer.address.bytes[15] = data[i] & 2;
		connection->peer.port = data[i] & 4;
		connection->local.port = 80;
		questions[i].answer = (data[i] & 8) != 0 ? ANSWER_OPEN : ANSWER_NONE;
		if (questions[i].answer == ANSWER_OPEN)
			connection->local.address.bytes[15] = 1 + (data[i] & 16);
		else if ((data[i] & 32) != 0)
			connection->local.address.bytes[15] = 40 + (data[i] & 16); /* whole, and sought all the same */
	}
	search.any_port = (data[0] & 32) != 0;
	search.proof = (data[0] & 64) != 0 ? &questions[0].connection : NULL;
	list_questions(&looking);
	memcpy(asked, questions, sizeof(asked));
	/* Aligned as the receive buffer is, and exactly as long, so that a read past its end is seen. */
	char *exact = malloc(size - QUESTIONS + 1);
	memcpy(exact, data + QUESTIONS, size - QUESTIONS);
	exact = realloc(exact, size - QUESTIONS > 0 ? size - QUESTIONS : 1);
	read_list(exact, size - QUESTIONS, see, &looking);
	for (int i = 0; i < QUESTIONS; i++) {
		bool found = asked[i].answer == ANSWER_NONE && questions[i].answer == ANSWER_OPEN;

		/* Only what was sought changes, and only by being found. */
		if (!found && memcmp(&asked[i], &questions[i], sizeof(asked[i])) != 0)
			abort();
		for (int j = 0; j < i && found; j++)
			if (questions[j].answer == ANSWER_OPEN && connection_is_whole(&questions[i].connection) &&
			    endpoint_same(&questions[i].connection.peer, &questions[j].connection.peer) &&
			    endpoint_same(&questions[i].connection.local, &questions[j].connection.local))
				abort();
	}
	free(exact);
	return 0;
}
