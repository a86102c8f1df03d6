/* What a filter says of a call is found out without making it: as the kernel would decide, instruction for instruction. */
#include "values/confined.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAMS = 600, STEPS = 14, CELLS = 4, KILLED = -1, NOT_TAKEN = -2 };

static uint64_t dice = 1;

static uint32_t roll(uint32_t sides)
{
	dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(dice >> 33) % sides;
}

static uint32_t number(void)
{
	static const uint32_t some[] = {0, 1, 2, 3, 31, 32, 33, 255, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

	return some[roll(sizeof(some) / sizeof(some[0]))];
}

static uint16_t source(void)
{
	return roll(2) != 0 ? BPF_X : BPF_K;
}

static struct sock_filter calculation(void)
{
	static const uint16_t operations[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,
					      BPF_AND, BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG};
	uint16_t operation = operations[roll(sizeof(operations) / sizeof(operations[0]))];
	uint16_t from = operation == BPF_NEG ? BPF_K : source();
	uint32_t with = number();

	if (operation == BPF_DIV && with == 0)
		with = 1;
	if (operation == BPF_LSH || operation == BPF_RSH)
		with %= 32;
	return (struct sock_filter)BPF_STMT(BPF_ALU | operation | from, from == BPF_K && operation != BPF_NEG ? with : 0);
}

static struct sock_filter jump_over(unsigned left)
{
	static const uint16_t operations[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};
	unsigned most = left < 4 ? left : 4;

	if (roll(8) == 0)
		return (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, roll(most + 1));
	return (struct sock_filter)BPF_JUMP(BPF_JMP | operations[roll(4)] | source(), number(), (uint8_t)roll(most + 1),
					    (uint8_t)roll(most + 1));
}

static struct sock_filter transfer(void)
{
	uint16_t to = roll(2) != 0 ? BPF_LD : BPF_LDX;

	switch (roll(7)) {
	case 0: return (struct sock_filter)BPF_STMT(to | BPF_IMM, number());
	case 1: return (struct sock_filter)BPF_STMT(to | BPF_MEM, roll(CELLS));
	case 2: return (struct sock_filter)BPF_STMT(to | BPF_W | BPF_LEN, 0);
	case 3: return (struct sock_filter)BPF_STMT(to == BPF_LD ? BPF_ST : BPF_STX, roll(CELLS));
	case 4: return (struct sock_filter)BPF_STMT(BPF_MISC | (to == BPF_LD ? BPF_TXA : BPF_TAX), 0);
	default:
		return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						    (uint32_t)offsetof(struct seccomp_data, args) + 4 * roll(12));
	}
}

/* Decides on getpgid(2) by its arguments: an errno from 0 to 255. */
static unsigned write_program(struct sock_filter *program)
{
	unsigned length = 0;

	program[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 1, 0);
	program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	for (uint32_t cell = 0; cell < CELLS; cell++)
		program[length++] = (struct sock_filter)BPF_STMT(cell % 2 == 0 ? BPF_ST : BPF_STX, cell);
	for (unsigned left = STEPS; left-- > 0;) {
		uint32_t kind = roll(3);
		program[length++] = kind == 0 ? calculation() : kind == 1 ? jump_over(left) : transfer();
	}
	program[length++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff);
	program[length++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
	program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
	return length;
}

/* What the kernel makes of it: the errno, or KILLED. */
static int by_kernel(const struct sock_fprog *program, const long arguments[6])
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0)
			kill(getpid(), SIGKILL);
		errno = 0;
		syscall(SYS_getpgid, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
		_exit(errno);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return NOT_TAKEN;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return WTERMSIG(status) == SIGSYS ? KILLED : NOT_TAKEN;
}

static int by_us(const struct sock_fprog *program, const long arguments[6])
{
	struct seccomp_data data = {.nr = SYS_getpgid, .arch = ARCHITECTURE};

	for (int i = 0; i < 6; i++)
		data.args[i] = (uint64_t)arguments[i];
	uint32_t verdict = run(program->filter, program->len, &data);
	return (verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO ? (int)(verdict & SECCOMP_RET_DATA) : KILLED;
}

static void filters_decide_as_in_the_kernel(void **state)
{
	struct sock_filter filter[64];
	struct sock_fprog program = {.filter = filter};
	unsigned compared = 0;
	unsigned killed = 0;

	(void)state;
	for (unsigned i = 0; i < PROGRAMS; i++) {
		long arguments[6];

		for (int a = 0; a < 6; a++)
			arguments[a] = (long)((uint64_t)number() << 32 | number());
		program.len = (unsigned short)write_program(filter);
		int wanted = by_kernel(&program, arguments);
		if (wanted == NOT_TAKEN)
			continue;
		compared++;
		killed += wanted == KILLED;
		if (by_us(&program, arguments) != wanted) {
			for (unsigned at = 0; at < program.len; at++)
				print_message("%2u: code 0x%02x jt %u jf %u k 0x%x\n", at, filter[at].code, filter[at].jt,
					      filter[at].jf, filter[at].k);
			fail_msg("program %u: %d, not %d", i, by_us(&program, arguments), wanted);
		}
	}
	if (compared == 0)
		skip();
	assert_in_range(compared, PROGRAMS / 2, PROGRAMS);
	assert_true(killed > 0); /* by a division by 0 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(filters_decide_as_in_the_kernel),
	};
	return cmocka_run_group_tests_name("confined", tests, NULL, NULL);
}
