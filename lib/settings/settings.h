/* What an operator may say, and how it is read.
 *
 * One table (settings_table, in settings.c) gives each setting's name, default, parser, form and help; the environment,
 * CONNLIMIT_FILE, the options of `connlimit run`, --help, the manual page and `status` are all read from it.
 *
 * Parsing allocates nothing, calls no locale-dependent function and is async-signal-safe, so that a reload can be done from
 * a signal handler. A value is either taken whole or refused with an error that names the variable, the text with its position
 * and what is allowed; nothing is half-applied. */
#ifndef CONNLIMIT_SETTINGS_H
#define CONNLIMIT_SETTINGS_H

#include "values/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In `struct rule.limit` and `struct settings.per_ip`: */
#define LIMIT_NONE UINT32_MAX /* no limit, counted all the same; per_ip's 0 and `unlimited` read as this */
#define LIMIT_DENY 0U	      /* nobody; only rules can say it */
#define LIMIT_MOST 16000000U  /* the largest number accepted for a count */

enum { KEEPALIVE_LEAST = 8, KEEPALIVE_MOST = 18 * 3600 }; /* seconds; half of the most is what tcp(7) takes for TCP_KEEPIDLE */

enum { BAN_MOST = 1000 * 3600 }; /* seconds */

enum { LISTS_MOST = 8, LIST_PATH_MOST = 255 };
enum { RULES_MOST = 10000, PATH_MOST = 1024, TABLE_NAME_MOST = 63, REFUSE_TEXT_MOST = 512 };

enum refuse_how { REFUSE_RESET, REFUSE_CLOSE, REFUSE_HTTP, REFUSE_TEXT };
enum mode { MODE_ENFORCE, MODE_OBSERVE, MODE_OFF };
enum log_to { LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_NOWHERE, LOG_TO_JOURNAL, LOG_TO_JSON /* on standard error */ };

/* A rate, as a token bucket: `burst` at once, one more each `every_us` microseconds, whole ones: 3/s is one each 333333.
 * every_us 0: no rate. */
struct rate {
	uint32_t every_us;
	uint32_t burst;
};

/* A client that is refused so often is banned for so long. seconds 0: none is. */
struct ban {
	struct rate rate; /* of refusals */
	uint32_t seconds;
};

/* One exception: by network, by local port, or by both. The longest prefix wins, then a rule with a port over one without. */
struct rule {
	struct network network; /* prefix 0: every address, or with `ipv6` every IPv6 address */
	uint8_t ipv6;		/* not 0: "::/0", in which IPv4 clients are not, though their addresses are kept as IPv6 ones */
	uint16_t port;		/* local port, host order; 0: every port */
	uint32_t limit;		/* LIMIT_DENY, 1..LIMIT_MOST or LIMIT_NONE */
	struct rate rate;	/* burst 0: the one for all; else this, every_us 0 for none */
	uint32_t per_network;	/* 0: the one for all, or none where `limit` is none; else this, 1..LIMIT_MOST or LIMIT_NONE */
};

/* A file of networks, one a line, that CONNLIMIT_RULES names: the same applies in all of them. What it has is read apart
 * (lists.h). */
struct list {
	uint32_t limit; /* these as in a rule */
	struct rate rate;
	uint32_t per_network;
	char path[LIST_PATH_MOST + 1]; /* absolute, or beside the file of limits */
};

/* Where a value in force came from: FROM_COMMAND is `connlimit set`, FROM_OPTION `connlimit run --...` or the program's own
 * word by connlimit.h. */
enum origin { FROM_DEFAULT, FROM_ENVIRONMENT, FROM_FILE, FROM_COMMAND, FROM_OPTION };

/* Options of `connlimit run` reach the daemon as variables. Which of them were options, for people to be told, this one says:
 * names divided by colons, as "PER_IP:FILE". */
#define OPTIONS_VARIABLE "_CONNLIMIT_OPTIONS"

