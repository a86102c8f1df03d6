/* Programs that this process is about to execute, in which we will not be: what they accept is not limited, and that must not
 * be so in silence. */
#ifndef CONNLIMIT_UNSEEN_H
#define CONNLIMIT_UNSEEN_H

/* It is the daemon's own, for which the loader ignores preloads. */
void unseen_by_loader(void);

/* It has no LD_PRELOAD in its environment. If it inherits a listener, that is counted in the table and said once. */
void unseen_with_listener(void);

#endif
