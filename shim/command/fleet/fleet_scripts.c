#include "command/fleet/fleet_scripts.h"

/* Lua gives a command at most about 8000 arguments. */
#define PRELUDE                                                                                                                \
	"local function now()\n"                                                                                               \
	"  local time = redis.call('TIME')\n"                                                                                  \
	"  return time[1] * 1000 + math.floor(time[2] / 1000)\n"                                                               \
	"end\n"                                                                                                                \
	"local function in_parts(command, key, list)\n"                                                                        \
	"  for i = 1, #list, 1000 do redis.call(command, key, unpack(list, i, math.min(i + 999, #list))) end\n"                \
	"end\n"                                                                                                                \
	"local function lowest()\n"                                                                                            \
	"  return tonumber(redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2]) or 1\n"                                       \
	"end\n"                                                                                                                \
	"local function last_news()\n"                                                                                         \
	"  local last = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]\n"                                           \
	"  return last and tonumber(string.match(last[1], '^%d+')) or 0\n"                                                     \
	"end\n"

/* Totals as they change, and the news of it. */
#define TOTALS                                                                                                                 \
	"local threshold = lowest()\n"                                                                                         \
	"local ended, high, low, news = {}, {}, {}, {}\n"                                                                      \
	"local function add(client, step)\n"                                                                                   \
	"  local total = redis.call('HINCRBY', KEYS[2], client, step)\n"                                                       \
	"  local before = total - step\n"                                                                                      \
	"  if total <= 0 then ended[#ended + 1] = client total = 0 end\n"                                                      \
	"  if total >= threshold then high[#high + 1] = client high[#high + 1] = total\n"                                      \
	"  else low[#low + 1] = client end\n"                                                                                  \
	"  if total >= threshold or before >= threshold then\n"                                                                \
	"    news[#news + 1] = client news[#news + 1] = total\n"                                                               \
	"  end\n"                                                                                                              \
	"end\n"                                                                                                                \
	"local function publish()\n"                                                                                           \
	"  in_parts('HDEL', KEYS[2], ended)\n"                                                                                 \
	"  in_parts('HSET', KEYS[3], high)\n"                                                                                  \
	"  in_parts('HDEL', KEYS[3], low)\n"                                                                                   \
	"  local number = last_news()\n"                                                                                       \
	"  for i = 1, #news, 1000 do\n"                                                                                        \
	"    number = number + 1\n"                                                                                            \
	"    redis.call('XADD', KEYS[4], 'MAXLEN', '~', 10000, string.format('%.0f-0', number),\n"                             \
	"      unpack(news, i, math.min(i + 999, #news)))\n"                                                                   \
	"  end\n"                                                                                                              \
	"  return number\n"                                                                                                    \
	"end\n"

const char fleet_tell_script[] = PRELUDE
    "local owner = redis.call('HGET', KEYS[6], ARGV[1])\n"
    "if owner ~= ARGV[2] then return {owner and owner ~= '' and 2 or 0} end\n" TOTALS
    "local time = now()\n"
    "redis.call('ZADD', KEYS[5], time + ARGV[3], ARGV[1])\n"
    "local clients, held, dropped = {}, {}, {}\n"
    "for i = 4, #ARGV, 2 do clients[#clients + 1] = ARGV[i] end\n"
    "local before = #clients > 0 and redis.call('HMGET', KEYS[1], unpack(clients)) or {}\n"
    "for i, client in ipairs(clients) do\n"
    "  local count = tonumber(ARGV[3 + 2 * i])\n"
    "  local step = count - (tonumber(before[i]) or 0)\n"
    "  if step ~= 0 then\n"
    "    if count > 0 then held[#held + 1] = client held[#held + 1] = count else dropped[#dropped + 1] = client end\n"
    "    add(client, step)\n"
    "  end\n"
    "end\n"
    "in_parts('HSET', KEYS[1], held)\n"
    "in_parts('HDEL', KEYS[1], dropped)\n"
    "local number = publish()\n"
    "local first = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')\n"
    "return {1, first[2] - time, number}\n";

const char fleet_join_script[] = PRELUDE
    "local time = now()\n"
    "local owner = redis.call('HGET', KEYS[6], ARGV[1])\n"
    "local ends = redis.call('ZSCORE', KEYS[5], ARGV[1])\n"
    "if ARGV[5] ~= '' and owner and owner ~= '' and owner ~= ARGV[5] and ends and tonumber(ends) >= time then return {2} end\n"
    "local before = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2]\n"
    "redis.call('HSET', KEYS[6], ARGV[1], ARGV[2])\n"
    "redis.call('ZADD', KEYS[5], time + ARGV[3], ARGV[1])\n"
    "redis.call('ZADD', KEYS[7], ARGV[4], ARGV[1])\n"
    "return {1, (not before or tonumber(ARGV[4]) < tonumber(before)) and 1 or 0, last_news()}\n";

/* The owner "" is nobody's incarnation: a node that is being forgotten finds that it must join anew. */
const char fleet_forget_script[] = PRELUDE
    "if ARGV[4] == '1' then\n"
    "  local ends = redis.call('ZSCORE', KEYS[5], ARGV[1])\n"
    "  if not ends or tonumber(ends) >= now() then return {0, '0'} end\n"
    "end\n"
    "redis.call('HSET', KEYS[6], ARGV[1], '')\n" TOTALS
    "local part = redis.call('HSCAN', KEYS[1], ARGV[3], 'COUNT', ARGV[2])\n"
    "local dropped = {}\n"
    "for i = 1, #part[2], 2 do\n"
    "  dropped[#dropped + 1] = part[2][i]\n"
    "  add(part[2][i], -tonumber(part[2][i + 1]))\n"
    "end\n"
    "in_parts('HDEL', KEYS[1], dropped)\n"
    "publish()\n"
    "local left = redis.call('HLEN', KEYS[1])\n"
    "if left == 0 then\n"
    "  redis.call('ZREM', KEYS[5], ARGV[1])\n"
    "  redis.call('ZREM', KEYS[7], ARGV[1])\n"
    "  redis.call('HDEL', KEYS[6], ARGV[1])\n"
    "end\n"
    "return {left, part[1]}\n";

const char fleet_fill_script[] = PRELUDE
    "local threshold = lowest()\n"
    "local part = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])\n"
    "local high = {}\n"
    "for i = 1, #part[2], 2 do\n"
    "  if tonumber(part[2][i + 1]) >= threshold then high[#high + 1] = part[2][i] high[#high + 1] = part[2][i + 1] end\n"
    "end\n"
    "in_parts('HSET', KEYS[3], high)\n"
    "return {part[1]}\n";

const char fleet_ended_script[] = PRELUDE "return redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now() - 1, 'LIMIT', 0, 16)\n";