enum setting_id {
	SETTING_PER_IP,
	SETTING_PER_NETWORK,
	SETTING_TOTAL,
	SETTING_RATE,
	SETTING_PER_UID,
	SETTING_CLUSTER_PER_IP,
	SETTING_IPV4_PREFIX,
	SETTING_IPV6_PREFIX,
	SETTING_NETWORK_IPV4_PREFIX,
	SETTING_NETWORK_IPV6_PREFIX,
	SETTING_RULES,
	SETTING_REFUSE,
	SETTING_BAN,
	SETTING_KEEPALIVE,
	SETTING_MODE,
	SETTING_LOG,
	SETTING_FILE,
	SETTING_TABLE,
	SETTING_JOIN,
	SETTING_CAPACITY,
	SETTING_SIGNAL,
	SETTINGS
};

/* All settings, parsed. Plain data without pointers, as it lies in shared memory, and without bool: what others write there may
 * be neither true nor false, and to load that is undefined. The rules stand behind the rest so that a copy may stop at the last
 * one in use. */
struct settings {
	uint8_t origin[SETTINGS]; /* enum origin */
	uint32_t per_ip;
	uint32_t per_network;
	uint32_t total;
	uint32_t per_uid;
	uint32_t cluster_per_ip; /* over all machines that `connlimit sync` joins */
	struct rate rate;
	struct ban ban;
	uint32_t keepalive;  /* seconds; 0: none */
	uint8_t ipv4_prefix; /* 0..32 */
	uint8_t ipv6_prefix; /* 0..128 */
	/* Of the networks that clients are in, likewise. */
	uint8_t network_ipv4_prefix;
	uint8_t network_ipv6_prefix;
	uint8_t refuse;	   /* enum refuse_how */
	uint8_t mode;	   /* enum mode */
	uint8_t log;	   /* enum log_to */
	uint8_t join;	   /* not 0: under the limits of whoever has the table */
	int32_t signal;	   /* signal number */
	uint32_t capacity; /* connections tracked */
	char refuse_text[REFUSE_TEXT_MOST + 1];
	char file[PATH_MOST + 1];	 /* "" if there is none */
	char table[TABLE_NAME_MOST + 1]; /* "" for one made for this start */
	/* Not 0: the table's name came with a mark before it ("=START=NAME"), from a program of the same start that executed
	 * this one: the daemon, or what started it. */
	uint8_t handed_on;
	uint64_t start_id; /* tells this start from others of the same table; 0: none, as a library's, or not known */
	uint32_t lists;
	struct list list[LISTS_MOST];
	uint32_t rules;
	struct rule rule[RULES_MOST];
	struct rule sorting[RULES_MOST]; /* room for settings_set alone, never copied: on error `rule` is as it was */
};

/* What is wrong, ready to be shown: "CONNLIMIT_PER_IP: 'ten' is not ...". A file's errors start with "PATH:LINE:COLUMN: ", of a
 * long path its end. Printable ASCII, whatever was in the value. */
struct settings_error {
	char text[512];
	size_t position; /* bytes from the value's start to what is wrong in it */
	bool placed;	 /* the caller says where that is: "(at character N)" is left out */
	size_t place;	 /* bytes of the text that say where in a file it is */
	bool secret;	 /* what follows these may quote a file that not everyone may read */
};

struct setting {
	const char *name;     /* "PER_IP": the variable is CONNLIMIT_PER_IP, the option --per-ip */
	const char *form;     /* "N", "ADDRESS/PREFIX=N ..." */
	const char *example;  /* a value such as one would write, in quotes if a shell needs them */
	const char *standard; /* the default, as a person would write it; "" if none */
	const char *help;     /* one sentence */
	const char *more;     /* what else there is to know, for the manual page and README; "" if nothing */
	bool (*parse)(struct settings *settings, const char *text, size_t length, struct settings_error *error);
	bool at_start_only; /* the table is laid out by it: a file read on reload may repeat it, but not change it */
	bool not_in_file;   /* names where the file and table are: only the environment and the command may say it */
};

extern const struct setting settings_table[SETTINGS];

/* Sets every default. */
void settings_default(struct settings *settings);

/* Whether connections are counted for networks as well: there is a limit on them, for all or in a rule. */
bool settings_count_networks(const struct settings *settings);

