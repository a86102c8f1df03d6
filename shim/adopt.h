/* Descriptors that turn up in this process otherwise than by accept. */
#ifndef CONNLIMIT_ADOPT_H
#define CONNLIMIT_ADOPT_H

/* If the descriptor is a connection that the table knows, it holds it from now on. */
void adopt(int descriptor);

/* Adopts what this program inherited over exec. */
void adopt_inherited(void);

#endif
