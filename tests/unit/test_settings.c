/* What an operator may write, and what it means or why it is refused: text in, meaning or error out. */
#include "settings/settings.h"
#include "values/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct settings settings;
static struct settings before;
static struct settings work;
static struct settings_error error;

/* ---- values ---- */

struct value {
	enum setting_id id;
	const char *text;
	const char *meaning; /* as settings_format writes it; NULL: it is an error */
	const char *says;    /* part of the error */
};

#define TEXT_64 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define TEXT_512 TEXT_64 TEXT_64 TEXT_64 TEXT_64 TEXT_64 TEXT_64 TEXT_64 TEXT_64

/* clang-format off */
static const struct value values[] = {
	{SETTING_PER_IP, "1", "1", NULL},
	{SETTING_PER_IP, "10", "10", NULL},
	{SETTING_PER_IP, "16000000", "16000000", NULL},
	{SETTING_PER_IP, "0", "unlimited", NULL},
	{SETTING_PER_IP, "unlimited", "unlimited", NULL},
	{SETTING_PER_IP, "007", "7", NULL},
	{SETTING_PER_IP, "ten", NULL, "'ten' is not a number; allowed: a number from 0"},
	{SETTING_PER_IP, "-1", NULL, "'-1' is out of range"},
	{SETTING_PER_IP, "+1", NULL, "'+1' is not a number"},
	{SETTING_PER_IP, "16000001", NULL, "'16000001' is out of range"},
	{SETTING_PER_IP, "99999999999", NULL, "'99999999999' is out of range"},
	{SETTING_PER_IP, "", NULL, "the value is empty; allowed:"},
	{SETTING_PER_IP, "1.5", NULL, "'1.5' is not a number"},
	{SETTING_PER_IP, "0x10", NULL, "'0x10' is not"},
	{SETTING_PER_IP, "1 ", NULL, "'1 ' is not a number"},
	{SETTING_PER_IP, " 1", NULL, "' 1' is not"},
	{SETTING_PER_IP, "1e3", NULL, "'1e3' is not"},
	{SETTING_PER_IP, "Unlimited", NULL, "'Unlimited' is not"},
	{SETTING_PER_IP, "10,", NULL, "'10,'"},
	{SETTING_PER_IP, "18446744073709551617", NULL, "is out of range"},
	{SETTING_PER_IP, "10 ", NULL, "'10 ' is not a number"},
	{SETTING_PER_IP, "4294967296", NULL, "'4294967296' is out of range"},
	{SETTING_PER_IP, "4294967295", NULL, "'4294967295' is out of range"},
	{SETTING_PER_IP, "a\x1b[31m\n", NULL, "'a\\x1b[31m\\x0a' is not"},
	{SETTING_PER_IP, "a\xc2\x9b" "2J", NULL, "'a\\xc2\\x9b2J' is not"},
	{SETTING_PER_IP, "1234567890123456789012345678901234567890x", NULL, "'1234567890123456789012345678901234567890...' is not a number"},
	{SETTING_TOTAL, "1", "1", NULL},
	{SETTING_TOTAL, "10", "10", NULL},
	{SETTING_TOTAL, "16000000", "16000000", NULL},
	{SETTING_TOTAL, "0", "unlimited", NULL},
	{SETTING_TOTAL, "unlimited", "unlimited", NULL},
	{SETTING_TOTAL, "007", "7", NULL},
	{SETTING_TOTAL, "ten", NULL, "'ten' is not a number; allowed: a number from 0"},
	{SETTING_TOTAL, "-1", NULL, "'-1' is out of range"},
	{SETTING_TOTAL, "+1", NULL, "'+1' is not a number"},
	{SETTING_TOTAL, "16000001", NULL, "'16000001' is out of range"},
	{SETTING_TOTAL, "99999999999", NULL, "'99999999999' is out of range"},
	{SETTING_TOTAL, "", NULL, "the value is empty; allowed:"},
	{SETTING_TOTAL, "1.5", NULL, "'1.5' is not a number"},
	{SETTING_TOTAL, "0x10", NULL, "'0x10' is not"},
	{SETTING_TOTAL, "1 ", NULL, "'1 ' is not a number"},
	{SETTING_TOTAL, " 1", NULL, "' 1' is not"},
	{SETTING_TOTAL, "1e3", NULL, "'1e3' is not"},
	{SETTING_TOTAL, "Unlimited", NULL, "'Unlimited' is not"},
	{SETTING_TOTAL, "10,", NULL, "'10,'"},
	{SETTING_TOTAL, "18446744073709551617", NULL, "is out of range"},
	{SETTING_PER_UID, "1", "1", NULL},
	{SETTING_PER_UID, "10", "10", NULL},
	{SETTING_PER_UID, "16000000", "16000000", NULL},
	{SETTING_PER_UID, "0", "unlimited", NULL},
	{SETTING_PER_UID, "unlimited", "unlimited", NULL},
	{SETTING_PER_UID, "007", "7", NULL},
	{SETTING_PER_UID, "ten", NULL, "'ten' is not a number; allowed: a number from 0"},
	{SETTING_PER_UID, "-1", NULL, "'-1' is out of range"},
	{SETTING_PER_UID, "+1", NULL, "'+1' is not a number"},
	{SETTING_PER_UID, "16000001", NULL, "'16000001' is out of range"},
	{SETTING_PER_UID, "99999999999", NULL, "'99999999999' is out of range"},
	{SETTING_PER_UID, "", NULL, "the value is empty; allowed:"},
	{SETTING_PER_UID, "1.5", NULL, "'1.5' is not a number"},
	{SETTING_PER_UID, "0x10", NULL, "'0x10' is not"},
	{SETTING_PER_UID, "1 ", NULL, "'1 ' is not a number"},
	{SETTING_PER_UID, " 1", NULL, "' 1' is not"},
	{SETTING_PER_UID, "1e3", NULL, "'1e3' is not"},
	{SETTING_PER_UID, "Unlimited", NULL, "'Unlimited' is not"},
	{SETTING_PER_UID, "10,", NULL, "'10,'"},
	{SETTING_PER_UID, "18446744073709551617", NULL, "is out of range"},
	{SETTING_RATE, "20/s", "20/s burst=20", NULL},
	{SETTING_RATE, "100/m", "100/m burst=100", NULL},
	{SETTING_RATE, "5000/h", "5000/h burst=5000", NULL},
	{SETTING_RATE, "1/s", "1/s burst=1", NULL},
	{SETTING_RATE, "20/s burst=50", "20/s burst=50", NULL},
	{SETTING_RATE, "1/h burst=1000000", "1/h burst=1000000", NULL},
	{SETTING_RATE, "1000000/s", "1000000/s burst=1000000", NULL},
	{SETTING_RATE, "0", "0", NULL},
	{SETTING_RATE, "120/m", "2/s burst=120", NULL},
	{SETTING_RATE, "3600/h burst=7", "1/s burst=7", NULL},
	{SETTING_RATE, "20", NULL, "'20' is not a rate: it needs /s, /m or /h; allowed: a rate such as 20/s"},
	{SETTING_RATE, "/s", NULL, "'/s' has no number before '/'"},
	{SETTING_RATE, "0/s", NULL, "'0/s' has a number out of range before '/'"},
	{SETTING_RATE, "-5/s", NULL, "'-5/s' has no number"},
	{SETTING_RATE, "20/", NULL, "at character 3"},
	{SETTING_RATE, "20/d", NULL, "(at character 4) has no unit s, m or h"},
	{SETTING_RATE, "20/sec", NULL, "(at character 4) has no unit s, m or h"},
	{SETTING_RATE, "20/s burst", NULL, "continues with something"},
	{SETTING_RATE, "20/s burst=", NULL, "has no burst from 1 to 1000000"},
	{SETTING_RATE, "20/s burst=0", NULL, "(at character 12) has no burst"},
	{SETTING_RATE, "20/s burst=x", NULL, "(at character 12) has no burst"},
	{SETTING_RATE, "20/s  burst=5", "20/s burst=5", NULL},
	{SETTING_RATE, "1000001/s", NULL, "has a number out of range before"},
	{SETTING_RATE, "20 /s", NULL, "has no number before"},
	{SETTING_RATE, "20/s burst=1000001", NULL, "has no burst from 1 to 1000000"},
	{SETTING_RATE, "", NULL, "the value is empty"},
	{SETTING_IPV4_PREFIX, "32", "32", NULL},
	{SETTING_IPV4_PREFIX, "0", "0", NULL},
	{SETTING_IPV4_PREFIX, "24", "24", NULL},
	{SETTING_IPV4_PREFIX, "33", NULL, "'33' is out of range; allowed: a number of bits from 0 to 32"},
	{SETTING_IPV4_PREFIX, "-1", NULL, "is out of range"},
	{SETTING_IPV4_PREFIX, "/24", NULL, "'/24' is not a number"},
	{SETTING_IPV4_PREFIX, "", NULL, "the value is empty"},
	{SETTING_IPV4_PREFIX, "x", NULL, "'x' is not"},
	{SETTING_IPV6_PREFIX, "64", "64", NULL},
	{SETTING_IPV6_PREFIX, "0", "0", NULL},
	{SETTING_IPV6_PREFIX, "128", "128", NULL},
	{SETTING_IPV6_PREFIX, "56", "56", NULL},
	{SETTING_IPV6_PREFIX, "129", NULL, "'129' is out of range; allowed: a number of bits from 0 to 128"},
	{SETTING_IPV6_PREFIX, "-64", NULL, "is out of range"},
	{SETTING_IPV6_PREFIX, "/64", NULL, "'/64' is not"},
	{SETTING_IPV6_PREFIX, "", NULL, "the value is empty"},
	{SETTING_RULES, "", "", NULL},
	{SETTING_RULES, "   ", "", NULL},
	{SETTING_RULES, "10.0.0.0/8=100", "10.0.0.0/8=100", NULL},
	{SETTING_RULES, "127.0.0.1=unlimited", "127.0.0.1=unlimited", NULL},
	{SETTING_RULES, "192.0.2.0/24=deny", "192.0.2.0/24=deny", NULL},
	{SETTING_RULES, ":8443=20", ":8443=20", NULL},
	{SETTING_RULES, "192.0.2.0/24:22=deny", "192.0.2.0/24:22=deny", NULL},
	{SETTING_RULES, "2001:db8::/32=5", "2001:db8::/32=5", NULL},
	{SETTING_RULES, "[2001:db8::/32]:443=5", "[2001:db8::/32]:443=5", NULL},
	{SETTING_RULES, "[2001:db8::1]:443=5", "[2001:db8::1]:443=5", NULL},
	{SETTING_RULES, "2001:db8::1=5", "2001:db8::1=5", NULL},
	{SETTING_RULES, "::1=unlimited", "::1=unlimited", NULL},
	{SETTING_RULES, "::/0=3", "::/0=3", NULL},
	{SETTING_RULES, "0.0.0.0/0=3", "0.0.0.0/0=3", NULL},
	{SETTING_RULES, "::ffff:192.0.2.1=4", "192.0.2.1=4", NULL},
	{SETTING_RULES, "  10.0.0.0/8=1 \t 10.0.0.0/9=2\n", "10.0.0.0/8=1 10.0.0.0/9=2", NULL},
	{SETTING_RULES, "10.0.0.0/8=1\r\n11.0.0.0/8=2", "10.0.0.0/8=1 11.0.0.0/8=2", NULL},
	{SETTING_RULES, "11.0.0.0/8=2 10.0.0.0/8=1", "10.0.0.0/8=1 11.0.0.0/8=2", NULL},
	{SETTING_RULES, "10.0.0.0/8:80=2 10.0.0.0/8=1", "10.0.0.0/8=1 10.0.0.0/8:80=2", NULL},
	{SETTING_RULES, "10.0.0.0/8=1 10.0.0.0/16=1", "10.0.0.0/8=1 10.0.0.0/16=1", NULL},
	{SETTING_RULES, "[2001:db8::]/32:22=deny", "[2001:db8::/32]:22=deny", NULL},
	{SETTING_RULES, "[2001:db8::1]=7", "2001:db8::1=7", NULL},
	{SETTING_RULES, "[2001:db8::/32]=7", "2001:db8::/32=7", NULL},
	{SETTING_RULES, "[::/0]:80=7", "[::/0]:80=7", NULL},
	{SETTING_RULES, "[2001:db8::/32]/64:22=1", NULL, "is not an IPv6 address"},
	{SETTING_RULES, "[2001:db8::1:22=1", NULL, "is not an IPv6 address"},
	{SETTING_RULES, "[]:22=1", NULL, "is not an IPv4 address"},
	{SETTING_RULES, "10.0.0.0/8:22:23=1", NULL, "(at character 10) has no prefix length from 0 to 32"},
	{SETTING_RULES, "10.0.0.0/8 =1", NULL, "'10.0.0.0/8' has no '='"},
	{SETTING_RULES, "a\x1b[2J=1", NULL, "'a\\x1b[2J=1' names no network: only addresses, names are not looked up"},
	{SETTING_RULES, "0.0.0.0/0:1=1 :1=2", ":1=2 0.0.0.0/0:1=1", NULL},
	{SETTING_RULES, "[::1]:65535=16000000", "[::1]:65535=16000000", NULL},
	{SETTING_RULES, "10.0.0.0/8=16000000", "10.0.0.0/8=16000000", NULL},
	{SETTING_RULES, "10.0.0.0/8", NULL, "'10.0.0.0/8' has no '=' and limit; allowed: NETWORK=LIMIT"},
	{SETTING_RULES, "=5", NULL, "names neither a network nor a port"},
	{SETTING_RULES, "10.0.0.0/8=", NULL, "(at character 12) has no limit after '='"},
	{SETTING_RULES, "10.0.0.0/8=ten", NULL, "(at character 12) has no such limit"},
	{SETTING_RULES, "10.0.0.0/8=0", NULL, "(at character 12) has the limit 0: write 'deny' to admit nobody, or 'unlimited'"},
	{SETTING_RULES, "10.0.0.0/8=-1", NULL, "has no such limit"},
	{SETTING_RULES, "10.0.0.0/8=16000001", NULL, "has no such limit"},
	{SETTING_RULES, "10.0.0.0/8=Deny", NULL, "has no such limit"},
	{SETTING_RULES, "10.0.0.0/8=5=6", NULL, "has no such limit"},
	{SETTING_RULES, "10.0.0.1/8=5", NULL, "'10.0.0.1/8=5' has bits set after its prefix; the network is 10.0.0.0/8; allowed"},
	{SETTING_RULES, "10.0.0/8=5", NULL, "is not an IPv4 address"},
	{SETTING_RULES, "10.0.0.256=5", NULL, "is not an IPv4 address"},
	{SETTING_RULES, "10.0.0.0/33=5", NULL, "(at character 10) has no prefix length from 0 to 32"},
	{SETTING_RULES, "10.0.0.0/=5", NULL, "has no prefix length"},
	{SETTING_RULES, "10.0.0.0/x=5", NULL, "has no prefix length"},
	{SETTING_RULES, "010.0.0.0=5", NULL, "is not an IPv4 address"},
	{SETTING_RULES, "localhost=5", NULL, "only addresses, names are not looked up"},
	{SETTING_RULES, "2001:db8::/129=5", NULL, "has no prefix length from 0 to 128"},
	{SETTING_RULES, "2001:db8::g=5", NULL, "is not an IPv6 address"},
	{SETTING_RULES, "2001:db8::1/32=5", NULL, "has bits set"},
	{SETTING_RULES, ":::=5", NULL, "is not an IPv6 address"},
	{SETTING_RULES, "1::2::3=5", NULL, "is not an IPv6 address"},
	{SETTING_RULES, ":0=5", NULL, "has no port from 1 to 65535"},
	{SETTING_RULES, ":65536=5", NULL, "has no port"},
	{SETTING_RULES, ":http=5", NULL, "has no port"},
	{SETTING_RULES, "10.0.0.0/8:=5", NULL, "has no port"},
	{SETTING_RULES, "10.0.0.0/8:99999=5", NULL, "(at character 11) has no port"},
	{SETTING_RULES, "10.0.0.0/8=1 11.0.0.0/8=x", NULL, "(at character 25) has no such limit"},
	{SETTING_RULES, "10.0.0.0/8=1,11.0.0.0/8=2", NULL, "(at character 14) goes on after a comma: rules are separated by blanks"},
	{SETTING_RULES, "10.0.0.0/8=1 10.0.0.0/8=2", NULL, "'10.0.0.0/8=2' (at character 14) names the same network and port"},
	{SETTING_RULES, ":80=1 :80=1", NULL, "(at character 7) names the same network and port"},
	{SETTING_RULES, "::/0:80=1", NULL, "has a port after an IPv6 network that is not in brackets"},
	{SETTING_RULES, "10.0.0.1=1 ::ffff:10.0.0.1=2", NULL, "names the same network and port"},
	{SETTING_RULES, "10.0.0.0/8=1 10.0.0.0/8:80=1 [::]:80=1 10.0.0.0/8:80=3", NULL, "'10.0.0.0/8:80=3'"},
	{SETTING_RULES, "10.0.0.0/8=100,50/s", "10.0.0.0/8=100,50/s,burst=50", NULL},
	{SETTING_RULES, "10.0.0.0/8=100,50/s,burst=200 :80=1", ":80=1 10.0.0.0/8=100,50/s,burst=200", NULL},
	{SETTING_RULES, ":22=unlimited,4/m", ":22=unlimited,4/m,burst=4", NULL},
	{SETTING_RULES, ":22=unlimited,0", ":22=unlimited", NULL},
	{SETTING_RULES, ":22=7,0", ":22=7,0", NULL},
	{SETTING_RULES, "10.0.0.0/8=100,", NULL, "(at character 16) has no rate after the comma"},
	{SETTING_RULES, "10.0.0.0/8=100,50", NULL, "(at character 16) is not a rate"},
	{SETTING_RULES, "10.0.0.0/8=100,50/d", NULL, "(at character 19) has no unit"},
	{SETTING_RULES, "10.0.0.0/8=100,50/s,5", NULL, "(at character 20) continues with something other than a burst"},
	{SETTING_RULES, "10.0.0.0/8=deny,5/s", NULL, "(at character 17) has a rate for 'deny'"},
	{SETTING_RULES, "10.0.0.0/8=1, 11.0.0.0/8=2", NULL, "'10.0.0.0/8=1,' (at character 14) has no rate after the comma"},
	{SETTING_RULES, "# nobody\n10.0.0.0/8=1 # office\n#11.0.0.0/8=2\n\t# none\n12.0.0.0/8=3", "10.0.0.0/8=1 12.0.0.0/8=3", NULL},
	{SETTING_RULES, "10.0.0.0/8=1 # office", NULL, "'# office' (at character 14) begins a comment in a value of one line"},
	{SETTING_RULES, "10.0.0.0/8=1#office", NULL, "has no such limit"},
	{SETTING_RULES, "*=5", NULL, "has a '*': a rule for every address names none, as :80=5"},
	{SETTING_RULES, "*:80=5", NULL, "has a '*'"},
	{SETTING_RULES, "10.*=5", NULL, "is not an IPv4 address"},
	{SETTING_RULES, "10.0.0.0-10.0.0.9=5", NULL, "is not an IPv4 address"},
	{SETTING_RULES, "10.0.0.0/255.0.0.0=5", NULL, "(at character 10) has no prefix length from 0 to 32"},
	{SETTING_RULES, ":8000-8100=5", NULL, "has no port from 1 to 65535"},
	{SETTING_RULES, "[10.0.0.1]:80=5", "10.0.0.1:80=5", NULL},
	{SETTING_RULES, "2001:db8::/32:443=5", NULL, "not in brackets"},
	{SETTING_RULES, "10.0.0.0/8 = 5", NULL, "'10.0.0.0/8' has no '=' and limit"},
	{SETTING_RULES, "10.0.0.0/8:100", NULL, "has no '=' and limit"},
	{SETTING_RULES, "office.example.org:80=5", NULL, "names are not looked up"},
	{SETTING_RULES, "::/0=5 :80=1 0.0.0.0/0=7 [::/0]:80=2", ":80=1 ::/0=5 [::/0]:80=2 0.0.0.0/0=7", NULL},
	{SETTING_RULES, "::/0=5 ::/0=6", NULL, "names the same network and port"},
	{SETTING_RULES, "2001:db8::1/32=5", NULL, "the network is 2001:db8::/32;"},
	{SETTING_RULES, "::ffff:10.1.0.0/8=5", NULL, "the network is 10.0.0.0/8;"},
	{SETTING_RATE, "unlimited", "0", NULL},
	{SETTING_RATE, "20/s,burst=5", "20/s burst=5", NULL},
	{SETTING_RATE, "20/s \t burst=5", "20/s burst=5", NULL},
	{SETTING_RATE, "0.5/s", NULL, "'0.5/s' has no whole number before '/': 0.5/s is 30/m"},
	{SETTING_RATE, "20/s burst 5", NULL, "(at character 5) continues with something other than a burst"},
	{SETTING_RATE, "20 per second", NULL, "is not a rate: it needs /s, /m or /h"},
	{SETTING_RATE, "20/S", NULL, "(at character 4) has no unit"},
	{SETTING_RATE, "20/m burst=5/s", NULL, "(at character 12) has no burst"},
	{SETTING_RATE, "ten/s", NULL, "has no number before '/'"},
	{SETTING_PER_IP, "10k", NULL, "'10k' is not a number: it is written out, without a unit"},
	{SETTING_PER_IP, "1,000", NULL, "is not a number: only whole ones, digits alone"},
	{SETTING_PER_IP, "\"10\"", NULL, "the quotes are part of the value here"},
	{SETTING_PER_IP, "'10'", NULL, "the quotes are part of the value here"},
	{SETTING_PER_IP, "10 # ten", NULL, "a comment has a line of its own"},
	{SETTING_PER_IP, "10\r", NULL, "there is a blank before or after it"},
	{SETTING_RULES, "@office.list=unlimited", "@office.list=unlimited", NULL},
	{SETTING_RULES, "@/etc/x=5", "@/etc/x=5", NULL},
	{SETTING_RULES, "10.0.0.0/8=3 @a=deny @b=5,10/s", "@a=deny @b=5,10/s,burst=10 10.0.0.0/8=3", NULL},
	{SETTING_RULES, "@a=1 @b=1 @c=1 @d=1 @e=1 @f=1 @g=1 @h=1", "@a=1 @b=1 @c=1 @d=1 @e=1 @f=1 @g=1 @h=1", NULL},
	{SETTING_RULES, "@a=1 @ab=1", "@a=1 @ab=1", NULL},
	{SETTING_RULES, "@a:b=1", "@a:b=1", NULL},
	{SETTING_RULES, "@a=1 @b=1 @c=1 @d=1 @e=1 @f=1 @g=1 @h=1 @i=1", NULL, "has too many lists; allowed: at most 8 lists"},
	{SETTING_RULES, "@\x01=1", NULL, "(at character 2) has a character in its path that is not printable ASCII"},
	{SETTING_RULES, "@=1", NULL, "'@=1' names no list after '@'"},
	{SETTING_RULES, "@a", NULL, "'@a' has no '=' and limit"},
	{SETTING_RULES, "@a=", NULL, "has no limit after '='"},
	{SETTING_RULES, "@a=0", NULL, "has the limit 0"},
	{SETTING_RULES, "@a=1 10.0.0.0/8=2 @a=3", NULL, "(at character 19) names a list for the second time; allowed: each list once"},
	{SETTING_RULES, "@a=deny,5/s", NULL, "has a rate for 'deny'"},
	{SETTING_RULES, "@a=x", NULL, "has no such limit"},
	{SETTING_RULES, "@pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp=1", NULL, "has a path of more than 255 bytes"},
	{SETTING_RULES, "@ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp=1", "@ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp=1", NULL},
	{SETTING_REFUSE, "429", NULL, "that one is 'http'"},
	{SETTING_REFUSE, "reset", "reset", NULL},
	{SETTING_REFUSE, "close", "close", NULL},
	{SETTING_REFUSE, "http", "http", NULL},
	{SETTING_REFUSE, "text:go away", "text:go away", NULL},
	{SETTING_REFUSE, "text:a\\nb\\t\\\\", "text:a\\nb\\t\\\\", NULL},
	{SETTING_REFUSE, "text:421 busy\\r\\n", "text:421 busy\\r\\n", NULL},
	{SETTING_REFUSE, "", NULL, "the value is empty"},
	{SETTING_REFUSE, "Reset", NULL, "'Reset' is not a way to refuse; allowed: reset, close, http, or text:"},
	{SETTING_REFUSE, "429", NULL, "'429' is not a way"},
	{SETTING_REFUSE, "text:", NULL, "'text:' is not a way"},
	{SETTING_REFUSE, "text", NULL, "is not a way"},
	{SETTING_REFUSE, "reset ", NULL, "'reset ' is not a way"},
	{SETTING_REFUSE, "text:a\\x", NULL, "'\\x' (at character 7) is an unknown escape"},
	{SETTING_REFUSE, "text:a\\", NULL, "'\\' (at character 7) is an unknown escape"},
	{SETTING_REFUSE, "text:" TEXT_512, "text:" TEXT_512, NULL},
	{SETTING_REFUSE, "text:" TEXT_512 "yz", NULL, "'yz' (at character 518) no longer fits"},
	/* Shown in ASCII alone: a terminal may obey other bytes, as U+009B or the byte of it, and those that belong to no letter. */
	{SETTING_REFUSE, "text:caf\xc3\xa9", "text:caf\\xc3\\xa9", NULL},
	{SETTING_REFUSE, "text:\\xC3\\xa9", "text:\\xc3\\xa9", NULL},
	{SETTING_REFUSE, "text:\xc2\x9b" "2J\x9b\033", "text:\\xc2\\x9b2J\\x9b\\x1b", NULL},
	{SETTING_REFUSE, "text:\\x00", NULL, "'\\x' (at character 6) is an unknown escape"},
	{SETTING_REFUSE, "text:\\x4", NULL, "'\\x' (at character 6) is an unknown escape"},
	{SETTING_MODE, "enforce", "enforce", NULL},
	{SETTING_MODE, "observe", "observe", NULL},
	{SETTING_MODE, "off", "off", NULL},
	{SETTING_MODE, "on", NULL, "'on' is not a mode; allowed: enforce, observe or off"},
	{SETTING_MODE, "", NULL, "the value is empty"},
	{SETTING_MODE, "Observe", NULL, "'Observe' is not"},
	{SETTING_MODE, "offf", NULL, "'offf' is not"},
	{SETTING_MODE, "enforce,observe", NULL, "is not a mode"},
	{SETTING_LOG, "stderr", "stderr", NULL},
	{SETTING_LOG, "syslog", "syslog", NULL},
	{SETTING_LOG, "off", "off", NULL},
	{SETTING_LOG, "stdout", NULL, "'stdout' is not a place to log to; allowed: stderr, json, syslog, journal or off"},
	{SETTING_LOG, "", NULL, "the value is empty"},
	{SETTING_LOG, "/var/log/x", NULL, "is not a place"},
	{SETTING_LOG, "none", NULL, "is not a place"},
	{SETTING_JOIN, "yes", "yes", NULL},
	{SETTING_JOIN, "no", "no", NULL},
	{SETTING_JOIN, "1", NULL, "'1' is neither; allowed: yes or no"},
	{SETTING_FILE, "/etc/connlimit/nginx.env", "/etc/connlimit/nginx.env", NULL},
	{SETTING_FILE, "/a b", "/a b", NULL},
	{SETTING_FILE, "nginx.env", NULL, "'nginx.env' is not absolute; allowed: an absolute path"},
	{SETTING_FILE, "", NULL, "the value is empty"},
	{SETTING_FILE, "./x", NULL, "is not absolute"},
	{SETTING_FILE, "~/x", NULL, "is not absolute"},
	{SETTING_TABLE, "nginx", "nginx", NULL},
	{SETTING_TABLE, "a.b-c_d@e:f", "a.b-c_d@e:f", NULL},
	{SETTING_TABLE, "9", "9", NULL},
	{SETTING_TABLE, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", NULL},
	{SETTING_TABLE, "", NULL, "the value is empty"},
	{SETTING_TABLE, "@k3j9x0", "@k3j9x0", NULL},
	{SETTING_TABLE, "..", NULL, "'..' has a character"},
	{SETTING_TABLE, "=", NULL, "'=' has a character"},
	{SETTING_TABLE, "=0123456789abcdeF=nginx", NULL, "(at character 18) has a character"},
	{SETTING_TABLE, "=0123456789abcdef=", NULL, "has a character that is not allowed there"},
	{SETTING_TABLE, "=a/b", NULL, "'=a/b' (at character 3) has a character"},
	{SETTING_TABLE, "a/b", NULL, "'a/b' (at character 2) has a character that is not allowed"},
	{SETTING_TABLE, "a b", NULL, "(at character 2)"},
	{SETTING_TABLE, "-a", NULL, "has a character"},
	{SETTING_TABLE, ".a", NULL, "has a character"},
	{SETTING_TABLE, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", NULL, "is too long"},
	{SETTING_TABLE, "caf\xc3\xa9", NULL, "(at character 4)"},
	{SETTING_CAPACITY, "64", "64", NULL},
	{SETTING_CAPACITY, "65536", "65536", NULL},
	{SETTING_CAPACITY, "16777216", "16777216", NULL},
	{SETTING_CAPACITY, "100", "100", NULL},
	{SETTING_CAPACITY, "63", NULL, "'63' is out of range; allowed: a number of connections from 64 to 16777216"},
	{SETTING_CAPACITY, "16777217", NULL, "is out of range"},
	{SETTING_CAPACITY, "0", NULL, "is out of range"},
	{SETTING_CAPACITY, "64k", NULL, "'64k' is not a number"},
	{SETTING_CAPACITY, "", NULL, "the value is empty"},
	{SETTING_CAPACITY, "-64", NULL, "is out of range"},
	{SETTING_BAN, "20/m for 10m", "20/m burst=20 for 10m", NULL},
	{SETTING_BAN, "20/m burst=5 for 10m", "20/m burst=5 for 10m", NULL},
	{SETTING_BAN, "20/m,burst=5 for 1h", "20/m burst=5 for 1h", NULL},
	{SETTING_BAN, "1/h for 1s", "1/h burst=1 for 1s", NULL},
	{SETTING_BAN, "1/s for 1000h", "1/s burst=1 for 1000h", NULL},
	{SETTING_BAN, "1000000/s for 90s", "1000000/s burst=1000000 for 90s", NULL},
	{SETTING_BAN, "5/h for 3600s", "5/h burst=5 for 1h", NULL},
	{SETTING_BAN, "5/h for 120m", "5/h burst=5 for 2h", NULL},
	{SETTING_BAN, "5/h for 61s", "5/h burst=5 for 61s", NULL},
	{SETTING_BAN, "5/h for 3600000s", "5/h burst=5 for 1000h", NULL},
	{SETTING_BAN, "60/m for 60s", "1/s burst=60 for 1m", NULL},
	{SETTING_BAN, "20/m  for  10m", "20/m burst=20 for 10m", NULL},
	{SETTING_BAN, "20/m\tfor\t10m", "20/m burst=20 for 10m", NULL},
	{SETTING_BAN, "20/m burst=1 for 010m", "20/m burst=1 for 10m", NULL},
	{SETTING_BAN, "0", "0", NULL},
	{SETTING_BAN, "20/m", NULL, "'20/m' does not say for how long; allowed: refusals and a time such as '20/m for 10m' (1s to 1000h)"},
	{SETTING_BAN, "20/m burst=5", NULL, "does not say for how long"},
	{SETTING_BAN, "20/m for", NULL, "continues with something other than a burst"},
	{SETTING_BAN, "20/m for ", NULL, "is not a time"},
	{SETTING_BAN, "20/m for 10", NULL, "(at character 10) has no unit: s, m or h"},
	{SETTING_BAN, "20/m for 0s", NULL, "(at character 10) is out of range"},
	{SETTING_BAN, "20/m for 1001h", NULL, "(at character 10) is out of range"},
	{SETTING_BAN, "20/m for 3600001s", NULL, "is out of range"},
	{SETTING_BAN, "20/m for 99999999999s", NULL, "is out of range"},
	{SETTING_BAN, "20/m for ever", NULL, "(at character 10) is not a time"},
	{SETTING_BAN, "20/m for 10 m", NULL, "(at character 10) is not a time"},
	{SETTING_BAN, "20/m for 10m ", NULL, "(at character 10) is not a time"},
	{SETTING_BAN, "20/m for 1.5h", NULL, "is not a time: a whole number"},
	{SETTING_BAN, "20/m for -1m", NULL, "is not a time: a whole number"},
	{SETTING_BAN, "20/m for 10M", NULL, "is not a time"},
	{SETTING_BAN, "20/m for 1d", NULL, "is not a time"},
	{SETTING_BAN, "20/m for 10m for 10m", NULL, "is not a time"},
	{SETTING_BAN, "20/m FOR 10m", NULL, "continues with something other than a burst"},
	{SETTING_BAN, "20/m 10m", NULL, "(at character 5) continues with something other than a burst"},
	{SETTING_BAN, "20/mfor 10m", NULL, "(at character 4) has no unit s, m or h"},
	{SETTING_BAN, "20 for 10m", NULL, "'20 for 10m' is not a rate: it needs /s, /m or /h"},
	{SETTING_BAN, "10m for 20/m", NULL, "is not a rate"},
	{SETTING_BAN, "for 10m", NULL, "is not a rate"},
	{SETTING_BAN, " for 10m", NULL, "is not a rate"},
	{SETTING_BAN, "/m for 10m", NULL, "has no number before '/'"},
	{SETTING_BAN, "0/m for 10m", NULL, "has a number out of range before '/'"},
	{SETTING_BAN, "-1/m for 10m", NULL, "has no number before '/'"},
	{SETTING_BAN, "0.5/s for 10m", NULL, "has no whole number before '/'"},
	{SETTING_BAN, "1000001/s for 10m", NULL, "has a number out of range before"},
	{SETTING_BAN, "20/d for 10m", NULL, "(at character 4) has no unit s, m or h after '/'"},
	{SETTING_BAN, "20/m burst=0 for 10m", NULL, "(at character 12) has no burst"},
	{SETTING_BAN, "20/m burst=x for 10m", NULL, "(at character 12) has no burst"},
	{SETTING_BAN, "20/m burst= for 10m", NULL, "has no burst"},
	{SETTING_BAN, "0 for 10m", NULL, "'0 for 10m' has no rate of refusals"},
	{SETTING_BAN, "unlimited for 10m", NULL, "has no rate of refusals"},
	{SETTING_BAN, "unlimited", NULL, "has no rate of refusals"},
	{SETTING_BAN, "off", NULL, "is not a rate"},
	{SETTING_BAN, "", NULL, "the value is empty"},
	{SETTING_LOG, "journal", "journal", NULL},
	{SETTING_LOG, "json", "json", NULL},
	{SETTING_LOG, "journald", NULL, "'journald' is not a place to log to"},
	{SETTING_LOG, "JSON", NULL, "'JSON' is not a place to log to"},
	{SETTING_LOG, "json ", NULL, "is not a place to log to"},
	{SETTING_LOG, "json,journal", NULL, "is not a place to log to"},
	{SETTING_PER_NETWORK, "100", "100", NULL},
	{SETTING_PER_NETWORK, "0", "unlimited", NULL},
	{SETTING_PER_NETWORK, "unlimited", "unlimited", NULL},
	{SETTING_PER_NETWORK, "1", "1", NULL},
	{SETTING_PER_NETWORK, "007", "7", NULL},
	{SETTING_PER_NETWORK, "16000000", "16000000", NULL},
	{SETTING_PER_NETWORK, "16000001", NULL, "is out of range"},
	{SETTING_PER_NETWORK, "-1", NULL, "is out of range"},
	{SETTING_PER_NETWORK, "", NULL, "the value is empty"},
	{SETTING_PER_NETWORK, "ten", NULL, "'ten' is not a number"},
	{SETTING_PER_NETWORK, "100/s", NULL, "is not a number"},
	{SETTING_PER_NETWORK, "deny", NULL, "is not a number"},
	{SETTING_PER_NETWORK, "1k", NULL, "it is written out, without a unit"},
	{SETTING_PER_NETWORK, " 5", NULL, "there is a blank before or after it"},
	{SETTING_PER_NETWORK, "10.0.0.0/8=5", NULL, "is not a number"},
	{SETTING_NETWORK_IPV4_PREFIX, "24", "24", NULL},
	{SETTING_NETWORK_IPV4_PREFIX, "0", "0", NULL},
	{SETTING_NETWORK_IPV4_PREFIX, "32", "32", NULL},
	{SETTING_NETWORK_IPV4_PREFIX, "33", NULL, "is out of range; allowed: a number of bits from 0 to 32"},
	{SETTING_NETWORK_IPV4_PREFIX, "/24", NULL, "is not a number"},
	{SETTING_NETWORK_IPV4_PREFIX, "-1", NULL, "is out of range"},
	{SETTING_NETWORK_IPV4_PREFIX, "", NULL, "the value is empty"},
	{SETTING_NETWORK_IPV4_PREFIX, "unlimited", NULL, "is not a number"},
	{SETTING_NETWORK_IPV6_PREFIX, "48", "48", NULL},
	{SETTING_NETWORK_IPV6_PREFIX, "0", "0", NULL},
	{SETTING_NETWORK_IPV6_PREFIX, "128", "128", NULL},
	{SETTING_NETWORK_IPV6_PREFIX, "129", NULL, "is out of range; allowed: a number of bits from 0 to 128"},
	{SETTING_NETWORK_IPV6_PREFIX, "48.", NULL, "only whole ones"},
	{SETTING_NETWORK_IPV6_PREFIX, "::/48", NULL, "is not a number"},
	{SETTING_RULES, "2001:db8::/32=5,network=50", "2001:db8::/32=5,network=50", NULL},
	{SETTING_RULES, "10.0.0.0/8=5,network=unlimited", "10.0.0.0/8=5,network=unlimited", NULL},
	{SETTING_RULES, "10.0.0.0/8=unlimited,network=50", "10.0.0.0/8=unlimited,network=50", NULL},
	{SETTING_RULES, "10.0.0.0/8=unlimited,network=unlimited", "10.0.0.0/8=unlimited,network=unlimited", NULL},
	{SETTING_RULES, ":80=1,network=16000000", ":80=1,network=16000000", NULL},
	{SETTING_RULES, "10.0.0.0/8=5,10/s,network=50", "10.0.0.0/8=5,10/s,burst=10,network=50", NULL},
	{SETTING_RULES, "10.0.0.0/8=5,network=50,10/s", "10.0.0.0/8=5,10/s,burst=10,network=50", NULL},
	{SETTING_RULES, "10.0.0.0/8=5,10/s,burst=3,network=50", "10.0.0.0/8=5,10/s,burst=3,network=50", NULL},
	{SETTING_RULES, "10.0.0.0/8=5,network=50,10/s,burst=3", "10.0.0.0/8=5,10/s,burst=3,network=50", NULL},
	{SETTING_RULES, "10.0.0.0/8=unlimited,0,network=7", "10.0.0.0/8=unlimited,network=7", NULL},
	{SETTING_RULES, "10.0.0.0/8=5,0,network=7", "10.0.0.0/8=5,0,network=7", NULL},
	{SETTING_RULES, "@a=5,network=50 10.0.0.0/8=1", "@a=5,network=50 10.0.0.0/8=1", NULL},
	{SETTING_RULES, "[2001:db8::/32]:443=5,network=50", "[2001:db8::/32]:443=5,network=50", NULL},
	{SETTING_RULES, "10.0.0.0/8=5,network=0", NULL, "(at character 22) has the limit 0 for networks: that is 'unlimited'"},
	{SETTING_RULES, "10.0.0.0/8=5,network=", NULL, "has no such limit for networks"},
	{SETTING_RULES, "10.0.0.0/8=5,network=x", NULL, "(at character 22) has no such limit for networks"},
	{SETTING_RULES, "10.0.0.0/8=5,network=-1", NULL, "has no such limit for networks"},
	{SETTING_RULES, "10.0.0.0/8=5,network=16000001", NULL, "has no such limit for networks"},
	{SETTING_RULES, "10.0.0.0/8=5,network=deny", NULL, "has no such limit for networks"},
	{SETTING_RULES, "10.0.0.0/8=5,network=5=6", NULL, "has no such limit for networks"},
	{SETTING_RULES, "10.0.0.0/8=deny,network=5", NULL, "has a limit for networks, and 'deny'"},
	{SETTING_RULES, "10.0.0.0/8=5,network=6,network=7", NULL, "has a limit for networks twice, or within a rate"},
	{SETTING_RULES, "10.0.0.0/8=5,10/s,network=6,burst=3", NULL, "has a limit for networks twice, or within a rate"},
	{SETTING_RULES, "10.0.0.0/8=5,network=6,", NULL, "twice, or within a rate"},
	{SETTING_RULES, "10.0.0.0/8=5,network=6,7", NULL, "(at character 24) is not a rate"},
	{SETTING_RULES, "10.0.0.0/8=5,10/d,network=6", NULL, "(at character 17) has no unit"},
	{SETTING_RULES, "10.0.0.0/8=network=6", NULL, "(at character 12) has no such limit"},
	{SETTING_RULES, "10.0.0.0/8=,network=6", NULL, "(at character 12) has no limit after '='"},
	{SETTING_RULES, "10.0.0.0/8=5,Network=6", NULL, "(at character 14) has an unknown word after a comma"},
	{SETTING_RULES, "10.0.0.0/8=5,networks=6", NULL, "(at character 14) has an unknown word after a comma"},
	{SETTING_RULES, "10.0.0.0/8=5,netwrok=6", NULL, "limit for the client's network: 100,network=500"},
	{SETTING_RULES, "10.0.0.0/8=5,network", NULL, "(at character 14) has an unknown word after a comma; allowed: NETWORK=LIMIT"},
	{SETTING_RULES, "10.0.0.0/8=5,5/s,netwrok=6", NULL, "(at character 18) has an unknown word after a comma"},
	{SETTING_RULES, "10.0.0.0/8=5,5/s,burts=6", NULL, "(at character 18) has an unknown word after a comma"},
	{SETTING_RULES, "10.0.0.0/8=5,netwrok,5/s", NULL, "(at character 14) has an unknown word after a comma"},
	{SETTING_RULES, "10.0.0.0/8=unlimited,netwrok=6", NULL, "(at character 22) has an unknown word after a comma"},
	{SETTING_RULES, "10.0.0.0/8=5,5/s,burst", NULL, "continues with something other than a burst"},
	{SETTING_RULES, "10.0.0.0/8=5,network50", NULL, "(at character 14) is not a rate"},
	{SETTING_RULES, "10.0.0.0/8=5,fe80::/10=6", NULL, "(at character 14) goes on after a comma: rules are separated by blanks"},
	{SETTING_RULES, "@a=5,netwrok=6", NULL, "(at character 6) has an unknown word after a comma"},
	{SETTING_RULES, "10.0.0.0/8=5,network=6 11.0.0.0/8=5,network=y", NULL, "(at character 45) has no such limit for networks"},
	{SETTING_RULES, "10.0.0.0/8=5, network=6", NULL, "has no rate after the comma"},
	{SETTING_PROXY, "", "", NULL},
	{SETTING_PROXY, " ", "", NULL},
	{SETTING_PROXY, "10.0.0.0/8", "10.0.0.0/8", NULL},
	{SETTING_PROXY, "10.0.0.0/8 192.0.2.1", "10.0.0.0/8 192.0.2.1", NULL},
	{SETTING_PROXY, " 10.0.0.0/8\t192.0.2.0/24\n", "10.0.0.0/8 192.0.2.0/24", NULL},
	{SETTING_PROXY, "2001:db8::/32 ::1", "2001:db8::/32 ::1", NULL},
	{SETTING_PROXY, "[2001:db8::]/32", "2001:db8::/32", NULL},
	{SETTING_PROXY, "::ffff:192.0.2.1", "192.0.2.1", NULL},
	{SETTING_PROXY, "0.0.0.0/0 ::/0", "0.0.0.0/0 ::/0", NULL},
	{SETTING_PROXY, "192.0.2.1/32", "192.0.2.1", NULL},
	{SETTING_PROXY, "10.0.0.0/8 10.0.0.0/8", "10.0.0.0/8 10.0.0.0/8", NULL},
	{SETTING_PROXY, "10.0.0.1/8", NULL, "'10.0.0.1/8' has bits set after its prefix; allowed: up to 64 networks or addresses"},
	{SETTING_PROXY, "10.0.0.0/33", NULL, "has no prefix length from 0 to 32"},
	{SETTING_PROXY, "10.0.0.0/", NULL, "has no prefix length"},
	{SETTING_PROXY, "10.0.0/8", NULL, "is not an IPv4 address"},
	{SETTING_PROXY, "10.0.0.0/8,11.0.0.0/8", NULL, "has no prefix length"},
	{SETTING_PROXY, "10.0.0.0/8, 11.0.0.0/8", NULL, "'10.0.0.0/8,' (at character 10) has no prefix length"},
	{SETTING_PROXY, "10.0.0.0/8 x", NULL, "'x' (at character 12) is not an IPv4 address"},
	{SETTING_PROXY, "2001:db8::/129", NULL, "has no prefix length from 0 to 128"},
	{SETTING_PROXY, "2001:db8::1/32", NULL, "has bits set"},
	{SETTING_PROXY, "2001:db8:::/32", NULL, "is not an IPv6 address"},
	{SETTING_PROXY, "haproxy", NULL, "is not an IPv4 address"},
	{SETTING_PROXY, "yes", NULL, "is not an IPv4 address"},
	{SETTING_PROXY, "unlimited", NULL, "is not an IPv4 address"},
	{SETTING_PROXY, "10.0.0.0/8=1", NULL, "has no prefix length"},
	{SETTING_PROXY, "192.0.2.1:80", NULL, "is not an IPv6 address"},
	{SETTING_PROXY, "@balancers.list", NULL, "is not an IPv4 address"},
	{SETTING_PROXY, "# none", NULL, "'#' is not an IPv4 address"},
	{SETTING_KEEPALIVE, "8s", "8s", NULL},
	{SETTING_KEEPALIVE, "120s", "120s", NULL},
	{SETTING_KEEPALIVE, "2m", "120s", NULL},
	{SETTING_KEEPALIVE, "1h", "3600s", NULL},
	{SETTING_KEEPALIVE, "18h", "64800s", NULL},
	{SETTING_KEEPALIVE, "64800s", "64800s", NULL},
	{SETTING_KEEPALIVE, "0", "0", NULL},
	{SETTING_KEEPALIVE, "0010s", "10s", NULL},
	{SETTING_KEEPALIVE, "7s", NULL, "'7s' is out of range; allowed: a time such as 120s, 2m or 1h, from 8s to 18h; 0 for none"},
	{SETTING_KEEPALIVE, "0s", NULL, "is out of range"},
	{SETTING_KEEPALIVE, "64801s", NULL, "is out of range"},
	{SETTING_KEEPALIVE, "19h", NULL, "is out of range"},
	{SETTING_KEEPALIVE, "99999999999s", NULL, "is out of range"},
	{SETTING_KEEPALIVE, "120", NULL, "'120' has no unit: s, m or h"},
	{SETTING_KEEPALIVE, "120ms", NULL, "'120ms' is not a time: a whole number"},
	{SETTING_KEEPALIVE, "120 s", NULL, "is not a time"},
	{SETTING_KEEPALIVE, "120s ", NULL, "is not a time"},
	{SETTING_KEEPALIVE, " 120s", NULL, "is not a time"},
	{SETTING_KEEPALIVE, "1.5m", NULL, "is not a time: a whole number"},
	{SETTING_KEEPALIVE, "-8s", NULL, "is not a time: a whole number"},
	{SETTING_KEEPALIVE, "s", NULL, "'s' is not a time"},
	{SETTING_KEEPALIVE, "2M", NULL, "'2M' is not a time"},
	{SETTING_KEEPALIVE, "1d", NULL, "'1d' is not a time"},
	{SETTING_KEEPALIVE, "unlimited", NULL, "is not a time"},
	{SETTING_KEEPALIVE, "on", NULL, "is not a time"},
	{SETTING_KEEPALIVE, "", NULL, "the value is empty"},
	{SETTING_SIGNAL, "HUP", "HUP", NULL},
	{SETTING_SIGNAL, "SIGHUP", "HUP", NULL},
	{SETTING_SIGNAL, "1", "HUP", NULL},
	{SETTING_SIGNAL, "USR1", "USR1", NULL},
	{SETTING_SIGNAL, "SIGUSR2", "USR2", NULL},
	{SETTING_SIGNAL, "10", "USR1", NULL},
	{SETTING_SIGNAL, "WINCH", "WINCH", NULL},
	{SETTING_SIGNAL, "URG", "URG", NULL},
	{SETTING_SIGNAL, "RTMIN+0", "RTMIN+0", NULL},
	{SETTING_SIGNAL, "RTMIN+5", "RTMIN+5", NULL},
	{SETTING_SIGNAL, "SIGRTMIN+30", "RTMIN+30", NULL},
	{SETTING_SIGNAL, "40", "RTMIN+6", NULL},
	{SETTING_SIGNAL, "KILL", NULL, "'KILL' cannot be the reload signal; allowed: HUP, USR1"},
	{SETTING_SIGNAL, "9", NULL, "'9' cannot be"},
	{SETTING_SIGNAL, "SEGV", NULL, "cannot be"},
	{SETTING_SIGNAL, "STOP", NULL, "cannot be"},
	{SETTING_SIGNAL, "19", NULL, "cannot be"},
	{SETTING_SIGNAL, "SIGPIPE", NULL, "cannot be"},
	{SETTING_SIGNAL, "BUS", NULL, "cannot be"},
	{SETTING_SIGNAL, "FPE", NULL, "cannot be"},
	{SETTING_SIGNAL, "ILL", NULL, "cannot be"},
	{SETTING_SIGNAL, "SIG1", NULL, "cannot be"},
	{SETTING_SIGNAL, "0", NULL, "cannot be"},
	{SETTING_SIGNAL, "33", NULL, "cannot be"},
	{SETTING_SIGNAL, "TERM", NULL, "cannot be"},
	{SETTING_SIGNAL, "15", NULL, "cannot be"},
	{SETTING_SIGNAL, "CHLD", NULL, "cannot be"},
	{SETTING_SIGNAL, "hup", NULL, "'hup' cannot be"},
	{SETTING_SIGNAL, "SIG", NULL, "cannot be"},
	{SETTING_SIGNAL, "RTMIN+31", NULL, "cannot be"},
	{SETTING_SIGNAL, "RTMIN+", NULL, "cannot be"},
	{SETTING_SIGNAL, "32", NULL, "cannot be"},
	{SETTING_SIGNAL, "65", NULL, "cannot be"},
	{SETTING_SIGNAL, "", NULL, "the value is empty"},
	{SETTING_SIGNAL, "HUP ", NULL, "cannot be"},
};
/* clang-format on */

enum { VALUES = sizeof(values) / sizeof(values[0]) };

static int failures;

static void complain(const struct value *value, const char *got)
{
	print_message("%s: '%s': got: %s; wanted: %s\n", settings_table[value->id].name, value->text, got,
		      value->meaning != NULL ? value->meaning : value->says);
	failures++;
}

static void try_value(const struct value *value)
{
	char meaning[2048];
	char name[64];

	settings_default(&settings);
	before = settings;
	if (!settings_set(&settings, value->id, value->text, strlen(value->text), FROM_ENVIRONMENT, &error)) {
		snprintf(name, sizeof(name), "CONNLIMIT_%s: ", settings_table[value->id].name);
		/* Every error names the variable and what is allowed, and leaves the settings alone. */
		if (value->meaning != NULL || strstr(error.text, value->says) == NULL ||
		    strncmp(error.text, name, strlen(name)) != 0 || strstr(error.text, "allowed: ") == NULL)
			complain(value, error.text);
		if (memcmp(&before, &settings, offsetof(struct settings, rule)) != 0)
			complain(value, "the settings are changed");
		return;
	}
	settings_format(meaning, sizeof(meaning), &settings, value->id);
	if (value->meaning == NULL || strcmp(meaning, value->meaning) != 0) {
		complain(value, meaning);
		return;
	}
	if (settings.origin[value->id] != FROM_ENVIRONMENT)
		complain(value, "its origin is not noted");
	/* What is shown can be written, and means the same. */
	if (!settings_set(&before, value->id, meaning, strlen(meaning), FROM_ENVIRONMENT, &error) ||
	    memcmp(&before, &settings, offsetof(struct settings, rule)) != 0)
		if (meaning[0] != '\0')
			complain(value, "what is shown does not read as the same");
}

static void every_value(void **state)
{
	(void)state;
	assert_true(VALUES >= 200);
	for (size_t i = 0; i < VALUES; i++)
		try_value(&values[i]);
	assert_int_equal(failures, 0);
}

/* The text need not end in NUL, and nothing behind its length is read (a sanitizer, or the wrong meaning, would tell). */
static void values_end_at_their_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < VALUES; i++) {
		size_t length = strlen(values[i].text);
		char *text = malloc(length + 1);
		memcpy(text, values[i].text, length);
		text[length] = '9';
		settings_default(&settings);
		bool taken = settings_set(&settings, values[i].id, text, length, FROM_ENVIRONMENT, &error);
		assert_int_equal(taken, values[i].meaning != NULL);
		free(text);
	}
}

