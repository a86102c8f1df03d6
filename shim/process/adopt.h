/* Descriptors that turn up in this process otherwise than by accept. */
#ifndef CONNLIMIT_ADOPT_H
#define CONNLIMIT_ADOPT_H

#include <stdbool.h>

/* If the descriptor is a connection that the table knows, it holds it from now on. */
void adopt(int descriptor);

/* Adopts what this program inherited over exec. True if there is a listener among it. */
bool adopt_inherited(void);

#endif
