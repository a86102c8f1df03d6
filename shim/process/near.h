/* What interposed calls look at, and what a new process changes of its own, lies together: a call then touches one page of
 * ours, and a fork copies one. Pages are what such calls pay for: behind a system call the processor may have forgotten them
 * all (page table isolation), and after fork(2) each that is written is copied. */
#ifndef CONNLIMIT_NEAR_H
#define CONNLIMIT_NEAR_H

#define NEAR __attribute__((section("connlimit_near")))

/* Of that, what every accept and close of a connection looks at, beside it on the same page: so it is few cache lines as well.
 */
#define NEAREST __attribute__((section("connlimit_nearest")))

#endif
