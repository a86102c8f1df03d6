/* What every connection runs through lies together, in few pages of code: behind a system call the processor may have forgotten
 * them all (page table isolation). */
#ifndef CONNLIMIT_HOT_H
#define CONNLIMIT_HOT_H

#define HOT __attribute__((hot))

/* What only few of them come to lies elsewhere, and so do the branches that lead there: behind them the others' code would
 * begin in further cache lines. */
#define COLD __attribute__((cold, noinline))

/* What every program runs through that starts with us, daemon or not, lies beside that: it is as many fewer pages. */
#define START __attribute__((section(".text.startup")))

#endif
