/* What dlsym(RTLD_NEXT, ...) does, for symbols of functions in objects that were loaded with the program and are never
 * unloaded. The tables of an object are those of the System V ABI, with GNU's hash table (DT_GNU_HASH) and versions
 * (DT_VERSYM). */
#include "process/real.h"

#include "values/near.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

NEAR struct real_calls real_calls;

struct symbols {
	ElfW(Addr) base; /* where the object is */
	const ElfW(Sym) * symbol;
	const char *strings;
	const ElfW(Half) * version; /* of each symbol; NULL if there are none */
	const uint32_t *hash;	    /* NULL: it has only the older kind of table */
};

/* The loader has made addresses of these, except in the kernel's own object (vdso(7)). */
static const void *in(const struct link_map *object, const ElfW(Dyn) * entry)
{
	ElfW(Addr) at = entry->d_un.d_ptr;

	return (const void *)(at < object->l_addr ? object->l_addr + at : at); // NOLINT(performance-no-int-to-ptr)
}

static struct symbols symbols_of(const struct link_map *object)
{
	struct symbols found = {.base = object->l_addr};

	for (const ElfW(Dyn) *entry = object->l_ld; entry->d_tag != DT_NULL; entry++) {
		if (entry->d_tag == DT_SYMTAB)
			found.symbol = in(object, entry);
		else if (entry->d_tag == DT_STRTAB)
			found.strings = in(object, entry);
		else if (entry->d_tag == DT_VERSYM)
			found.version = in(object, entry);
		else if (entry->d_tag == DT_GNU_HASH)
			found.hash = in(object, entry);
	}
	return found;
}

static uint32_t hash_of(const char *name)
{
	uint32_t hash = 5381;

	for (; *name != '\0'; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

/* An object may have older versions of a symbol as well, which only programs that were linked with them see. */
static bool is_hidden(const struct symbols *from, uint32_t index)
{
	enum { HIDDEN = 0x8000 };

	return from->version != NULL && (from->version[index] & HIDDEN) != 0;
}

/* The table is: numbers of buckets, of symbols that are not in it, and of words of a filter (of no use to us); a shift for that
 * filter; the filter; the buckets, each the first symbol of a chain or 0; and a symbol's hash for each symbol, with the lowest
 * bit set in the last of a chain. */
static const ElfW(Sym) * look_up(const struct symbols *from, const char *name)
{
	uint32_t buckets = from->hash[0];
	uint32_t left_out = from->hash[1];
	const uint32_t *bucket = from->hash + 4 + from->hash[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	const uint32_t *chain = bucket + buckets;
	uint32_t hash = hash_of(name);
	uint32_t index = buckets == 0 ? 0 : bucket[hash % buckets];

	for (; index >= left_out && index != 0; index++) {
		uint32_t its = chain[index - left_out];
		const ElfW(Sym) *symbol = &from->symbol[index];

		if ((its | 1) == (hash | 1) && symbol->st_value != 0 && strcmp(from->strings + symbol->st_name, name) == 0 &&
		    !is_hidden(from, index))
			return symbol;
		if ((its & 1) != 0)
			break;
	}
	return NULL;
}

static const struct link_map *own(void)
{
	const struct link_map *object = _r_debug.r_map;

	while (object != NULL && object->l_ld != _DYNAMIC)
		object = object->l_next;
	return object;
}

/* Objects are in the order in which they are searched. libc has all of the calls, and what dlopen(3) adds comes after it. What
 * is out of the ordinary is left to the loader. */
static COLD void *find(const char *name)
{
	const struct link_map *object = own();

	while (object != NULL && (object = object->l_next) != NULL) {
		struct symbols symbols = symbols_of(object);
		const ElfW(Sym) *symbol = symbols.hash != NULL ? look_up(&symbols, name) : NULL;

		if (symbols.hash == NULL || (symbol != NULL && ELF64_ST_TYPE(symbol->st_info) != STT_FUNC))
			break;
		if (symbol != NULL)
			return (void *)(symbols.base + symbol->st_value); // NOLINT(performance-no-int-to-ptr)
	}
	return dlsym(RTLD_NEXT, name);
}

/* The form shown in dlsym(3): C has no cast from void * to a function pointer. */
#define FIND(result, name, parameters)                                                                                         \
	result(*real_find_##name(void)) parameters                                                                             \
	{                                                                                                                      \
		result(*found) parameters;                                                                                     \
		*(void **)(void *)&found = find(#name);                                                                        \
		__atomic_store_n(&real_calls.name, found, __ATOMIC_RELAXED);                                                   \
		return found;                                                                                                  \
	}
INTERPOSED_CALLS(FIND)
#undef FIND
