#include "program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SCRIPTS_MOST = 4 /* interpreters of interpreters: the kernel's own bound (execve(2)) */ };

#if defined(__x86_64__)
enum { OUR_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { OUR_MACHINE = EM_AARCH64 };
#else
enum { OUR_MACHINE = EM_NONE };
#endif

__attribute__((format(printf, 3, 4))) static void found(struct program *program, bool fatal, const char *format, ...)
{
	va_list arguments;

	if (program->findings == FINDINGS_MOST)
		return;
	struct finding *finding = &program->finding[program->findings++];
	finding->fatal = fatal;
	va_start(arguments, format);
	vsnprintf(finding->text, sizeof(finding->text), format, arguments);
	va_end(arguments);
}

bool program_can_be_limited(const struct program *program)
{
	for (size_t i = 0; i < program->findings; i++)
		if (program->finding[i].fatal)
			return false;
	return true;
}

/* ---- finding the file ---- */

static int judge_file(const char *path)
{
	struct stat facts;

	if (stat(path, &facts) != 0)
		return errno == EACCES ? 126 : 127;
	return S_ISREG(facts.st_mode) && access(path, X_OK) == 0 ? 0 : 126;
}

int program_find(const char *name, char *path, size_t size)
{
	const char *directories = getenv("PATH");
	int worst = 127;

	if (strchr(name, '/') != NULL) {
		snprintf(path, size, "%s", name);
		return judge_file(path);
	}
	if (directories == NULL)
		directories = "/bin:/usr/bin"; /* execvp(3) */
	for (;;) {
		size_t length = strcspn(directories, ":");
		snprintf(path, size, "%.*s%s%s", (int)length, directories, length > 0 ? "/" : "", name);
		int verdict = *name != '\0' ? judge_file(path) : 127;
		if (verdict == 0)
			return 0;
		if (verdict == 126)
			worst = 126;
		if (directories[length] == '\0')
			return worst;
		directories += length + 1;
	}
}

/* ---- the file ---- */

struct image {
	const unsigned char *bytes;
	size_t size;
};

static const void *part(const struct image *image, uint64_t at, uint64_t length)
{
	return at <= image->size && length <= image->size - at ? image->bytes + at : NULL;
}

static bool copy_part(void *to, const struct image *image, uint64_t at, size_t length)
{
	const void *from = part(image, at, length);

	if (from != NULL)
		memcpy(to, from, length);
	return from != NULL;
}

/* A NUL-terminated string within the file. */
static const char *text_at(const struct image *image, uint64_t at)
{
	return at < image->size && memchr(image->bytes + at, '\0', image->size - at) != NULL ? (const char *)image->bytes + at : NULL;
}

struct layout {
	char interpreter[256];
	uint64_t dynamic;
	uint64_t dynamic_size;
	ElfW(Phdr) load[64];
	int loads;
};

static void read_segments(const struct image *image, const ElfW(Ehdr) *header, struct layout *layout)
{
	for (unsigned i = 0; i < header->e_phnum; i++) {
		ElfW(Phdr) segment;

		if (!copy_part(&segment, image, header->e_phoff + (uint64_t)i * header->e_phentsize, sizeof(segment)))
			return;
		if (segment.p_type == PT_INTERP) {
			const char *name = text_at(image, segment.p_offset);
			if (name != NULL)
				snprintf(layout->interpreter, sizeof(layout->interpreter), "%s", name);
		} else if (segment.p_type == PT_DYNAMIC) {
			layout->dynamic = segment.p_offset;
			layout->dynamic_size = segment.p_filesz;
		} else if (segment.p_type == PT_LOAD && layout->loads < 64) {
			layout->load[layout->loads++] = segment;
		}
	}
}

static uint64_t file_offset(const struct layout *layout, uint64_t address)
{
	for (int i = 0; i < layout->loads; i++)
		if (address >= layout->load[i].p_vaddr && address - layout->load[i].p_vaddr < layout->load[i].p_filesz)
			return address - layout->load[i].p_vaddr + layout->load[i].p_offset;
	return UINT64_MAX;
}

/* Go's linker leaves these even in stripped programs. */
static bool has_go_section(const struct image *image, const ElfW(Ehdr) *header)
{
	ElfW(Shdr) names;
	ElfW(Shdr) section;

	if (!copy_part(&names, image, header->e_shoff + (uint64_t)header->e_shstrndx * header->e_shentsize, sizeof(names)))
		return false;
	for (unsigned i = 0; i < header->e_shnum; i++) {
		if (!copy_part(&section, image, header->e_shoff + (uint64_t)i * header->e_shentsize, sizeof(section)))
			return false;
		const char *name = text_at(image, names.sh_offset + section.sh_name);
		if (name != NULL && (strcmp(name, ".go.buildinfo") == 0 || strcmp(name, ".note.go.buildid") == 0))
			return true;
	}
	return false;
}

static void read_dynamic(struct program *program, const struct image *image, const struct layout *layout)
{
	uint64_t strings = UINT64_MAX;
	bool uring = false;
	bool libc = false;

	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t at = 0; at + sizeof(ElfW(Dyn)) <= layout->dynamic_size; at += sizeof(ElfW(Dyn))) {
			ElfW(Dyn) entry;

			if (!copy_part(&entry, image, layout->dynamic + at, sizeof(entry)) || entry.d_tag == DT_NULL)
				break;
			if (pass == 0 && entry.d_tag == DT_STRTAB)
				strings = file_offset(layout, entry.d_un.d_ptr);
			if (pass == 1 && entry.d_tag == DT_NEEDED && strings != UINT64_MAX) {
				const char *needed = text_at(image, strings + entry.d_un.d_val);
				if (needed != NULL && strncmp(needed, "liburing.so", 11) == 0)
					uring = true;
				if (needed != NULL && strncmp(needed, "libc.so.6", 9) == 0)
					libc = true;
			}
		}
	}
	(void)libc;
	if (uring)
		found(program, false, "it uses io_uring (liburing): connections accepted through a ring are not seen, and not limited");
}

