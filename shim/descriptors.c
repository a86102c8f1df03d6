#include "descriptors.h"

#include "fork.h"
#include "limiter.h"
#include "snapshots.h"

#include "../lib/confined.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static _Alignas(4096) descriptor_chunk first_chunk; /* enough for most daemons, without a mapping */

descriptor_chunk *_Atomic descriptor_chunks[CHUNKS];

/* Chunks past this were never made: bounds the walks. */
static _Atomic unsigned chunks_made = 1;

static _Atomic int watched;
static _Atomic bool disturbed;

static void note_change(void)
{
	if (__builtin_expect(atomic_load_explicit(&watched, memory_order_relaxed) != 0, 0))
		atomic_store(&disturbed, true);
}

static descriptor_chunk *chunk_for(unsigned index)
{
	descriptor_chunk *chunk = atomic_load_explicit(&descriptor_chunks[index], memory_order_acquire);

	if (chunk != NULL)
		return chunk;
	if (index != 0 && !may_call(SYS_mmap, 0, sizeof(descriptor_chunk), PROT_READ | PROT_WRITE))
		return NULL;
	int kept = errno;
	void *made = index == 0
			 ? (void *)&first_chunk
			 : mmap(NULL, sizeof(descriptor_chunk), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	errno = kept;
	if (made == MAP_FAILED)
		return NULL;
	if (!atomic_compare_exchange_strong(&descriptor_chunks[index], &chunk, made)) {
		if (index != 0)
			munmap(made, sizeof(descriptor_chunk));
		return chunk;
	}
	unsigned seen = atomic_load(&chunks_made);
	while (seen <= index && !atomic_compare_exchange_weak(&chunks_made, &seen, index + 1))
		;
	return made;
}

reference descriptor_take(int descriptor)
{
	if (descriptor_held(descriptor) == 0)
		return 0;
	fork_look();
	note_change();
	descriptor_chunk *chunk =
	    atomic_load_explicit(&descriptor_chunks[(unsigned)descriptor >> CHUNK_BITS], memory_order_acquire);
	return atomic_exchange(&(*chunk)[(unsigned)descriptor % CHUNK], 0);
}

void descriptor_put(int descriptor, reference held)
{
	if (held == 0)
		return;
	note_change();
	descriptor_chunk *chunk =
	    (unsigned)descriptor < (unsigned)CHUNKS << CHUNK_BITS ? chunk_for((unsigned)descriptor >> CHUNK_BITS) : NULL;
	if (chunk == NULL) {
		table_drop(limiter_table(), held);
		atomic_fetch_add(&limiter_table()->header->uncounted, 1);
		return;
	}
	/* Nobody else enters something for a number that the kernel just gave to us, so an empty place needs no exchange. */
	_Atomic reference *place = &(*chunk)[(unsigned)descriptor % CHUNK];
	if (__builtin_expect(atomic_load_explicit(place, memory_order_relaxed) == 0, 1)) {
		atomic_store_explicit(place, held, memory_order_release);
		return;
	}
	reference stale = atomic_exchange(place, held);
	if (stale != 0)
		snapshot_let_go(stale);
}

void descriptor_each(unsigned first, unsigned last, void (*visit)(int descriptor, reference held))
{
	fork_look();
	unsigned made = atomic_load(&chunks_made);

	for (unsigned c = first >> CHUNK_BITS; c < made && c <= last >> CHUNK_BITS; c++) {
		descriptor_chunk *chunk = atomic_load_explicit(&descriptor_chunks[c], memory_order_acquire);

		if (chunk == NULL)
			continue;
		for (unsigned i = 0; i < CHUNK; i++) {
			unsigned descriptor = c << CHUNK_BITS | i;
			reference held = atomic_load_explicit(&(*chunk)[i], memory_order_relaxed);
			if (held != 0 && descriptor >= first && descriptor <= last)
				visit((int)descriptor, held);
		}
	}
}

unsigned descriptor_number(unsigned most)
{
	unsigned made = atomic_load(&chunks_made);
	unsigned number = 0;

	for (unsigned c = 0; c < made; c++) {
		descriptor_chunk *chunk = atomic_load_explicit(&descriptor_chunks[c], memory_order_acquire);

		for (unsigned i = 0; chunk != NULL && i < CHUNK && number < most; i++)
			if (atomic_load_explicit(&(*chunk)[i], memory_order_relaxed) != 0)
				number++;
	}
	return number;
}

void descriptor_forget(void)
{
	unsigned made = atomic_load(&chunks_made);

	/* In a child, for whom each page written is a page copied: mappings are given up whole. */
	for (unsigned c = 1; c < made; c++) {
		descriptor_chunk *chunk = atomic_load_explicit(&descriptor_chunks[c], memory_order_acquire);

		if (chunk == NULL)
			continue;
		atomic_store(&descriptor_chunks[c], NULL);
		munmap(chunk, sizeof(*chunk));
	}
	for (unsigned i = 0; i < CHUNK; i++)
		if (atomic_load_explicit(&first_chunk[i], memory_order_relaxed) != 0)
			atomic_store_explicit(&first_chunk[i], 0, memory_order_relaxed);
}

void descriptor_watch(void)
{
	atomic_store(&disturbed, false);
	atomic_fetch_add(&watched, 1);
}

bool descriptor_disturbed(void)
{
	return atomic_load(&disturbed);
}

void descriptor_unwatch(void)
{
	atomic_fetch_sub(&watched, 1);
}
