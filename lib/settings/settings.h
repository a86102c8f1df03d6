/* The settings: what an operator can configure, and how it is read.
 *
 * One table (settings_table.c) has each setting's name, default, parser, form and help. The environment, CONNLIMIT_FILE, the
 * options of `connlimit run`, --help, the manual page and `status` all use it.
 *
 * Parsing allocates nothing, calls no locale-dependent function and is async-signal-safe, so that a signal handler can reload.
 * A value is either accepted as a whole or rejected with an error that names the variable, the text with the position of the
 * error, and what is allowed. Nothing is half-applied. */
#ifndef CONNLIMIT_SETTINGS_H
#define CONNLIMIT_SETTINGS_H

#include "values/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In struct rule.limit and struct settings.per_ip: */
#define LIMIT_NONE UINT32_MAX /* no limit, but counted; per_ip's 0 and `unlimited` mean this */
#define LIMIT_DENY 0U	      /* nobody is admitted; only for rules */
#define LIMIT_MOST 16000000U  /* the largest number accepted for a count */

enum {
	KEEPALIVE_LEAST = 8,
	KEEPALIVE_MOST = 18 * 3600
}; /* seconds; half of the maximum is what tcp(7) allows for TCP_KEEPIDLE */

enum { BAN_MOST = 1000 * 3600 }; /* seconds */

enum { LISTS_MOST = 8, LIST_PATH_MOST = 255 };
enum { BALANCERS_MOST = 64 }; /* networks */
enum { RULES_MOST = 10000, PATH_MOST = 1024, TABLE_NAME_MOST = 63, REFUSE_TEXT_MOST = 512 };

enum refuse_how { REFUSE_RESET, REFUSE_CLOSE, REFUSE_HTTP, REFUSE_TEXT };
enum mode { MODE_ENFORCE, MODE_OBSERVE, MODE_OFF };
enum log_to { LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_NOWHERE, LOG_TO_JOURNAL, LOG_TO_JSON /* on standard error */ };

/* A rate, as a token bucket: `burst` at once, then one every `every_us` microseconds. Whole microseconds: 3/s is one every
 * 333333. every_us 0: no rate. */
struct rate {
	uint32_t every_us;
	uint32_t burst;
};

/* A client that is refused so often is banned for so long. seconds 0: none is. */
struct ban {
	struct rate rate; /* of refusals */
	uint32_t seconds;
};

/* An exception: by network, by local port, or both. The longest prefix wins; for equal ones, a rule with a port wins over one
 * without. */
struct rule {
	struct network network; /* prefix 0: every address, or with `ipv6` every IPv6 address */
	uint8_t ipv6;	      /* not 0: "::/0", which excludes IPv4 clients although their addresses are stored as IPv6 ones */
	uint16_t port;	      /* local port, host order; 0: every port */
	uint32_t limit;	      /* LIMIT_DENY, 1..LIMIT_MOST or LIMIT_NONE */
	struct rate rate;     /* burst 0: the general rate applies; otherwise this one, with every_us 0 for none */
	uint32_t per_network; /* 0: the one for all, or none where `limit` is none; else this, 1..LIMIT_MOST or LIMIT_NONE */
};

/* A file of networks, one per line, that CONNLIMIT_RULES names. The same limit applies to all of them. Its contents are read
 * separately (lists.h). */
struct list {
	uint32_t limit; /* these as in a rule */
	struct rate rate;
	uint32_t per_network;
	char path[LIST_PATH_MOST + 1]; /* absolute, or relative to the directory of the file of limits */
};

/* Where a value in force came from. FROM_COMMAND is `connlimit set`; FROM_OPTION is `connlimit run --...`, or a program that
 * uses connlimit.h. */
enum origin { FROM_DEFAULT, FROM_ENVIRONMENT, FROM_FILE, FROM_COMMAND, FROM_OPTION };

/* Options of `connlimit run` are passed to the daemon as variables. This variable names those that were options, separated by
 * colons ("PER_IP:FILE"), so that people can be told. */
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
	SETTING_PROXY,
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

/* All settings, parsed. Without pointers, as this is in shared memory. Without bool, as others may write a value that is
 * neither true nor false, and to load that is undefined behaviour. The rules come last, so that a copy can stop after the last
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
	uint8_t join;	   /* not 0: accept the limits of whoever made the table */
	int32_t signal;	   /* signal number */
	uint32_t capacity; /* connections tracked */
	char refuse_text[REFUSE_TEXT_MOST + 1];
	char file[PATH_MOST + 1];	 /* "" if there is none */
	char table[TABLE_NAME_MOST + 1]; /* "" for one made for this start */
	/* Not 0: the table's name came with a mark before it ("=NAME"), from a program of the same start that executed this
	 * one: the daemon, or what started it. */
	uint8_t handed_on;
	uint64_t start_id; /* tells this start from others of the same table; 0: none, as a library's, or not known */
	/* How many of each there are. What lies beyond means nothing, and mostly is memory that was never touched. */
	uint32_t balancers;
	uint32_t lists;
	uint32_t rules;
	struct network balancer[BALANCERS_MOST];
	struct list list[LISTS_MOST];
	struct rule rule[RULES_MOST];
	struct rule sorting[RULES_MOST]; /* for settings_set only, never copied: if it fails, `rule` is unchanged */
};