static void examine_elf(struct program *program, const struct image *image)
{
	static struct layout layout;
	ElfW(Ehdr) header;

	layout = (struct layout){0};
	if (image->bytes[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) || !copy_part(&header, image, 0, sizeof(header)) ||
	    header.e_machine != OUR_MACHINE) {
		found(program, true, "it is built for another architecture than connlimit's preload object");
		return;
	}
	read_segments(image, &header, &layout);
	bool go = has_go_section(image, &header);
	if (layout.interpreter[0] == '\0') {
		found(program, true, go ? "it is a static Go program: no loader runs, so nothing can be preloaded"
					: "it is statically linked: no loader runs, so nothing can be preloaded");
		return;
	}
	if (go)
		found(program, true, "it is a Go program: Go makes system calls itself, past the libc calls that are limited");
	const char *loader = strrchr(layout.interpreter, '/');
	loader = loader != NULL ? loader + 1 : layout.interpreter;
	if (strncmp(loader, "ld-linux", 8) != 0)
		found(program, true, "its loader is %.100s: only glibc's can be limited", layout.interpreter);
	read_dynamic(program, image, &layout);
}

/* ld.so(8): in secure-execution mode a preload with a slash in its path is ignored. */
static void examine_privileges(struct program *program, const char *path, const struct stat *facts)
{
	if ((facts->st_mode & S_ISUID) != 0 && facts->st_uid != getuid())
		found(program, true, "it is setuid: the loader ignores preloads for it");
	if ((facts->st_mode & S_ISGID) != 0 && (facts->st_mode & S_IXGRP) != 0 && facts->st_gid != getgid())
		found(program, true, "it is setgid: the loader ignores preloads for it");
	/* For root, capabilities of the file add nothing to what the process has, and the loader does not turn secure. */
	if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		found(program, true, "it has file capabilities: the loader ignores preloads for it");
}

/* "#! INTERPRETER [ARGUMENT]": the interpreter is what runs. `env` finds one more by its name. */
static bool script_interpreter(const struct image *image, char *path, size_t size)
{
	char line[512];
	char name[256] = "";
	char argument[256] = "";
	size_t length = image->size < sizeof(line) - 1 ? image->size : sizeof(line) - 1;

	memcpy(line, image->bytes, length);
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "#!", 2) != 0 || sscanf(line + 2, " %255s %255s", name, argument) < 1)
		return false;
	const char *base = strrchr(name, '/');
	if (base != NULL && strcmp(base, "/env") == 0 && argument[0] != '\0' && argument[0] != '-')
		return program_find(argument, path, size) == 0;
	snprintf(path, size, "%s", name);
	return true;
}

static bool map_file(struct program *program, const char *path, struct image *image)
{
	struct stat facts;
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);

	if (descriptor < 0 || fstat(descriptor, &facts) != 0 || facts.st_size < 4) {
		if (descriptor < 0 && errno == EACCES)
			found(program, false, "it cannot be read, so it was not examined");
		else
			found(program, true, "it cannot be examined: %s", facts.st_size < 4 && descriptor >= 0 ? "it is empty" : strerror(errno));
		if (descriptor >= 0)
			close(descriptor);
		return false;
	}
	examine_privileges(program, path, &facts);
	void *bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
	close(descriptor);
	if (bytes == MAP_FAILED) {
		found(program, true, "it cannot be examined: %s", strerror(errno));
		return false;
	}
	*image = (struct image){.bytes = bytes, .size = (size_t)facts.st_size};
	return true;
}

void program_examine(struct program *program, const char *path)
{
	*program = (struct program){0};
	snprintf(program->path, sizeof(program->path), "%s", path);
	for (int depth = 0; depth <= SCRIPTS_MOST; depth++) {
		struct image image;
		char next[sizeof(program->path)];

		if (!map_file(program, program->path, &image))
			return;
		bool elf = image.size > EI_NIDENT && memcmp(image.bytes, ELFMAG, SELFMAG) == 0;
		bool script = !elf && script_interpreter(&image, next, sizeof(next));
		if (elf)
			examine_elf(program, &image);
		munmap((void *)(uintptr_t)image.bytes, image.size);
		if (elf)
			return;
		if (!script) {
			/* execvp(3) hands such a file to a shell. */
			snprintf(program->path, sizeof(program->path), "/bin/sh");
			continue;
		}
		memcpy(program->path, next, sizeof(next));
	}
	found(program, true, "its interpreters are scripts of scripts, too deep to follow");
}
