/* The real calls are those that dlsym(3) finds: here libc's, behind the kernel's own object (vdso(7)), and those of an object
 * that comes before libc and has only the older kind of table. */
#include "process/real.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dlfcn.h>

static void each_is_what_the_loader_finds(void **state)
{
	(void)state;
#define COMPARE(result, name, parameters)                                                                                      \
	assert_ptr_equal((void *)REAL(name), dlsym(RTLD_NEXT, #name));                                                         \
	assert_ptr_equal((void *)real_calls.name, (void *)REAL(name));
	INTERPOSED_CALLS(COMPARE)
#undef COMPARE
}

static void they_work(void **state)
{
	(void)state;
	int copy = REAL(dup)(0);

	assert_true(copy >= 0);
	assert_int_equal(REAL(close)(copy), 0);
	assert_int_equal(REAL(dup)(copy), -1);
}

static void another_object_comes_first(void **state)
{
	(void)state;
	assert_ptr_equal((void *)REAL(sigignore), (void *)sigignore); /* links the object */
	assert_int_equal(REAL(sigignore)(SIGUSR1), 4711);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_is_what_the_loader_finds),
	    cmocka_unit_test(they_work),
	    cmocka_unit_test(another_object_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