/* An error message: "CONNLIMIT_PER_IP: 'ten' is not ...". Errors in a file start with "PATH:LINE:COLUMN: "; of a long path only
 * the end is shown. Printable ASCII, whatever was in the value. */
struct settings_error {
	char text[512];
	size_t position; /* where the error is, in bytes from the start of the value */
	bool placed;	 /* the caller says where the error is, so "(at character N)" is left out */
	size_t place;	 /* length of the "PATH:LINE:COLUMN" */
	bool secret;	 /* the text after that may quote a file that not everyone may read */
};

struct setting {
	const char *name;     /* "PER_IP": the variable is CONNLIMIT_PER_IP, the option --per-ip */
	const char *form;     /* "N", "ADDRESS/PREFIX=N ..." */
	const char *example;  /* a typical value, quoted if a shell needs that */
	const char *standard; /* the default, as a person would write it; "" if none */
	const char *help;     /* a sentence */
	const char *more;     /* more details for the manual page and README; "" if there are none */
	bool (*parse)(struct settings *settings, const char *text, size_t length, struct settings_error *error);
	bool at_start_only; /* the table's layout depends on it: a file read on reload may repeat it, but not change it */
	bool not_in_file;   /* it says where the file or the table is, so only the environment and the command can set it */
};

extern const struct setting settings_table[SETTINGS];

/* Sets every default. */
void settings_default(struct settings *settings);

/* Whether connections are counted for networks as well: there is a limit on them, for all or in a rule. */
bool settings_count_networks(const struct settings *settings);

/* Copies the part that is in use. Pages for rules that do not exist are not touched, so they are never allocated. */
void settings_copy(struct settings *to, const struct settings *from);

/* Sets one value from `length` bytes of text, which need not end in NUL. On error *settings is unchanged. Blanks around a value
 * belong to it, so most values with blanks are errors, such as "10 ". The environment has no blanks by accident, and the reader
 * of a file has removed them, as systemd does. */
bool settings_set(struct settings *settings, enum setting_id id, const char *text, size_t length, enum origin origin,
		  struct settings_error *error);

/* Finds the setting named "CONNLIMIT_PER_IP", "per-ip" or "PER_IP". SETTINGS if there is none; then the error has the most
 * similar name, or all names if none is similar. For names that start with CONNLIMIT_, case matters: CONNLIMIT_per_ip is an
 * error, and not a second spelling that might override the first. */
enum setting_id settings_find(const char *name, size_t length, struct settings_error *error);

/* Whether a name without the prefix CONNLIMIT_ was probably meant to have it (CONNLIMT_PER_IP, connlimit_per_ip; in a file of
 * limits also PER_IP). Then it is an error, because a limit that is ignored is no limit. */
bool settings_meant(const char *name, size_t length, bool in_file, struct settings_error *error);

/* Reads every CONNLIMIT_ variable of an environment. False, with the first error, if one is unknown or bad. */
bool settings_from_environment(struct settings *settings, char *const environment[], struct settings_error *error);

/* Reads an environment file (systemd.exec(5) EnvironmentFile=): NAME=VALUE lines, # and ; comments, quotes around a value, a
 * backslash at the end of a line to continue it. Whatever is accepted means the same as to systemd (load_env_file in its
 * env-file.c). What systemd would ignore, or would read in a way that nobody meant, is an error. Lines may end in CR LF, and a
 * byte order mark at the start is skipped.
 *
 * The whole text is checked before any of it is used, and on error *settings is unchanged; `work` is room for this and need not
 * be initialised. Names without the prefix CONNLIMIT_ are not ours and are ignored, but see settings_meant. If a name is given
 * twice, the last line counts. Errors start with "PATH:LINE:COLUMN: ", the place where the error begins, in bytes; `path` is
 * used only for that. `text` must have room for another `length` bytes after its end, where values are assembled. */
bool settings_from_text(struct settings *settings, struct settings *work, const char *path, char *text, size_t length,
			struct settings_error *error);

/* Opens, checks and reads the file `path`. It must be a regular file of at most SETTINGS_FILE_MOST bytes, owned by root or by
 * the effective user and not writable by others. Anything else is an error, with the reason. Only calls open, fstat, read and
 * close. */
enum { SETTINGS_FILE_MOST = 1 << 20, SETTINGS_FILE_ROOM = 2 * (SETTINGS_FILE_MOST + 1) };
bool settings_from_file(struct settings *settings, struct settings *work, char *buffer /* SETTINGS_FILE_ROOM bytes */,
			const char *path, struct settings_error *error);

/* Whether settings that come from several places are consistent; otherwise false, with an error that names both. The reader of
 * an environment (if no file is to be read) and the reader of a file check this themselves. */
bool settings_agree(const struct settings *settings, struct settings_error *error);

/* Whether `wanted` may replace the settings in force while the daemon runs; if not, the error names the setting that prevents
 * it. */
bool settings_may_follow(const struct settings *wanted, const struct settings *in_force, struct settings_error *error);

/* The first setting that differs between two starts of daemons with one table; SETTINGS if none does. */
enum setting_id settings_difference(const struct settings *a, const struct settings *b);

/* Writes a setting's value in force as a person would write it, at most `size` bytes including the NUL. */
void settings_format(char *text, size_t size, const struct settings *settings, enum setting_id id);

#endif
