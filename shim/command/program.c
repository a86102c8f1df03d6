#include "command/program.h"

#include "command/calls_in.h"
#include "command/image.h"

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

enum {
	SCRIPTS_MOST = 4,   /* nested interpreters: the kernel's own bound (execve(2)) */
	LINE_MOST = 255,    /* length of a "#!" line that the kernel reads (execve(2)) */
	STRING_MOST = 4096, /* length of a name in an ELF file */
	READ_MOST = 1 << 30 /* bytes of a file: what a program loads is at its beginning, what is for debuggers follows */
};

#if defined(__x86_64__)
enum { OUR_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { OUR_MACHINE = EM_AARCH64 };
#else
enum { OUR_MACHINE = EM_NONE };
#endif

__attribute__((format(printf, 3, 4))) static void found(struct program *program, enum ruled_out out, const char *format, ...)
{
	va_list arguments;
	int before = 0;

	if (program->findings == FINDINGS_MOST)
		return;
	struct finding *finding = &program->finding[program->findings++];
	finding->out = out;
	if (program->interpreter) {
		char path[121]; /* a copy, because the compiler cannot tell that path and finding do not overlap */
		snprintf(path, sizeof(path), "%.120s", program->path);
		before = snprintf(finding->text, sizeof(finding->text), "its interpreter is %s, and ", path);
	}
	va_start(arguments, format);
	vsnprintf(finding->text + before, sizeof(finding->text) - (size_t)before, format, arguments);
	va_end(arguments);
}

enum ruled_out program_ruled_out(const struct program *program)
{
	enum ruled_out worst = RULES_OUT_NOTHING;

	for (size_t i = 0; i < program->findings; i++)
		if (program->finding[i].out > worst)
			worst = program->finding[i].out;
	return worst;
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
		snprintf(path, size, "%.*s/%s", length > 0 ? (int)length : 1, length > 0 ? directories : ".", name);
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

/* A NUL-terminated string in the file. */
static const char *text_at(const struct image *image, uint64_t at)
{
	if (at >= image->size)
		return NULL;
	size_t most = image->size - at < STRING_MOST ? image->size - at : STRING_MOST;
	return memchr(image->bytes + at, '\0', most) != NULL ? (const char *)image->bytes + at : NULL;
}

struct layout {
	char interpreter[256];
	uint64_t dynamic;
	uint64_t dynamic_size;
	ElfW(Phdr) load[64];
	int loads;
};

/* False if the file is too short for its segments, or if the kernel would not start it. */
static bool read_segments(const struct image *image, const ElfW(Ehdr) * header, struct layout *layout)
{
	if (header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum == 0)
		return false;
	for (unsigned i = 0; i < header->e_phnum; i++) {
		ElfW(Phdr) segment;

		if (!image_copy(&segment, image, header->e_phoff + (uint64_t)i * sizeof(segment), sizeof(segment)))
			return false;
		if (segment.p_type == PT_INTERP) {
			const char *name = text_at(image, segment.p_offset);
			if (name == NULL || name[0] == '\0')
				return false;
			snprintf(layout->interpreter, sizeof(layout->interpreter), "%s", name);
		} else if (segment.p_type == PT_DYNAMIC) {
			layout->dynamic = segment.p_offset;
			layout->dynamic_size = segment.p_filesz;
		} else if (segment.p_type == PT_LOAD && layout->loads < 64) {
			layout->load[layout->loads++] = segment;
		}
	}
	return true;
}

static bool read_section(ElfW(Shdr) * section, const struct image *image, const ElfW(Ehdr) * header, unsigned which)
{
	return header->e_shentsize == sizeof(*section) && which < header->e_shnum &&
	       image_copy(section, image, header->e_shoff + (uint64_t)which * sizeof(*section), sizeof(*section));
}

/* Go's linker keeps these sections even in stripped programs. */
static bool has_go_section(const struct image *image, const ElfW(Ehdr) * header)
{
	ElfW(Shdr) names;
	ElfW(Shdr) section;

	if (!read_section(&names, image, header, header->e_shstrndx))
		return false;
	for (unsigned i = 0; read_section(&section, image, header, i); i++) {
		const char *name = text_at(image, names.sh_offset + section.sh_name);
		if (name != NULL && (strcmp(name, ".go.buildinfo") == 0 || strcmp(name, ".note.go.buildid") == 0))
			return true;
	}
	return false;
}

/* Finds a function of liburing that the program imports, whatever library provides it. */
static bool wants_uring(const struct image *image, const ElfW(Ehdr) * header)
{
	ElfW(Shdr) section;
	ElfW(Shdr) strings;
	ElfW(Sym) symbol;

	for (unsigned i = 0; read_section(&section, image, header, i); i++) {
		if (section.sh_type != SHT_DYNSYM || !read_section(&strings, image, header, section.sh_link))
			continue;
		for (uint64_t at = 0;
		     at < section.sh_size && image_copy(&symbol, image, section.sh_offset + at, sizeof(symbol));
		     at += sizeof(symbol)) {
			const char *name =
			    symbol.st_shndx == SHN_UNDEF ? text_at(image, strings.sh_offset + symbol.st_name) : NULL;
			if (name != NULL && strncmp(name, "io_uring_", 9) == 0)
				return true;
		}
	}
	return false;
}

struct needs {
	bool libc;
	bool uring;
};

static struct needs read_needs(const struct image *image, const struct layout *layout)
{
	struct needs needs = {0};
	uint64_t strings = UINT64_MAX;

