#include "values/confined.h"

#include "values/door.h"
#include "values/hot.h"
#include "values/near.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

enum { FILTERS_MOST = 32, ROOM = BPF_MAXINSNS * sizeof(struct sock_filter) };

NEAR _Atomic bool confined;

static struct {
	const struct sock_filter *program;
	unsigned length;
	_Atomic bool in_force;
} filters[FILTERS_MOST];
static _Atomic unsigned taken;
static _Atomic bool wholly;
static struct sock_filter *_Atomic spare;

struct machine {
	const struct sock_filter *program;
	unsigned length;
	unsigned at;
	uint32_t a;
	uint32_t x;
	uint32_t memory[BPF_MEMWORDS];
};

static bool load(struct machine *machine, const struct sock_filter *step, const struct seccomp_data *data)
{
	uint32_t value = step->k;

	switch (BPF_MODE(step->code)) {
	case BPF_ABS:
		if (step->k > sizeof(*data) - sizeof(value))
			return false;
		memcpy(&value, (const char *)data + step->k, sizeof(value));
		break;
	case BPF_MEM: value = machine->memory[step->k % BPF_MEMWORDS]; break;
	case BPF_LEN: value = sizeof(*data); break;
	case BPF_IMM: break;
	default: return false;
	}
	*(BPF_CLASS(step->code) == BPF_LD ? &machine->a : &machine->x) = value;
	return true;
}

static bool calculate(struct machine *machine, const struct sock_filter *step)
{
	uint32_t with = BPF_SRC(step->code) == BPF_X ? machine->x : step->k;

	switch (BPF_OP(step->code)) {
	case BPF_ADD: machine->a += with; return true;
	case BPF_SUB: machine->a -= with; return true;
	case BPF_MUL: machine->a *= with; return true;
	case BPF_DIV: machine->a = with != 0 ? machine->a / with : 0; return with != 0;
	case BPF_OR: machine->a |= with; return true;
	case BPF_AND: machine->a &= with; return true;
	case BPF_XOR: machine->a ^= with; return true;
	case BPF_LSH: machine->a <<= with % 32; return true; /* as the kernel's 32-bit shifts do */
	case BPF_RSH: machine->a >>= with % 32; return true;
	case BPF_NEG: machine->a = -machine->a; return true;
	default: return false;
	}
}

static bool jump(struct machine *machine, const struct sock_filter *step)
{
	uint32_t with = BPF_SRC(step->code) == BPF_X ? machine->x : step->k;
	bool yes;

	switch (BPF_OP(step->code)) {
	case BPF_JA:
		if (step->k >= machine->length)
			return false;
		machine->at += step->k;
		return true;
	case BPF_JEQ: yes = machine->a == with; break;
	case BPF_JGT: yes = machine->a > with; break;
	case BPF_JGE: yes = machine->a >= with; break;
	case BPF_JSET: yes = (machine->a & with) != 0; break;
	default: return false;
	}
	machine->at += yes ? step->jt : step->jf;
	return true;
}

/* Interprets classic BPF as seccomp(2) accepts it. Jumps only go forward, so it ends. An instruction that we do not know counts
 * as a kill. */
static uint32_t run(const struct sock_filter *program, unsigned length, const struct seccomp_data *data)
{
	struct machine machine = {.program = program, .length = length};

	while (machine.at < length) {
		const struct sock_filter *step = &program[machine.at++];
		bool understood = true;

		switch (BPF_CLASS(step->code)) {
		case BPF_LD:
		case BPF_LDX: understood = load(&machine, step, data); break;
		case BPF_ST: machine.memory[step->k % BPF_MEMWORDS] = machine.a; break;
		case BPF_STX: machine.memory[step->k % BPF_MEMWORDS] = machine.x; break;
		case BPF_ALU: understood = calculate(&machine, step); break;
		case BPF_JMP: understood = jump(&machine, step); break;
		case BPF_MISC:
			*(BPF_MISCOP(step->code) == BPF_TAX ? &machine.x : &machine.a) =
			    BPF_MISCOP(step->code) == BPF_TAX ? machine.a : machine.x;
			break;
		default: return BPF_RVAL(step->code) == BPF_A ? machine.a : step->k;
		}
		if (!understood)
			break;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

static bool harmless(uint32_t answer)
{
	switch (answer & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ALLOW: return true;
	default: return false;
	}
}

COLD bool confined_may_call(long number, const long arguments[6])
{
	struct seccomp_data data = {
	    .nr = (int)number,
	    .arch = ARCHITECTURE,
	    .instruction_pointer = (uintptr_t)confined_may_call,
	};
	unsigned number_taken = atomic_load(&taken);

	for (int i = 0; i < 6; i++)
		data.args[i] = (uint64_t)arguments[i];
	if (ARCHITECTURE == 0 || atomic_load(&wholly))
		return false;
	for (unsigned i = 0; i < number_taken && i < FILTERS_MOST; i++)
		if (atomic_load(&filters[i].in_force) && !harmless(run(filters[i].program, filters[i].length, &data)))
			return false;
	return true;
}

bool confined_may_call_each(const short *numbers, unsigned length)
{
	for (unsigned i = 0; i < length; i++)
		if (!confined_may_call(numbers[i], (const long[6]){0}))
			return false;
	return true;
}

struct sock_filter *confined_room(void)
{
	struct sock_filter *room = atomic_exchange(&spare, NULL);
	int kept = errno;

	if (room == NULL) {
		void *made = door_mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		room = made != MAP_FAILED ? made : NULL;
	}
	errno = kept;
	return room;
}

void confined_not(struct sock_filter *room)
{
	if (room != NULL)
		atomic_store(&spare, room);
}

void confined_by(struct sock_filter *room, const struct sock_fprog *program)
{
	unsigned place = room != NULL ? atomic_fetch_add(&taken, 1) : FILTERS_MOST;

	if (place >= FILTERS_MOST || program->len > BPF_MAXINSNS) {
		confined_wholly();
		return;
	}
	memcpy(room, program->filter, program->len * sizeof(room[0]));
	filters[place].program = room;
	filters[place].length = program->len;
	atomic_store(&filters[place].in_force, true);
	atomic_store(&confined, true);
}

void confined_wholly(void)
{
	atomic_store(&wholly, true);
	atomic_store(&confined, true);
}
