/* Programs that this process is about to execute, in which we will not be: what they accept is not limited, and that must not
 * be so in silence. */
#ifndef CONNLIMIT_UNSEEN_H
#define CONNLIMIT_UNSEEN_H

#include <stdbool.h>

/* It is the daemon's own, for which the loader ignores preloads. */
void unseen_by_loader(void);

/* Whether it inherits a listener. errno is kept. */
bool unseen_inherits_listener(void);

/* It does, and has no LD_PRELOAD in its environment: that is counted in the table and said once. */
void unseen_with_listener(void);

#endif