static void defaults_read_as_themselves(void **state)
{
	char meaning[2048];

	(void)state;
	settings_default(&settings);
	for (int id = 0; id < SETTINGS; id++) {
		const char *standard = settings_table[id].standard;
		settings_format(meaning, sizeof(meaning), &settings, (enum setting_id)id);
		if (strcmp(standard, "0") != 0 || strcmp(meaning, "unlimited") != 0)
			assert_string_equal(meaning, standard);
		if (standard[0] != '\0')
			assert_true(
			    settings_set(&settings, (enum setting_id)id, standard, strlen(standard), FROM_ENVIRONMENT, &error));
	}
}

/* ---- names ---- */

static void names(void **state)
{
	static const struct {
		const char *name;
		enum setting_id id;
		const char *says;
	} asked[] = {
	    {"CONNLIMIT_PER_IP", SETTING_PER_IP, NULL},
	    {"per-ip", SETTING_PER_IP, NULL},
	    {"PER_IP", SETTING_PER_IP, NULL},
	    {"ipv6-prefix", SETTING_IPV6_PREFIX, NULL},
	    {"CONNLIMIT_RULES", SETTING_RULES, NULL},
	    {"CONNLIMIT_PERIP", SETTINGS, "did you mean CONNLIMIT_PER_IP?"},
	    {"CONNLIMIT_RULE", SETTINGS, "CONNLIMIT_RULES?"},
	    {"CONNLIMIT_TOTALS", SETTINGS, "CONNLIMIT_TOTAL?"},
	    {"CONNLIMIT_WEBHOOK_URL", SETTINGS,
	     "'CONNLIMIT_WEBHOOK_URL'; names that begin with CONNLIMIT_ are: PER_IP PER_NETWORK TOTAL RATE"},
	    {"CONNLIMIT_BURST", SETTINGS, "RATE PER_UID"},
	    {"max-connections", SETTINGS, "there are: per-ip per-network total"},
	    {"per-user", SETTINGS, "did you mean per-uid?"},
	    {"refused", SETTINGS, "did you mean refuse?"},
	    {"CONNLIMIT_", SETTINGS, "unknown setting 'CONNLIMIT_'"},
	    {"", SETTINGS, "unknown setting"},
	    {"CONNLIMIT_per_ip", SETTINGS, "did you mean CONNLIMIT_PER_IP?"},
	    {"CONNLIMIT_PER-IP", SETTINGS, "CONNLIMIT_PER_IP?"},
	    {"per_ip", SETTING_PER_IP, NULL},
	    {"CONNLIMIT_\x1b[2J", SETTINGS, "'CONNLIMIT_\\x1b[2J'"},
	    {"CONNLIMIT_PER_IP_", SETTINGS, "CONNLIMIT_PER_IP?"},
	    {"CONNLIMIT_IPV6PREFIX", SETTINGS, "CONNLIMIT_IPV6_PREFIX?"},
	    {"per-network", SETTING_PER_NETWORK, NULL},
	    {"CONNLIMIT_NETWORK_IPV4_PREFIX", SETTING_NETWORK_IPV4_PREFIX, NULL},
	    {"network-ipv6-prefix", SETTING_NETWORK_IPV6_PREFIX, NULL},
	    {"CONNLIMIT_PER_NETWORKS", SETTINGS, "CONNLIMIT_PER_NETWORK?"},
	    {"CONNLIMIT_NETWORK_IPV4PREFIX", SETTINGS, "CONNLIMIT_NETWORK_IPV4_PREFIX?"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		assert_int_equal(settings_find(asked[i].name, strlen(asked[i].name), &error), asked[i].id);
		if (asked[i].says != NULL && strstr(error.text, asked[i].says) == NULL)
			fail_msg("%s: %s", asked[i].name, error.text);
	}
}

static void tables_that_are_handed_on(void **state)
{
	(void)state;
	for (int marked = 1; marked >= 0; marked--) { /* each leaves nothing of the one before */
		const char *said = marked == 1 ? "=nginx" : "nginx";

		assert_true(settings_set(&settings, SETTING_TABLE, said, strlen(said), FROM_ENVIRONMENT, &error));
		assert_string_equal(settings.table, "nginx");
		assert_int_equal(settings.handed_on, marked);
	}
}

static void the_environment(void **state)
{
	char *good[] = {"PATH=/bin", "CONNLIMIT_PER_IP=7", "CONNLIMITED=x", "CONNLIMIT_MODE=observe", "NOVALUE", NULL};
	char *unknown[] = {"CONNLIMIT_PER_IP=7", "CONNLIMIT_PER_PI=8", NULL};
	char *bad[] = {"CONNLIMIT_PER_IP=", NULL};
	char *meant[][2] = {{"CONNLIMT_PER_IP=7"},
			    {"connlimit_per_ip=7"},
			    {"CONN_LIMIT_PER_IP=7"},
			    {"CONNLIMITPER_IP=7"},
			    {"Connlimit_Total=7"}};
	char *strange[] = {"CONN_LIMIT=5", "CONNLIMIT=x", "CONNECTION_LIMIT_PER_IP=9", "PER_IP=7", "C=", "COLUMNS=80",
			   "=C:=x",	   NULL};

	(void)state;
	settings_default(&settings);
	assert_true(settings_from_environment(&settings, good, &error));
	assert_int_equal(settings.per_ip, 7);
	assert_int_equal(settings.mode, MODE_OBSERVE);
	assert_int_equal(settings.origin[SETTING_PER_IP], FROM_ENVIRONMENT);
	assert_int_equal(settings.origin[SETTING_TOTAL], FROM_DEFAULT);
	assert_false(settings_from_environment(&settings, unknown, &error));
	assert_non_null(strstr(error.text, "CONNLIMIT_PER_IP?"));
	assert_false(settings_from_environment(&settings, bad, &error));
	assert_non_null(strstr(error.text, "CONNLIMIT_PER_IP: the value is empty"));
	/* A limit whose name is mistyped in its beginning must not fall away; what is others' must not matter. */
	for (size_t i = 0; i < sizeof(meant) / sizeof(meant[0]); i++) {
		assert_false(settings_from_environment(&settings, meant[i], &error));
		assert_non_null(strstr(error.text, "; did you mean CONNLIMIT_"));
	}
	assert_true(settings_from_environment(&settings, strange, &error));
}

/* ---- files ---- */

struct file {
	const char *text;
	enum setting_id id;
	const char *meaning; /* NULL: an error */
	const char *says;
};

/* clang-format off */
static const struct file files[] = {
	{"", SETTING_PER_IP, "unlimited", NULL},
	{"CONNLIMIT_PER_IP=5", SETTING_PER_IP, "5", NULL},
	{"CONNLIMIT_PER_IP=5\n", SETTING_PER_IP, "5", NULL},
	{"\xef\xbb\xbf" "CONNLIMIT_PER_IP=5\n", SETTING_PER_IP, "5", NULL},
	{"\xef\xbb\xbf" "CONNLIMIT_PER_IP=x\n", SETTING_PER_IP, NULL, "/f:1:18: CONNLIMIT_PER_IP: 'x'"},
	{"CONNLIMIT_per_ip=5\n", SETTING_PER_IP, NULL, "/f:1:1: unknown setting 'CONNLIMIT_per_ip'; did you mean CONNLIMIT_PER_IP?"},
	{"CONNLIMIT_PER_IP=\"10 \"\n", SETTING_PER_IP, NULL, "/f:1:19: CONNLIMIT_PER_IP: '10 ' is not a number"},
	{"CONNLIMIT_RULES='10.0.0.0/8=1\n11.0.0.0/8=x'\n", SETTING_PER_IP, NULL, "/f:2:12: CONNLIMIT_RULES: '11.0.0.0/8=x' has"},
	{"\n\n  CONNLIMIT_PER_IP=5\n\n", SETTING_PER_IP, "5", NULL},
	{"# a comment\n; another\nCONNLIMIT_PER_IP=5 \n", SETTING_PER_IP, "5", NULL},
	{"# CONNLIMIT_PER_IP=4 \\\nCONNLIMIT_PER_IP=5\n", SETTING_PER_IP, "5", NULL},
	{"CONNLIMIT_PER_IP=\"5\"\n", SETTING_PER_IP, "5", NULL},
	{"CONNLIMIT_PER_IP='5'\n", SETTING_PER_IP, "5", NULL},
	{"CONNLIMIT_PER_IP=5\r\nCONNLIMIT_TOTAL=6\r\n", SETTING_PER_IP, "5", NULL},
	{"CONNLIMIT_PER_IP=5\nCONNLIMIT_PER_IP=6\n", SETTING_PER_IP, "6", NULL},
	{"OTHER=x\nCONNLIMIT_PER_IP=5\nexport=1\n", SETTING_PER_IP, "5", NULL},
	{"CONNLIMIT_PER_IP=1\\\n2\n", SETTING_PER_IP, "12", NULL},
	{"CONNLIMIT_RULES=\"10.0.0.0/8=1\n11.0.0.0/8=2\"\n", SETTING_RULES, "10.0.0.0/8=1 11.0.0.0/8=2", NULL},
	{"CONNLIMIT_RULES=10.0.0.0/8=1 \\\n 11.0.0.0/8=2\n", SETTING_RULES, "10.0.0.0/8=1 11.0.0.0/8=2", NULL},
	{"CONNLIMIT_RULES=\n", SETTING_RULES, "", NULL},
	{"CONNLIMIT_RATE=20/s burst=5\n", SETTING_RATE, "20/s burst=5", NULL},
	{"CONNLIMIT_REFUSE='text:it''s \\\\ full'\n", SETTING_REFUSE, "text:its \\\\ full", NULL},
	{"CONNLIMIT_REFUSE=\"text:say \\\"no\\\"\"\n", SETTING_REFUSE, "text:say \"no\"", NULL},
	{"CONNLIMIT_PER_IP=ten\n", SETTING_PER_IP, NULL, "/f:1:18: CONNLIMIT_PER_IP: 'ten' is not a number"},
	{"\n# x\nCONNLIMIT_PER_IP=-1\n", SETTING_PER_IP, NULL, "/f:3:18: CONNLIMIT_PER_IP: '-1'"},
	{"CONNLIMIT_PER_IP=5\nCONNLIMIT_TOTAL=x\n", SETTING_PER_IP, NULL, "/f:2:17: CONNLIMIT_TOTAL"},
	{"CONNLIMIT_PER_IP=5\nCONNLIMIT_PERIP=6\n", SETTING_PER_IP, NULL, "/f:2:1: unknown setting 'CONNLIMIT_PERIP'; did you mean CONNLIMIT_PER_IP?"},
	{"CONNLIMIT_PER_IP\n", SETTING_PER_IP, NULL, "/f:1:1: a line is NAME=VALUE"},
	{"export CONNLIMIT_PER_IP=5\n", SETTING_PER_IP, NULL, "no 'export' here"},
	{"CONNLIMIT_PER_IP=\"5\n", SETTING_PER_IP, NULL, "/f:1:18: a quote is not closed"},
	{"CONNLIMIT_FILE=/x\n", SETTING_PER_IP, NULL, "cannot be set in the file"},
	{"CONNLIMIT_TABLE=x\n", SETTING_PER_IP, NULL, "cannot be set in the file"},
	{"CONNLIMIT_RULES=\"10.0.0.0/8=1\n10.0.0.0/8=2\"\n", SETTING_PER_IP, NULL, "/f:2:1: CONNLIMIT_RULES: '10.0.0.0/8=2' names"},
	{"CONNLIMIT_PER_IP=\n", SETTING_PER_IP, NULL, "/f:1:18: CONNLIMIT_PER_IP: the value is empty"},
	/* As systemd reads it: quotes count only where a value, or what follows a quoted one, begins. */
	{"CONNLIMIT_REFUSE=text:it's \"full\"\n", SETTING_REFUSE, "text:it's \"full\"", NULL},
	{"CONNLIMIT_REFUSE='text:a'\"b\"c'd'\n", SETTING_REFUSE, "text:abc'd'", NULL},
	{"CONNLIMIT_REFUSE=\"text:\\a \\$x\"\n", SETTING_PER_IP, NULL, "/f:1:24: CONNLIMIT_REFUSE: '\\a' is an unknown escape"},
	{"CONNLIMIT_REFUSE=text:a\\\\nb\n", SETTING_REFUSE, "text:a\\nb", NULL},
	{"CONNLIMIT_REFUSE='text:a\\nb'\n", SETTING_REFUSE, "text:a\\nb", NULL},
	{"CONNLIMIT_PER_IP=\"5\" # five\n", SETTING_PER_IP, NULL, "/f:1:22: more follows the quoted value (a comment has a line of its own)"},
	{"CONNLIMIT_PER_IP=5 # five\n", SETTING_PER_IP, NULL, "a comment has a line of its own"},
	{"CONNLIMIT_RULES=\"10.0.0.0/8=1\" \"11.0.0.0/8=1\"\n", SETTING_PER_IP, NULL, "/f:1:32: more follows the quoted value"},
	/* Lines that end in CR LF, continued ones too, which systemd would cut off. */
	{"CONNLIMIT_RULES=10.0.0.0/8=1 \\\r\n 11.0.0.0/8=2\r\n", SETTING_RULES, "10.0.0.0/8=1 11.0.0.0/8=2", NULL},
	{"CONNLIMIT_RULES=\"10.0.0.0/8=1 \\\r\n 11.0.0.0/8=2\r\n 12.0.0.0/8=3\"\r\n", SETTING_RULES, "10.0.0.0/8=1 11.0.0.0/8=2 12.0.0.0/8=3", NULL},
	{"\r\n# x\r\nCONNLIMIT_PER_IP=\"5\" \r\n", SETTING_PER_IP, "5", NULL},
	{"CONNLIMIT_PER_IP=5\rCONNLIMIT_TOTAL=6\n", SETTING_PER_IP, NULL, "/f:1:19: a carriage return is not allowed within a line"},
	{"CONNLIMIT_PER_IP=5\\", SETTING_PER_IP, NULL, "/f:1:20: nothing follows the backslash"},
	{"CONNLIMIT_RULES=\"\n  10.0.0.0/8=1  # office\n  # 11.0.0.0/8=2\n  12.0.0.0/8=3\n\"\n", SETTING_RULES, "10.0.0.0/8=1 12.0.0.0/8=3", NULL},
	{"CONNLIMIT_RULES=\"\n10.0.0.0/8=1 # office \\\n12.0.0.0/8=3\n\"\n", SETTING_RULES, NULL, "/f:2:23: a comment cannot be continued with a backslash"},
	{"CONNLIMIT_RULES=10.0.0.0/8=1 # office \\\n12.0.0.0/8=3\n", SETTING_RULES, NULL, "/f:1:30: CONNLIMIT_RULES: '# office 12.0.0.0/8=3' begins a comment"},
	/* Where in the lines of one value. */
	{"CONNLIMIT_RULES=10.0.0.0/8=1 \\\n 11.0.0.0/8=2 \\\n  12.0.0.1/8=3\n", SETTING_RULES, NULL, "/f:3:3: CONNLIMIT_RULES: '12.0.0.1/8=3' has bits set"},
	{"CONNLIMIT_RULES=10.0.0.0/8=1\\\n11.0.0.0/8=2\n", SETTING_RULES, NULL, "/f:1:28: CONNLIMIT_RULES: '10.0.0.0/8=111.0.0.0/8=2' has no such limit"},
	{"CONNLIMIT_RULES=\"10.0.0.0/8=1\n 11.0.0.0/8=2\n\t12.0.0.0/8=\"\n", SETTING_RULES, NULL, "/f:3:13: CONNLIMIT_RULES: '12.0.0.0/8=' has no limit"},
	{"  CONNLIMIT_RATE = \"20/s burst=x\"\n", SETTING_RATE, NULL, "/f:1:32: CONNLIMIT_RATE: '20/s burst=x' has no burst"},
	{"CONNLIMIT_PER_IP=''\n", SETTING_PER_IP, NULL, "CONNLIMIT_PER_IP: the value is empty"},
	{"CONNLIMIT_RULES=\"10.0.0.0/8=1\n 11.0.0.0/8=2,netwrok=50\"\n", SETTING_RULES, NULL, "/f:2:15: CONNLIMIT_RULES: '11.0.0.0/8=2,netwrok=50' has an unknown word"},
	/* Names that were meant for us. */
	{"CONNLIMT_PER_IP=5\n", SETTING_PER_IP, NULL, "/f:1:1: unknown setting 'CONNLIMT_PER_IP'; did you mean CONNLIMIT_PER_IP?"},
	{"x=y\n  connlimit_per_ip=5\n", SETTING_PER_IP, NULL, "/f:2:3: unknown setting 'connlimit_per_ip'; did you mean CONNLIMIT_PER_IP?"},
	{"PER_IP=5\n", SETTING_PER_IP, NULL, "did you mean CONNLIMIT_PER_IP?"},
	{"--per-ip=5\n", SETTING_PER_IP, NULL, "did you mean CONNLIMIT_PER_IP?"},
	{"LOG=/var/log/x\nMODE=production\nPORT=80\nTABLE=x\n", SETTING_PER_IP, "unlimited", NULL},
	{"=5\n", SETTING_PER_IP, NULL, "/f:1:1: there is no name before '='"},
	{"CONNLIMIT_PER_IP: 5\n", SETTING_PER_IP, NULL, "/f:1:1: a line is NAME=VALUE"},
};
/* clang-format on */

static void every_file(void **state)
{
	char meaning[2048];
	char text[2048];

	(void)state;
	failures = 0;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		settings_default(&settings);
		before = settings;
		strcpy(text, files[i].text);
		bool taken = settings_from_text(&settings, &work, "/f", text, strlen(text), &error);
		settings_format(meaning, sizeof(meaning), &settings, files[i].id);
		if (taken != (files[i].meaning != NULL) || (taken && strcmp(meaning, files[i].meaning) != 0) ||
		    (!taken && strstr(error.text, files[i].says) == NULL)) {
			print_message("file %zu: %s\n", i, taken ? meaning : error.text);
			failures++;
		}
		/* Half a file is never used. */
		if (!taken)
			assert_memory_equal(&before, &settings, offsetof(struct settings, rule));
	}
	assert_int_equal(failures, 0);
}

