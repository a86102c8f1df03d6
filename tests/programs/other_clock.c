/* A preload object for a server whose clock is to be set: gettimeofday(2) is off by the seconds that the file $OTHER_CLOCK
 * says. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	const char *path = getenv("OTHER_CLOCK");
	int file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[32] = "";

	if (file >= 0) {
		if (read(file, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(file);
	}
	int result = (int)syscall(SYS_gettimeofday, time, zone);
	if (result == 0)
		time->tv_sec += atol(text);
	return result;
}