	/* The table of names may come after the names, hence two passes. */
	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t at = 0; at < layout->dynamic_size; at += sizeof(ElfW(Dyn))) {
			ElfW(Dyn) entry;

			if (!image_copy(&entry, image, layout->dynamic + at, sizeof(entry)) || entry.d_tag == DT_NULL)
				break;
			if (pass == 0 && entry.d_tag == DT_STRTAB)
				strings = image_offset(layout->load, layout->loads, entry.d_un.d_ptr);
			if (pass == 1 && entry.d_tag == DT_NEEDED && strings != UINT64_MAX) {
				const char *needed = text_at(image, strings + entry.d_un.d_val);
				if (needed != NULL && strncmp(needed, "liburing", 8) == 0)
					needs.uring = true;
				if (needed != NULL && strncmp(needed, "libc.so.", 8) == 0)
					needs.libc = true;
			}
		}
	}
	return needs;
}

/* syscall(2): io_uring_setup has the same number on every architecture. */
static bool sets_up_ring(uint32_t number)
{
	return number == 425;
}

/* dlopen(3): RTLD_DEEPBIND, together with other flags only. */
static bool binds_deeply(uint32_t flags)
{
	return (flags & 0x8) != 0 && (flags & 0x3) != 0 && (flags & ~0x110fU) == 0;
}

static void examine_elf(struct program *program, const struct image *image)
{
	static struct layout layout;
	ElfW(Ehdr) header;

	layout = (struct layout){0};
	if (image->bytes[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) || image->bytes[EI_DATA] != ELFDATA2LSB) {
		found(program, RULES_OUT_ALL, "it is built for another architecture than connlimit's preload object");
		return;
	}
	if (!image_copy(&header, image, 0, sizeof(header))) {
		found(program, RULES_OUT_ALL, "it is damaged: the file ends within the header");
		return;
	}
	if (header.e_machine != OUR_MACHINE) {
		found(program, RULES_OUT_ALL, "it is built for another architecture than connlimit's preload object");
		return;
	}
	if (!read_segments(image, &header, &layout)) {
		found(program, RULES_OUT_ALL, "it is damaged: its program headers are not all there");
		return;
	}
	bool go = program->go = has_go_section(image, &header);
	if (layout.interpreter[0] == '\0') {
		found(program, RULES_OUT_PRELOAD,
		      go ? "it is a static Go program: no loader runs, so nothing can be preloaded"
			 : "it is statically linked: no loader runs, so nothing can be preloaded");
		return;
	}
	if (go)
		found(program, RULES_OUT_PRELOAD,
		      "it is a Go program: Go makes system calls itself, without the libc calls that are intercepted");
	const char *loader = strrchr(layout.interpreter, '/');
	loader = loader != NULL ? loader + 1 : layout.interpreter;
	if (strncmp(loader, "ld-linux", 8) != 0)
		found(program, RULES_OUT_PRELOAD, "its loader is %.100s: only glibc's can preload connlimit's object",
		      layout.interpreter);
	struct needs needs = read_needs(image, &layout);
	program->ring = program->findings;
	if (needs.uring || wants_uring(image, &header))
		found(program, RULES_OUT_NOTHING,
		      "it uses io_uring (liburing): connections accepted through a ring are not seen, and not limited (but see "
		      "--no-io-uring)");
	else if (calls_with(image->bytes, image->size, "syscall", 1, sets_up_ring))
		found(program, RULES_OUT_NOTHING,
		      "it can set up an io_uring by system calls of its own: connections accepted through a ring are not seen, "
		      "and not limited (but see --no-io-uring)");
	else
		program->ring = FINDINGS_MOST;
	if (calls_with(image->bytes, image->size, "dlopen", 2, binds_deeply))
		found(program, RULES_OUT_NOTHING,
		      "it loads libraries with RTLD_DEEPBIND: they may bypass connlimit, and what they accept is then not "
		      "limited");
	if (!needs.libc && !go)
		found(program, RULES_OUT_NOTHING,
		      "it does not name libc among its libraries: connections it accepts by system calls of its own are not "
		      "limited");
}

/* ld.so(8): in secure-execution mode a preload with a slash in its path is ignored. Supervised by somebody other than root,
 * such a program would not get its privileges (no_new_privs). A setuid program that belongs to root and is started by root is
 * not in that mode at first. But such programs usually give up root while they serve, and some execute themselves then. */
