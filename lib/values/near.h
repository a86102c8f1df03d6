/* Variables that interposed calls read, and those that a new process changes, are kept together: a call then touches one page
 * of ours, and a fork copies one. Pages are the main cost of such calls: after a system call the TLB may be empty (page table
 * isolation), and after fork(2) each page that is written is copied. */
#ifndef CONNLIMIT_NEAR_H
#define CONNLIMIT_NEAR_H

#define NEAR __attribute__((section("connlimit_near")))

/* Of these, the variables that every accept and close reads, next to each other on the same page: so they take few cache lines
 * as well. */
#define NEAREST __attribute__((section("connlimit_nearest")))

#endif
