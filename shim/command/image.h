/* An ELF file in memory, which is not trusted. */
#ifndef CONNLIMIT_COMMAND_IMAGE_H
#define CONNLIMIT_COMMAND_IMAGE_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct image {
	const unsigned char *bytes;
	size_t size;
};

/* Copies `length` bytes at offset `at`. If the file is too short, returns false and copies nothing. */
static inline bool image_copy(void *to, const struct image *image, uint64_t at, size_t length)
{
	if (at > image->size || length > image->size - at)
		return false;
	memcpy(to, image->bytes + at, length);
	return true;
}

/* The offset in the file of an address in memory; UINT64_MAX if no loaded segment contains it. */
static inline uint64_t image_offset(const ElfW(Phdr) * load, int loads, uint64_t address)
{
	for (int i = 0; i < loads; i++)
		if (address >= load[i].p_vaddr && address - load[i].p_vaddr < load[i].p_filesz)
			return address - load[i].p_vaddr + load[i].p_offset;
	return UINT64_MAX;
}

#endif
