#include "settings/settings.h"
#include "settings/settings_values.h"

const struct setting settings_table[SETTINGS] = {
    [SETTING_PER_IP] = {"PER_IP", "N", "10", "0",
			"Open connections allowed for each client; 0: no limit, they are only counted.", "", read_per_ip, 0, 0},
    [SETTING_PER_NETWORK] =
	{"PER_NETWORK", "N", "100", "0", "Open connections allowed for each network, of all clients in it; 0: no limit.",
	 "A connection has to be within both limits. Connections that a rule exempts from limits count as well. Networks are "
	 "counted on each machine by itself.",
	 read_per_network, 0, 0},
    [SETTING_TOTAL] = {"TOTAL", "N", "5000", "0", "Open connections allowed for all clients together; 0: no limit.", "",
		       read_total, 0, 0},
    [SETTING_RATE] =
	{"RATE", "N/s [burst=N]", "\"20/s burst=50\"", "0",
	 "New connections allowed for each client per second (/s), minute (/m) or hour (/h); 0: no limit.",
	 "`burst` is how many may come at once; by default it is the same number. A refused connection does not count "
	 "towards the rate, and closing one gives nothing back. A rule may set its own rate.",
	 read_rate, 0, 0},
    [SETTING_PER_UID] = {"PER_UID", "N", "50", "0",
			 "Open connections allowed for each local user on Unix sockets; 0: no limit.",
			 "They are counted only while this is set.", read_per_uid, 0, 0},
    [SETTING_CLUSTER_PER_IP] =
	{"CLUSTER_PER_IP", "N", "30", "0",
	 "Open connections allowed for each client over all machines that `connlimit sync` joins; 0: no limit.", "",
	 read_cluster_per_ip, 0, 0},
    [SETTING_IPV4_PREFIX] = {"IPV4_PREFIX", "BITS", "24", "32", "Length of the IPv4 prefix that makes one client.", "",
			     read_ipv4_prefix, 0, 0},
    [SETTING_IPV6_PREFIX] = {"IPV6_PREFIX", "BITS", "56", "64", "Length of the IPv6 prefix that makes one client.", "",
			     read_ipv6_prefix, 0, 0},
    [SETTING_NETWORK_IPV4_PREFIX] = {"NETWORK_IPV4_PREFIX", "BITS", "20", "24",
				     "Length of the IPv4 prefix that makes one network.", "", read_network_ipv4_prefix, 0, 0},
    [SETTING_NETWORK_IPV6_PREFIX] = {"NETWORK_IPV6_PREFIX", "BITS", "32", "48",
				     "Length of the IPv6 prefix that makes one network.", "", read_network_ipv6_prefix, 0, 0},
    [SETTING_RULES] =
	{"RULES", "NETWORK=N ...",
	 "\"10.0.0.0/8=100 :8443=20 192.0.2.0/24:22=deny [2001:db8::/32]:443=5,10/s 127.0.0.0/8=unlimited\"", "",
	 "Exceptions by network, :PORT, or both; the most specific one applies.",
	 "That is the longest prefix, and of several rules for it the one with a port. The limit applies to each client "
	 "in the network; `deny` refuses all of its connections, `unlimited` none. A rate follows after a comma: "
	 "`10.0.0.0/8=100,50/s,burst=200`, and so does a limit in place of CONNLIMIT_PER_NETWORK: "
	 "`2001:db8::/32=5,network=50`. PORT is the daemon's port. Up to 10 000 rules; in quotes they may be on "
	 "several lines, where # begins a comment. `@office.list=unlimited` is a rule for every network in a file, which has "
	 "one per line (# or ; begins a comment). Its path is absolute or relative to the file of limits. Up to 8 such lists, "
	 "with 100 000 networks in all, are read with the file of limits, and must be owned and protected like it. A rule for "
	 "exactly the same network wins over them.",
	 read_rules, 0, 0},
    [SETTING_REFUSE] =
	{"REFUSE", "HOW", "http", "reset", "What a refused client gets: reset, close, http, or text:...",
	 "`http` is a 429 with Retry-After, `text:421 busy\\r\\n` any text (not on TLS ports: clients could not read it). "
	 "The connection stays open until the client has read the answer, at most 32 in a process, and ends when the "
	 "daemon next accepts or closes a connection after 3 s.",
	 read_refuse, 0, 0},
    [SETTING_BAN] =
	{"BAN", "N/m for TIME", "\"20/m for 10m\"", "0",
	 "How often a client must be refused (/s, /m, /h) to be banned, and for how long (s, m, h); 0: never.",
	 "A banned client is refused whatever it holds, and that does not make its ban longer. Refusals are counted as "
	 "connections are for a rate, with `burst` if wanted; those for the limit of all clients together do not count. "
	 "Who is `unlimited` by a rule is never banned, nor are local users. `connlimit ban` and `unban` do it by hand. A "
	 "ban outlasts a reload, and a restart if the table does; it ends if the prefix that makes a client changes.",
	 read_ban, 0, 0},
    [SETTING_PROXY] =
	{"PROXY", "NETWORK ...", "\"10.0.0.0/8 2001:db8::/64\"", "",
	 "Balancers, whose connections begin with a header of the PROXY protocol (v1, v2): the client is whom it names.",
	 "Whoever connects from elsewhere is the client itself, whatever it sends. Limits, rules and the log go by the client; "
	 "the header is left for the daemon, which has to know the protocol. A connection whose header is missing, malformed "
	 "or late counts as the balancer's own, is reported, and is not waited for; so does one that the header gives no "
	 "client (LOCAL, UNKNOWN). Listeners get TCP_DEFER_ACCEPT of tcp(7) until the daemon's next start: a connection is "
	 "accepted when something has come on it, or after a second. Up to 64 networks.",
	 read_proxy, 0, 0},
    [SETTING_KEEPALIVE] =
	{"KEEPALIVE", "TIME", "120s", "0",
	 "After how long a client whose machine is gone stops counting (s, m or h); 0: when the daemon notices.",
	 "Listeners get SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_USER_TIMEOUT (tcp(7)), and connections inherit them. "
	 "Options that the daemon sets itself are left alone; TCP_KEEPCNT has no effect besides TCP_USER_TIMEOUT. The time "
	 "counts from the last data that came from the client or, if later, from the first data sent to it since. A connection "
	 "also ends if the client takes no data for almost that long. After a reload, a process gives its connections the new "
	 "time when it next accepts one.",
	 read_keepalive, 0, 0},
    [SETTING_MODE] = {"MODE", "MODE", "observe", "enforce", "enforce, observe (refuse nothing, but report) or off.",
		      "`observe` counts and logs what would be refused; `connlimit suggest` then says which limit to choose.",
		      read_mode, 0, 0},
    [SETTING_LOG] = {"LOG", "WHERE", "syslog", "stderr",
		     "Where refusals and errors are logged: stderr, json, syslog, journal or off.",
		     "A client's refusals are logged at most once in 10 s, with how many were left out. `json` is one object a "
		     "line on standard error, `journal` an entry of journald; connlimit(7) has their fields.",
		     read_log, 0, 0},
    [SETTING_FILE] = {"FILE", "PATH", "/etc/connlimit/nginx.env", "",
		      "File with these settings, read again on reload; it overrides the environment.", "", read_file, 1, 1},
    [SETTING_TABLE] = {"TABLE", "NAME", "nginx", "", "Name of the shared table; by default a new one for each start.",
		       "Daemons of one user that have the same name share one table, and so their limits.", read_table, 1, 1},
    [SETTING_JOIN] =
	{"JOIN", "yes|no", "yes", "no", "Whether to accept the limits of another daemon that has the table.",
	 "Without it, a daemon does not start if its settings differ from those that the table's daemon was started with.",
	 read_join, 1, 1},
    [SETTING_CAPACITY] = {"CAPACITY", "N", "65536", "65536",
			  "Connections that can be tracked; any beyond it are admitted without being counted.",
			  "The log and `connlimit status` say so.", read_capacity, 1, 0},
    [SETTING_SIGNAL] = {"SIGNAL", "NAME", "HUP", "HUP", "The signal on which the file is read again.",
			"If it is set explicitly, this works even if the daemon ignores the signal.", read_signal, 1, 0},
};
