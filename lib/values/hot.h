/* Code that every connection executes is kept together, in few pages: after a system call the TLB may be empty (page table
 * isolation). */
#ifndef CONNLIMIT_HOT_H
#define CONNLIMIT_HOT_H

#define HOT __attribute__((hot))

/* Code that few connections execute is kept elsewhere, as are the branches that lead to it: otherwise the code of the others
 * would span more cache lines. */
#define COLD __attribute__((cold, noinline))

/* Code that every preloaded program executes at its start, daemon or not, is kept next to that: this saves pages. */
#define START __attribute__((section(".text.startup")))

#endif
