/* What a refused client gets. */
#ifndef CONNLIMIT_REFUSE_H
#define CONNLIMIT_REFUSE_H

/* Refuses and closes. errno may change. */
void refuse(int descriptor);

/* Refuses, and leaves the descriptor open for the daemon as that of a connection which its client has reset. */
void refuse_in_place(int descriptor);

#endif