static char file_text[SETTINGS_FILE_ROOM];

/* However long the path, what is wrong is said, and where. */
static void long_paths(void **state)
{
	char path[PATH_MOST + 1];
	static const char lines[] = "\nCONNLIMIT_PER_IP=ten\n";
	char text[2 * sizeof(lines)];

	(void)state;
	memset(path, 'p', sizeof(path) - 1);
	path[0] = '/';
	strcpy(path + sizeof(path) - sizeof("/nginx.env"), "/nginx.env");
	strcpy(text, lines);
	settings_default(&settings);
	assert_false(settings_from_text(&settings, &work, path, text, strlen(text), &error));
	assert_memory_equal(error.text, "...", 3);
	assert_non_null(
	    strstr(error.text, "/nginx.env:2:18: CONNLIMIT_PER_IP: 'ten' is not a number; allowed: a number from 0"));
	assert_false(settings_from_file(&settings, &work, file_text, path, &error));
	assert_non_null(strstr(error.text, "/nginx.env: cannot be opened: "));
}

/* RULES_MOST of them, and no more; an error, wherever, leaves those before as they were. */
static size_t many_rules(char *text, unsigned first, unsigned rules)
{
	size_t length = 0;

	for (unsigned i = first; i < first + rules; i++)
		length += (size_t)sprintf(text + length, "10.%u.%u.%u=%u ", i >> 16, i >> 8 & 255, i & 255, i % 1000 + 1);
	return length;
}

