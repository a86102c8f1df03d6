#include "scribble.h"

#include <string.h>
#include <time.h>

unsigned random_number(uint64_t *state)
{
	*state = *state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(*state >> 33);
}

static uint64_t nasty_word(uint64_t *seed)
{
	static const uint64_t words[] = {
	    0, 1, ~UINT64_C(0), 0x7fffffff, 0x80000000, 0xffffffff, CLIENT_COUNT, CLIENT_TENTATIVE, UINT64_C(1) << 63};

	if (random_number(seed) % 2 == 0)
		return words[random_number(seed) % (sizeof(words) / sizeof(words[0]))];
	return (uint64_t)random_number(seed) << 32 | random_number(seed);
}

static void nasty_field(struct table *table, uint64_t *seed)
{
	struct table_header *header = table->header;
	uint64_t word = nasty_word(seed);
	struct limit_block *block = &table->blocks[word % (LIMIT_BLOCKS + 1)];
	uint32_t slot = (uint32_t)(word >> 8) % table->capacity;

	switch (random_number(seed) % 15) {
	case 0: memset(header->failure, 'A', sizeof(header->failure)); break;
	case 1: memset(header->program, '\033', sizeof(header->program)); break;
	case 2: atomic_store(&header->extent, (uint32_t)word); break;
	case 3: atomic_store(&header->current, word); break;
	case 4: atomic_store(&header->maker, (uint32_t)word); break;
	case 5: atomic_store(&block->writer, (uint32_t)word); break;
	case 6: block->settings.rules = (uint32_t)word; break;
	case 7: block->rules.networks = (uint32_t)word; break;
	case 8: block->rules.network[word % 8].outer = (uint16_t)(word >> 16); break;
	case 9: memset(block->settings.refuse_text, 'A', sizeof(block->settings.refuse_text)); break;
	case 10: atomic_store(&header->all_pace.word, word); break;
	/* Every field out of its range at once, those of a byte that say yes or no too. */
	case 11: memset(&block->settings.rule[word % 2], (int)(2 + (word >> 16) % 254), sizeof(struct rule)); break;
	case 12: memset(&block->rules.network[word % 2].ipv6, (int)(2 + (word >> 16) % 254), 1); break;
	case 13: atomic_store(&table->within[slot], 1 + (uint32_t)(word >> 40) % (table->entries * 2)); break;
	default: atomic_store(&table->owner[slot], 1 + (uint32_t)(word >> 40) % table->entries); break;
	}
}

void scribble_once(struct table *table, uint64_t *seed)
{
	/* The parts that are used are small in a large segment: most writes go there. */
	struct {
		char *at;
		size_t size;
	} part[] = {
	    {(char *)table->header + sizeof(table->header->magic), sizeof(*table->header) - sizeof(table->header->magic)},
	    {(char *)table->blocks, 4096},
	    {(char *)table->blocks, sizeof(*table->blocks) * (LIMIT_BLOCKS + 1)},
	    {(char *)table->entry, sizeof(*table->entry) * table->entries * 2},
	    {(char *)table->notes, sizeof(*table->notes) * table->entries * 2},
	    {(char *)table->high, sizeof(*table->high) * table->entries * 2},
	    {(char *)table->owner, sizeof(*table->owner) * table->capacity},
	    {(char *)table->within, sizeof(*table->within) * table->capacity},
	    {(char *)table->named, sizeof(*table->named) * table->capacity},
	    {(char *)table->record, sizeof(*table->record) * table->capacity},
	};
	unsigned which = random_number(seed) % (sizeof(part) / sizeof(part[0]));
	size_t at = (size_t)random_number(seed) % (part[which].size / 8) * 8;
	uint64_t word = nasty_word(seed);

	switch (random_number(seed) % 10) {
	case 0: /* a whole line */
		if (which != 0 || at >= 64)
			memset(part[which].at + at / 64 * 64, (int)word, 64);
		break;
	case 1: /* one bit */ *(uint64_t *)(void *)(part[which].at + at) ^= UINT64_C(1) << word % 64; break;
	case 2: /* one place copied to another: duplicates, cycles */
		memcpy(part[which].at + at, part[which].at + (size_t)random_number(seed) % (part[which].size / 8) * 8, 8);
		break;
	case 3: nasty_field(table, seed); break;
	default: memcpy(part[which].at + at, &word, 8); break;
	}
}

_Noreturn void scribble(struct table *table, uint64_t seed)
{
	/* A table without its mark is seen by nobody who looks for tables: with every other seed it keeps it. */
	bool spared = seed % 2 != 0;

	for (;;) {
		scribble_once(table, &seed);
		if (random_number(&seed) % 64 == 0) {
			struct timespec a_moment = {.tv_nsec = 20000};
			nanosleep(&a_moment, NULL); /* so that something works between the blows */
			if (!spared)
				atomic_store(&table->header->magic, nasty_word(&seed));
		}
	}
}