/* Copies what is in use: room for rules that are not there is not touched, so that its pages are never had. */
void settings_copy(struct settings *to, const struct settings *from);

/* Takes one value. `length` bytes of text, which need not end in NUL. On error *settings is unchanged. Blanks around a value
 * are part of it, hence mostly an error, as "10 " is: the environment has none by accident, and those of a file are taken away
 * before, as systemd does. */
bool settings_set(struct settings *settings, enum setting_id id, const char *text, size_t length, enum origin origin,
		  struct settings_error *error);

/* Which setting is "CONNLIMIT_PER_IP" (or "per-ip", "PER_IP")? SETTINGS if none, with the nearest right name in the error, or
 * all of them if none is near. A name that starts with CONNLIMIT_ is a variable's, whose case counts: CONNLIMIT_per_ip is an
 * error, not a second spelling that wins or loses by where it stands in the environment. */
enum setting_id settings_find(const char *name, size_t length, struct settings_error *error);

/* Whether a name that does not start with CONNLIMIT_ was meant to (CONNLIMT_PER_IP, connlimit_per_ip); then it is an error, as
 * a limit that is passed over is no limit. In a file of limits, PER_IP and the like are too. */
bool settings_meant(const char *name, size_t length, bool in_file, struct settings_error *error);

/* Reads every CONNLIMIT_ variable of an environment. False, with the first error, if any is unknown or bad. */
bool settings_from_environment(struct settings *settings, char *const environment[], struct settings_error *error);

/* Reads an environment file (systemd.exec(5) EnvironmentFile=: NAME=VALUE lines, # and ; comments, quotes around a value, a
 * backslash at a line's end goes on). What is taken means what it means to systemd (load_env_file in its env-file.c); what
 * systemd would pass over, or take for something that nobody meant, is an error. Lines may end in CR LF, and a byte order mark
 * at the start is passed over. The whole text is checked before any of it is used: on error *settings is unchanged, so the
 * caller passes `work`, which it need not initialise. Names that do not start with CONNLIMIT_ are not ours and are passed over,
 * but see settings_meant. A name that is given twice is taken from its last line. Errors start with "PATH:LINE:COLUMN: ", where
 * what is wrong begins, in bytes; `path` only names the file in them. Behind its `length` bytes the text has room for as many
 * again, where values are put together. */
bool settings_from_text(struct settings *settings, struct settings *work, const char *path, char *text, size_t length,
			struct settings_error *error);

/* Opens, checks and reads the file `path` into settings. It must be a regular file of at most SETTINGS_FILE_MOST bytes, owned
 * by root or by the effective user and not writable by others; anything else is an error with the reason. open, fstat, read,
 * close only. */
enum { SETTINGS_FILE_MOST = 1 << 20, SETTINGS_FILE_ROOM = 2 * (SETTINGS_FILE_MOST + 1) };
bool settings_from_file(struct settings *settings, struct settings *work, char *buffer /* SETTINGS_FILE_ROOM bytes */,
			const char *path, struct settings_error *error);

/* Whether settings that were made in several places fit together; false with the reason, which names both. The readers of an
 * environment (where no file is to be read) and of a file ask this themselves. */
bool settings_agree(const struct settings *settings, struct settings_error *error);

/* Whether `wanted` may take the place of what is in force while the daemon runs; if not, says which setting stands against it.
 */
bool settings_may_follow(const struct settings *wanted, const struct settings *in_force, struct settings_error *error);

/* The first of the settings in which two starts of daemons with one table differ; SETTINGS if they mean the same. */
enum setting_id settings_difference(const struct settings *a, const struct settings *b);

/* What stands before the table's name where a program is handed it on, behind '=': the start's id, and another '='. */
enum { START_DIGITS = 16, START_ID_TEXT = START_DIGITS + 1 };
void settings_write_start_id(char text[START_ID_TEXT], uint64_t start_id);

/* Writes a setting's value in force as a person would write it; at most `size` bytes with the NUL. */
void settings_format(char *text, size_t size, const struct settings *settings, enum setting_id id);

#endif