static void as_many_rules_as_there_may_be(void **state)
{
	static char text[(RULES_MOST + 1) * 32];
	static struct rule kept[RULES_MOST];
	const char *const errors[] = {"10.0.0.0=1", "10.200.0.0=x"};

	(void)state;
	settings_default(&settings);
	size_t length = many_rules(text, 0, RULES_MOST);
	assert_true(settings_set(&settings, SETTING_RULES, text, length, FROM_FILE, &error));
	assert_int_equal(settings.rules, RULES_MOST);
	memcpy(kept, settings.rule, sizeof(kept));

	length = many_rules(text, 0, RULES_MOST + 1);
	assert_false(settings_set(&settings, SETTING_RULES, text, length, FROM_FILE, &error));
	assert_non_null(strstr(error.text, "too many rules; allowed: at most 10000"));
	for (int i = 0; i < 2; i++) {
		/* Other rules than those in force, with the error last. */
		length = many_rules(text, 0, 1);
		length += many_rules(text + length, 70000, RULES_MOST - 2);
		length += (size_t)sprintf(text + length, "%s", errors[i]);
		assert_false(settings_set(&settings, SETTING_RULES, text, length, FROM_FILE, &error));
		assert_non_null(strstr(error.text, errors[i]));
		assert_int_equal(settings.rules, RULES_MOST);
		assert_memory_equal(kept, settings.rule, sizeof(kept));
	}
	length = many_rules(text, 70000, RULES_MOST);
	assert_true(settings_set(&settings, SETTING_RULES, text, length, FROM_FILE, &error));
	assert_int_equal(settings.rules, RULES_MOST);
	assert_memory_not_equal(kept, settings.rule, sizeof(kept));
}

