#include "command/calls_in.h"

#include "command/image.h"

#include <elf.h>
#include <string.h>

#if defined(__x86_64__) && defined(__LP64__)

enum {
	LOADS_MOST = 32,
	PLACES_MOST = 16, /* slots and stubs of one function: one or two in practice */
	LOOK_BACK = 48,	  /* the argument is set within so many bytes before a call */
};

struct file {
	struct image image;
	Elf64_Phdr load[LOADS_MOST];
	int loads;
	uint64_t symbols, strings;	   /* offsets in the file; UINT64_MAX if there are none */
	uint64_t relocations[2], sizes[2]; /* those for data, and those for calls */
};

struct places {
	uint64_t address[PLACES_MOST];
	int number;
};

static void read_dynamic(struct file *file, const Elf64_Phdr *segment)
{
	Elf64_Dyn entry;

	for (uint64_t at = 0; at < segment->p_filesz && image_copy(&entry, &file->image, segment->p_offset + at, sizeof(entry));
	     at += sizeof(entry)) {
		switch (entry.d_tag) {
		case DT_SYMTAB: file->symbols = image_offset(file->load, file->loads, entry.d_un.d_ptr); break;
		case DT_STRTAB: file->strings = image_offset(file->load, file->loads, entry.d_un.d_ptr); break;
		case DT_RELA: file->relocations[0] = image_offset(file->load, file->loads, entry.d_un.d_ptr); break;
		case DT_RELASZ: file->sizes[0] = entry.d_un.d_val; break;
		case DT_JMPREL: file->relocations[1] = image_offset(file->load, file->loads, entry.d_un.d_ptr); break;
		case DT_PLTRELSZ: file->sizes[1] = entry.d_un.d_val; break;
		case DT_NULL: return;
		default: break;
		}
	}
}

static bool read_file(struct file *file)
{
	Elf64_Phdr dynamic = {0};
	Elf64_Ehdr header;

	file->symbols = file->strings = file->relocations[0] = file->relocations[1] = UINT64_MAX;
	if (!image_copy(&header, &file->image, 0, sizeof(header)) || header.e_machine != EM_X86_64 ||
	    header.e_phentsize != sizeof(Elf64_Phdr))
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment;

		if (!image_copy(&segment, &file->image, header.e_phoff + (uint64_t)i * sizeof(segment), sizeof(segment)))
			return false;
		if (segment.p_type == PT_LOAD && file->loads < LOADS_MOST)
			file->load[file->loads++] = segment;
		if (segment.p_type == PT_DYNAMIC)
			dynamic = segment;
	}
	read_dynamic(file, &dynamic);
	return file->symbols != UINT64_MAX && file->strings != UINT64_MAX;
}

static void add(struct places *places, uint64_t address)
{
	if (places->number < PLACES_MOST)
		places->address[places->number++] = address;
}

static bool among(const struct places *places, uint64_t address)
{
	for (int i = 0; i < places->number; i++)
		if (places->address[i] == address)
			return true;
	return false;
}

/* Finds where the loader writes the function's address. */
static void find_slots(const struct file *file, const char *function, struct places *slots)
{
	char name[64];
	size_t length = strlen(function) + 1;
	Elf64_Rela relocation;
	Elf64_Sym symbol;

	for (int table = 0; table < 2 && length <= sizeof(name); table++)
		for (uint64_t at = 0; at < file->sizes[table] && file->relocations[table] != UINT64_MAX &&
				      image_copy(&relocation, &file->image, file->relocations[table] + at, sizeof(relocation));
		     at += sizeof(relocation)) {
			uint64_t type = ELF64_R_TYPE(relocation.r_info);

			if ((type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT) &&
			    image_copy(&symbol, &file->image, file->symbols + ELF64_R_SYM(relocation.r_info) * sizeof(symbol),
				       sizeof(symbol)) &&
			    image_copy(name, &file->image, file->strings + symbol.st_name, length) &&
			    memcmp(name, function, length) == 0)
				add(slots, relocation.r_offset);
		}
}

/* The target of a 32-bit displacement at `at`. */
static uint64_t target(const unsigned char *at, uint64_t address, unsigned before)
{
	int32_t displacement;

	memcpy(&displacement, at + before, sizeof(displacement));
	return address + before + 4 + (uint64_t)(int64_t)displacement;
}

/* "jmp *slot(%rip)", perhaps with "endbr64" or "bnd" before it. */
static void find_stubs(const unsigned char *code, size_t size, uint64_t address, const struct places *slots,
		       struct places *stubs)
{
	for (size_t i = 0; i + 6 <= size; i++) {
		if (code[i] != 0xff || code[i + 1] != 0x25 || !among(slots, target(code + i, address + i, 2)))
			continue;
		add(stubs, address + i);
		add(stubs, address + i - 4);
		if (i > 0 && code[i - 1] == 0xf2)
			add(stubs, address + i - 5);
	}
}

/* Looks at the last "mov $constant, %edi" (or "%esi") before a call. */
static bool argument_fits(const unsigned char *code, size_t call, int argument, bool (*wanted)(uint32_t constant))
{
	unsigned char mov = argument == 1 ? 0xbf : 0xbe;
	uint32_t constant;

	for (size_t back = 5; back <= LOOK_BACK && back <= call; back++) {
		if (code[call - back] != mov)
			continue;
		memcpy(&constant, code + call - back + 1, sizeof(constant));
		return wanted(constant);
	}
	return false;
}

static bool find_calls(const unsigned char *code, size_t size, uint64_t address, const struct places *slots,
		       const struct places *stubs, int argument, bool (*wanted)(uint32_t constant))
{
	for (size_t i = 0; i + 6 <= size; i++) {
		bool direct = (code[i] == 0xe8 || code[i] == 0xe9) && among(stubs, target(code + i, address + i, 1));
		bool through = code[i] == 0xff && (code[i + 1] == 0x15 || code[i + 1] == 0x25) &&
			       among(slots, target(code + i, address + i, 2));

		if ((direct || through) && argument_fits(code, i, argument, wanted))
			return true;
	}
	return false;
}

bool calls_with(const unsigned char *bytes, size_t size, const char *function, int argument, bool (*wanted)(uint32_t constant))
{
	struct file file = {.image = {.bytes = bytes, .size = size}};
	struct places slots = {0};
	struct places stubs = {0};

	if (!read_file(&file))
		return false;
	find_slots(&file, function, &slots);
	for (int pass = 0; pass < 2 && slots.number > 0; pass++)
		for (int i = 0; i < file.loads; i++) {
			const Elf64_Phdr *load = &file.load[i];

			if ((load->p_flags & PF_X) == 0 || load->p_offset > size || load->p_filesz > size - load->p_offset)
				continue;
			if (pass == 0)
				find_stubs(bytes + load->p_offset, load->p_filesz, load->p_vaddr, &slots, &stubs);
			else if (find_calls(bytes + load->p_offset, load->p_filesz, load->p_vaddr, &slots, &stubs, argument,
					    wanted))
				return true;
		}
	return false;
}

#else

bool calls_with(const unsigned char *bytes, size_t size, const char *function, int argument, bool (*wanted)(uint32_t constant))
{
	(void)bytes, (void)size, (void)function, (void)argument, (void)wanted;
	return false;
}

#endif
