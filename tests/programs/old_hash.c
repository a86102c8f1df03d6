/* A preload of a time when objects had no other table than that of the System V ABI (DT_HASH). */
int sigignore(int signal);

int sigignore(int signal)
{
	(void)signal;
	return 4711;
}