static bool read_file_with(const char *path, mode_t mode, const char *text, size_t length)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(descriptor >= 0);
	assert_int_equal(write(descriptor, text, length), length);
	assert_int_equal(fchmod(descriptor, mode), 0);
	close(descriptor);
	settings_default(&settings);
	return settings_from_file(&settings, &work, file_text, path, &error);
}

static void only_trusted_files(void **state)
{
	char path[] = "/tmp/test-settings-XXXXXX";
	static char large[SETTINGS_FILE_MOST + 1];

	(void)state;
	close(mkstemp(path));
	assert_true(read_file_with(path, 0600, "CONNLIMIT_PER_IP=5\n", 19));
	assert_int_equal(settings.per_ip, 5);
	assert_true(read_file_with(path, 0644, "CONNLIMIT_PER_IP=5\n", 19));
	assert_false(read_file_with(path, 0646, "CONNLIMIT_PER_IP=5\n", 19));
	assert_non_null(strstr(error.text, "others may write"));
	assert_int_equal(settings.per_ip, LIMIT_NONE);
	assert_false(read_file_with(path, 0600, "CONNLIMIT_PER_IP=5\0\n", 20));
	memset(large, '\n', sizeof(large));
	assert_true(read_file_with(path, 0600, large, SETTINGS_FILE_MOST));
	assert_false(read_file_with(path, 0600, large, SETTINGS_FILE_MOST + 1));
	assert_non_null(strstr(error.text, "larger than"));
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 65534, 65534), 0);
		assert_false(settings_from_file(&settings, &work, file_text, path, &error));
		assert_non_null(strstr(error.text, "belongs neither to root nor"));
	}
	unlink(path);
	assert_false(settings_from_file(&settings, &work, file_text, path, &error));
	assert_non_null(strstr(error.text, path));
	assert_non_null(strstr(error.text, "No such file"));
	assert_false(settings_from_file(&settings, &work, file_text, "/tmp", &error));
	assert_non_null(strstr(error.text, "not a regular file"));
	/* A pipe without a writer is not waited for. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(settings_from_file(&settings, &work, file_text, path, &error));
	assert_non_null(strstr(error.text, "not a regular file"));
	unlink(path);
}

/* Whatever a table, a file or a server says, what is shown of it is printable ASCII: C0, C1 in both encodings, broken UTF-8. */
static void texts_are_printable(void **state)
{
	static const char nasty[] =
	    "\033[31m\xc2\x9b"
	    "2J\x9b\xc2\xe2\x80\xae\xff\n\"\\";
	char from[64];
	char to[300];
	char few[7];
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		for (size_t i = 0; i < sizeof(from); i++) {
			seed = seed * 6364136223846793005U + 1442695040888963407U;
			from[i] = (seed >> 40) % 2 != 0 ? nasty[(seed >> 33) % sizeof(nasty)] : (char)(seed >> 50);
		}
		text_escape(to, sizeof(to), from, sizeof(from));
		text_escape(few, sizeof(few), from, sizeof(from));
		assert_true(strlen(few) < sizeof(few));
		for (const char *at = to; *at != '\0'; at++)
			assert_true(*at >= ' ' && *at <= '~');
	}
}