static void examine_privileges(struct program *program, const char *path, const struct stat *facts)
{
	enum ruled_out out = geteuid() == 0 ? RULES_OUT_PRELOAD : RULES_OUT_ALL;

	if ((facts->st_mode & S_ISUID) != 0 && facts->st_uid != getuid())
		found(program, out, "it is setuid: the loader ignores preloads for it");
	else if ((facts->st_mode & S_ISUID) != 0 && getuid() == 0)
		found(program, out,
		      "it is setuid: where it has given up root and executes itself, as on a reload, the loader ignores "
		      "preloads for it");
	if ((facts->st_mode & S_ISGID) != 0 && (facts->st_mode & S_IXGRP) != 0 && facts->st_gid != getgid())
		found(program, out, "it is setgid: the loader ignores preloads for it");
	/* For root, file capabilities add nothing to what the process has, so this mode is not turned on. */
	if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		found(program, out, "it has file capabilities: the loader ignores preloads for it");
}

static const char *next_word(char **line)
{
	char *word;

	do
		word = strsep(line, " \t");
	while (word != NULL && *word == '\0');
	return word;
}

/* "#! INTERPRETER [ARGUMENT]": the interpreter is what runs. `env` executes another one, after its options and assignments. */
static bool script_interpreter(const struct image *image, char *path, size_t size)
{
	char line[LINE_MOST + 1];
	size_t length = image->size < LINE_MOST ? image->size : LINE_MOST;

	memcpy(line, image->bytes, length);
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "#!", 2) != 0)
		return false;
	char *rest = line + 2;
	const char *name = next_word(&rest);
	if (name == NULL)
		return false;
	snprintf(path, size, "%s", name);
	const char *base = strrchr(name, '/');
	if (strcmp(base != NULL ? base + 1 : name, "env") != 0)
		return true;
	while ((name = next_word(&rest)) != NULL) {
		if (strncmp(name, "-S", 2) == 0)
			name += 2;
		if (*name == '\0' || *name == '-' || strchr(name, '=') != NULL)
			continue;
		/* An interpreter that does not exist is examined under its bare name, which reports that. */
		if (program_find(name, path, size) != 0)
			snprintf(path, size, "%s", name);
		break;
	}
	return true;
}

static size_t size_read(const struct stat *facts)
{
	return facts->st_size < READ_MOST ? (size_t)facts->st_size : READ_MOST;
}

/* A copy: a mapping of the file would end us by SIGBUS if somebody truncated it now. What is missing then is 0. */
static unsigned char *copy_file(int descriptor, size_t size)
{
	unsigned char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t at = 0;
	ssize_t length;

	while (bytes != MAP_FAILED && (length = pread(descriptor, bytes + at, size - at, (off_t)at)) != 0) {
		if (length > 0) {
			at += (size_t)length;
		} else if (errno != EINTR) {
			int kept = errno;
			munmap(bytes, size);
			errno = kept;
			return MAP_FAILED;
		}
	}
	return bytes;
}

/* False, with a finding, if the file cannot be read. */
static bool read_file(struct program *program, struct image *image, struct stat *facts)
{
	/* O_NONBLOCK: do not wait if the interpreter is a FIFO. */
	int descriptor = open(program->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (descriptor < 0) {
		if (errno == EACCES && stat(program->path, facts) == 0) {
			examine_privileges(program, program->path, facts);
			found(program, RULES_OUT_NOTHING, "it cannot be read, so it was not examined");
		} else {
			found(program, RULES_OUT_ALL, "it cannot be examined: %s", strerror(errno));
		}
		return false;
	}
	void *bytes = MAP_FAILED;
	if (fstat(descriptor, facts) != 0)
		found(program, RULES_OUT_ALL, "it cannot be examined: %s", strerror(errno));
	else if (!S_ISREG(facts->st_mode))
		found(program, RULES_OUT_ALL, "it is not a regular file");
	else if (facts->st_size == 0)
		found(program, RULES_OUT_ALL, "it is empty");
	else if ((bytes = copy_file(descriptor, size_read(facts))) == MAP_FAILED)
		found(program, RULES_OUT_ALL, "it cannot be examined: %s", strerror(errno));
	close(descriptor);
	*image = (struct image){.bytes = bytes, .size = size_read(facts)};
	return bytes != MAP_FAILED;
}

void program_examine(struct program *program, const char *path)
{
	*program = (struct program){.ring = FINDINGS_MOST};
	snprintf(program->path, sizeof(program->path), "%s", path);
	for (int depth = 0; depth <= SCRIPTS_MOST; depth++) {
		struct image image;
		struct stat facts;
		char next[sizeof(program->path)];

		if (!read_file(program, &image, &facts))
			return;
		bool elf = image.size > EI_NIDENT && memcmp(image.bytes, ELFMAG, SELFMAG) == 0;
		bool script = !elf && script_interpreter(&image, next, sizeof(next));
		if (elf) {
			/* For a script these bits have no effect (execve(2)). */
			examine_privileges(program, program->path, &facts);
			examine_elf(program, &image);
		}
		munmap((void *)(uintptr_t)image.bytes, image.size);
		if (elf)
			return;
		/* execvp(3) runs a file that is neither with a shell. */
		snprintf(program->path, sizeof(program->path), "%s", script ? next : "/bin/sh");
		program->interpreter = true;
	}
	found(program, RULES_OUT_ALL, "this is a script too: too many levels");
}
