/* An ELF file in memory, of which nothing is believed. */
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

/* Copies `length` bytes at offset `at`. False, and nothing copied, if the file ends before them. */
static inline bool image_copy(void *to, const struct image *image, uint64_t at, size_t length)
{
	if (at > image->size || length > image->size - at)
		return false;
	memcpy(to, image->bytes + at, length);
	return true;
}

/* The offset in the file of what is loaded at an address; UINT64_MAX if none of its loaded segments has it. */
static inline uint64_t image_offset(const ElfW(Phdr) * load, int loads, uint64_t address)
{
	for (int i = 0; i < loads; i++)
		if (address >= load[i].p_vaddr && address - load[i].p_vaddr < load[i].p_filesz)
			return address - load[i].p_vaddr + load[i].p_offset;
	return UINT64_MAX;
}

#endif