/* A client must be in one network. Where networks are not counted, their prefixes are as good as not there. */
static void clients_are_not_larger_than_their_networks(void **state)
{
	static const struct {
		const char *text;
		const char *says; /* NULL: it is good */
	} tried[] = {
	    {"CONNLIMIT_IPV4_PREFIX=16\n", NULL},
	    {"CONNLIMIT_IPV4_PREFIX=16\nCONNLIMIT_NETWORK_IPV4_PREFIX=24\n", NULL},
	    {"CONNLIMIT_IPV4_PREFIX=16\nCONNLIMIT_PER_NETWORK=5\n",
	     "CONNLIMIT_IPV4_PREFIX=16 is wider than CONNLIMIT_NETWORK_IPV4_PREFIX=24: a client would be in several networks"},
	    {"CONNLIMIT_IPV4_PREFIX=24\nCONNLIMIT_PER_NETWORK=5\n", NULL},
	    {"CONNLIMIT_IPV6_PREFIX=40\nCONNLIMIT_PER_NETWORK=5\n",
	     "CONNLIMIT_IPV6_PREFIX=40 is wider than CONNLIMIT_NETWORK_IPV6_PREFIX=48"},
	    {"CONNLIMIT_IPV6_PREFIX=40\nCONNLIMIT_PER_NETWORK=5\nCONNLIMIT_NETWORK_IPV6_PREFIX=40\n", NULL},
	    {"CONNLIMIT_PER_NETWORK=5\nCONNLIMIT_NETWORK_IPV6_PREFIX=65\n", "CONNLIMIT_IPV6_PREFIX=64 is wider than"},
	    {"CONNLIMIT_IPV4_PREFIX=16\nCONNLIMIT_RULES=10.0.0.0/8=5,network=6\n", "CONNLIMIT_IPV4_PREFIX=16 is wider than"},
	    {"CONNLIMIT_IPV4_PREFIX=16\nCONNLIMIT_RULES=@a=5,network=6\n", "CONNLIMIT_IPV4_PREFIX=16 is wider than"},
	    {"CONNLIMIT_IPV4_PREFIX=16\nCONNLIMIT_RULES=10.0.0.0/8=5\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		char text[512];
		size_t length = strlen(tried[i].text);

		memcpy(text, tried[i].text, length);
		settings_default(&settings);
		bool good = settings_from_text(&settings, &work, "/f", text, length, &error);
		if (good != (tried[i].says == NULL) || (!good && strstr(error.text, tried[i].says) == NULL))
			fail_msg("%s: %s", tried[i].text, good ? "good" : error.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clients_are_not_larger_than_their_networks),
	    cmocka_unit_test(every_value),
	    cmocka_unit_test(values_end_at_their_length),
	    cmocka_unit_test(defaults_read_as_themselves),
	    cmocka_unit_test(names),
	    cmocka_unit_test(tables_that_are_handed_on),
	    cmocka_unit_test(the_environment),
	    cmocka_unit_test(every_file),
	    cmocka_unit_test(long_paths),
	    cmocka_unit_test(as_many_rules_as_there_may_be),
	    cmocka_unit_test(only_trusted_files),
	    cmocka_unit_test(texts_are_printable),
	};
	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
