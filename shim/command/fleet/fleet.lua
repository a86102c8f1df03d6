-- What Redis does for a fleet, each time in one step; fleet.h tells which keys there are. KEYS[1] is the fleet's leases, which tells the
-- others' names: all of a fleet is in one slot. ARGV: what is to be done, the node, the caller's lease in ms, and what that takes.
-- Each way through writes first what Redis refuses when its memory is full (maxmemory): so none is gone by half.
local byte, sub, floor = string.byte, string.sub, math.floor
local prefix, node, lease = sub(KEYS[1], 1, -7), ARGV[2], tonumber(ARGV[3])
local BUCKETS, MOST, A_STEP, NEW = 1024, 16000000, 1000, 281474976710655

-- A key of ours that others made something else goes, and heals as one that they deleted. A command that our user may not run is named.
-- Any other error is raised by the second try.
local function call(...)
	local answer = redis.pcall(...)
	if type(answer) ~= 'table' or not answer.err then return answer end
	if string.find(answer.err, "can't run this command", 1, true) then error('this Redis user may not run ' .. (...), 0) end
	if string.find(answer.err, 'WRONGTYPE', 1, true) then redis.call('DEL', (select(2, ...))) end
	return redis.call(...)
end

local function bucketed(what, bucket) return prefix .. what .. ':' .. bucket end

-- Numbers and clients as they travel: three bytes, the highest first, behind the client's 17.
local function pack(number)
	number = math.min(number, MOST)
	return string.char(floor(number / 65536), floor(number / 256) % 256, number % 256)
end
local function unpack_two(text, at)
	local high, low = byte(text, at, at + 1)
	return high * 256 + low
end
local function unpack_three(text, at)
	local high, middle, low = byte(text, at, at + 2)
	return high * 65536 + middle * 256 + low
end

-- The fleet's time: Redis's clock, but it never runs back, and never leaps by more than half a lease. When it is lost, all leases
-- begin anew.
local function now()
	local time = call('TIME')
	local clock = time[1] * 1000 + floor(time[2] / 1000)
	local before, fleet = string.match(call('GET', prefix .. 'clock') or '', '^(%d+) (%d+)$')
	if fleet then
		fleet = fleet + floor(math.max(0, math.min(clock - before, lease / 2)))
	else
		fleet = clock
	end
	call('SET', prefix .. 'clock', string.format('%.0f %.0f', clock, fleet))
	if not before then
		for _, member in ipairs(call('ZRANGE', KEYS[1], 0, -1)) do call('ZADD', KEYS[1], fleet + lease, member) end
	end
	return fleet
end

-- A node by another incarnation is not the caller: nil, or what to answer.
local function stranger()
	local owner = call('HGET', prefix .. 'incarnations', node)
	if owner ~= ARGV[4] then return {owner and owner ~= '' and 2 or 0} end
end

local function lowest()
	return tonumber(call('ZRANGE', prefix .. 'thresholds', 0, 0, 'WITHSCORES')[2])
end

local function renew(threshold)
	local time = now()
	call('ZADD', KEYS[1], time + lease, node)
	if threshold then call('ZADD', prefix .. 'thresholds', threshold, node) end
	return time
end

local function last_news()
	local last = call('XREVRANGE', prefix .. 'changes', '+', '-', 'COUNT', 1)[1]
	return last and tonumber(string.match(last[1], '^%d+')) or 0
end

-- ---- totals as they change, and the news of it ----

local threshold, news, ban_news = nil, {}, {}

local function note(bucket, client, before, total)
	threshold = threshold or lowest() or 1
	if total >= threshold then
		call('HSET', bucketed('near', bucket), client, total)
	elseif before >= threshold then
		call('HDEL', bucketed('near', bucket), client)
	else
		return
	end
	if #client == 17 then news[#news + 1] = client .. pack(total) end
end

local function add(bucket, client, step)
	local key = bucketed('totals', bucket)
	local total = redis.pcall('HINCRBY', key, client, step)
	if type(total) ~= 'number' then -- somebody wrote something else there
		total = math.max(step, 0)
		call('HSET', key, client, total)
	end
	if total <= 0 then call('HDEL', key, client) end
	note(bucket, client, total - step, math.max(total, 0))
end

-- The numbers have no gaps, so a reader knows what it missed; a stream that was lost begins at a number that it never had.
local function publish_under(number, what, news)
	for i = 1, #news, A_STEP do
		local key, text = prefix .. 'changes', table.concat(news, '', i, math.min(i + A_STEP - 1, #news))
		local function append() return redis.pcall('XADD', key, 'MAXLEN', '~', 10000, string.format('%.0f-0', number), what, text) end
		number = number + 1
		if number == 1 or type(append()) == 'table' then
			local time = call('TIME')
			number = time[1] * 1000 + floor(time[2] / 1000)
			call('DEL', key)
			append()
		end
	end
	return number
end

local function publish()
	return publish_under(publish_under(last_news(), '', news), 'bans', ban_news)
end

-- What the node holds of a client now.
local function tell(bucket, client, before, count)
	if count == before then return end
	if count > 0 then
		call('HSET', bucketed('node:' .. node, bucket), client, count)
	else
		call('HDEL', bucketed('node:' .. node, bucket), client)
	end
	add(bucket, client, count - before)
end

-- A count that none of ours can have written is -1: it is found not to be right wherever it stands.
local function count_in(text)
	local count = tonumber(text)
	return count and count > 0 and count or -1
end

local function pairs_in(key)
	local list, map = call('HGETALL', key), {}
	for i = 1, #list, 2 do map[list[i]] = count_in(list[i + 1]) end
	return map, #list / 2
end

-- ---- whether totals are what the nodes say ----

local members

local function sum_in(key, least)
	local list, sum, high, high_sum = call('HVALS', key), 0, 0, 0
	for i = 1, #list do
		local number = count_in(list[i])
		sum = sum + number
		if least and number >= least then high, high_sum = high + 1, high_sum + number end
	end
	return sum, #list, high, high_sum
end

-- When a bucket was last compared, and by which threshold.
local function last_compared(bucket)
	local time, least = string.match(call('HGET', prefix .. 'compared', bucket) or '', '^(%d+) (%d+)$')
	return tonumber(time) or 0, tonumber(least)
end

-- Sets a bucket's totals, and who of it is near, right where they are not the sum of what the nodes hold. Returns how many were not,
-- and how many fields were looked at. Since the threshold changed, other clients are near, and nothing is wrong with that.
local function compare(bucket, least)
	if not members then
		members = {}
		for _, member in ipairs(call('ZRANGE', KEYS[1], 0, -1)) do members[member] = true end
		for _, member in ipairs(call('HKEYS', prefix .. 'incarnations')) do members[member] = true end
	end
	threshold = threshold or lowest() or 1
	local held, work = 0, 1
	for member in pairs(members) do
		local sum, fields = sum_in(bucketed('node:' .. member, bucket))
		held, work = held + sum, work + fields
	end
	local totals, fields, high, high_sum = sum_in(bucketed('totals', bucket), threshold)
	local near_sum, near = sum_in(bucketed('near', bucket))
	work = work + fields + near
	if totals == held and near == high and near_sum == high_sum then return 0, work end

	local right, wrong = {}, 0
	for member in pairs(members) do
		for client, count in pairs(pairs_in(bucketed('node:' .. member, bucket))) do
			right[client] = (right[client] or 0) + math.max(count, 0)
		end
	end
	local is, is_near = pairs_in(bucketed('totals', bucket)), pairs_in(bucketed('near', bucket))
	for client in pairs(is_near) do is[client] = is[client] or 0 end
	for client in pairs(right) do is[client] = is[client] or 0 end
	for client, total in pairs(is) do
		local should = right[client] or 0
		if total ~= should then
			if should > 0 then
				call('HSET', bucketed('totals', bucket), client, should)
			else
				call('HDEL', bucketed('totals', bucket), client)
			end
		end
		if total ~= should or (is_near[client] or 0) ~= (should >= threshold and should or 0) then
			if total ~= should or threshold == least then wrong = wrong + 1 end
			note(bucket, client, math.max(total, is_near[client] and threshold or 0), should)
		end
	end
	return wrong, 2 * work
end

-- ---- bans ----

-- A word as it travels, behind the client's 17 bytes: whether the ban was lifted, seconds that are left, the turn.
local function pack_bytes(number, bytes)
	local text = ''
	for _ = 1, bytes do
		text = string.char(number % 256) .. text
		number = floor(number / 256)
	end
	return text
end
local function unpack_bytes(text, at, bytes)
	local number = 0
	for i = at, at + bytes - 1 do number = number * 256 + byte(text, i) end
	return number
end
local function pack_ban(client, word, time)
	return client .. pack_bytes(word.lifted, 1) .. pack_bytes(math.min(math.ceil((word.ends - time) / 1000), 4294967295), 4) .. pack_bytes(word.turn, 6)
end

-- The word that holds; nil where there is none, or it is over.
local function ban_in(text, time)
	local turn, ends, lifted = string.match(text or '', '^(%d+) (%d+)(-?)$')
	if turn and ends + 0 > time and turn + 0 < NEW then return {turn = turn + 0, ends = ends + 0, lifted = #lifted} end
end

-- ---- what is asked for ----

local operations = {}

-- incarnation threshold (client count bucket)...: {0} the node is not known (any more), {2} another one goes by its name now, or
-- {1, ms until the next lease ends, number of the last news}
local function standing(time)
	local number = publish()
	local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
	return {1, first[2] - time, number}
end

function operations.tell()
	local answer = stranger()
	if answer then return answer end
	local time, data = renew(ARGV[5]), ARGV[6]
	for at = 1, #data, 22 do
		local client, bucket = sub(data, at, at + 16), unpack_two(data, at + 20)
		local before = math.max(tonumber(call('HGET', bucketed('node:' .. node, bucket), client)) or 0, 0)
		tell(bucket, client, before, unpack_three(data, at + 17))
	end
	return standing(time)
end

-- incarnation threshold repair (bucket clients (client count)...)...: all that the node holds in these buckets. As above, and how many
-- counts were not so; with `repair` the totals are set right as well.
function operations.whole()
	local answer = stranger()
	if answer then return answer end
	local time, data, at, wrong = renew(ARGV[5]), ARGV[7], 1, 0
	while at <= #data do
		local bucket, clients = unpack_two(data, at), unpack_three(data, at + 2)
		local before = pairs_in(bucketed('node:' .. node, bucket))
		at = at + 5
		for _ = 1, clients do
			local client, count = sub(data, at, at + 16), unpack_three(data, at + 17)
			if before[client] ~= count then wrong = wrong + 1 end
			tell(bucket, client, math.max(before[client] or 0, 0), count)
			before[client] = nil
			at = at + 20
		end
		for client, count in pairs(before) do
			wrong = wrong + 1
			call('HDEL', bucketed('node:' .. node, bucket), client)
			add(bucket, client, -math.max(count, 0))
		end
		if ARGV[6] == '1' then
			local _, least = last_compared(bucket)
			wrong = wrong + compare(bucket, least)
		end
	end
	answer = standing(time)
	answer[4] = wrong
	return answer
end

-- incarnation threshold (client lifted seconds turn bucket)...: words about bans, new ones and old ones again. As above.
function operations.ban()
	local answer = stranger()
	if answer then return answer end
	local time, data = renew(ARGV[5]), ARGV[6]
	for at = 1, #data, 30 do
		local client, key = sub(data, at, at + 16), bucketed('bans', unpack_two(data, at + 28))
		local holds = ban_in(call('HGET', key, client), time)
		local word = {lifted = byte(data, at + 17), ends = time + unpack_bytes(data, at + 18, 4) * 1000, turn = unpack_bytes(data, at + 22, 6)}
		if word.turn == NEW then
			word.turn = math.max(time, holds and holds.turn + 1 or 0)
		elseif not holds and word.turn == 0 then
			word.turn = time
		end
		if not holds or word.turn > holds.turn then
			call('HSET', key, client, string.format('%.0f %.0f%s', word.turn, word.ends, word.lifted == 1 and '-' or ''))
			holds = word
		elseif word.turn == holds.turn then
			holds = nil
		end
		if holds then ban_news[#ban_news + 1] = pack_ban(client, holds, time) end
	end
	return standing(time)
end

-- incarnation threshold due work from buckets (bucket clients sum)...: whether the node's hashes hold what it told, by number and sum;
-- a bucket that is not named holds nothing. Totals that nobody compared for `due` ms are compared, as long as there is `work` left. As
-- above, how many totals were not right, and which of the node's own buckets are not: they are to be told whole.
function operations.check()
	local answer = stranger()
	if answer then return answer end
	local time, due, work, from, buckets, data = renew(ARGV[5]), ARGV[6] + 0, ARGV[7] + 0, ARGV[8] + 0, ARGV[9] + 0, ARGV[10]
	local told, own, wrong = {}, {}, 0
	if call('HLEN', prefix .. 'incarnations') > call('ZCARD', KEYS[1]) then -- leases were lost: they begin anew, for the dead as well
		for _, member in ipairs(call('HKEYS', prefix .. 'incarnations')) do call('ZADD', KEYS[1], 'NX', time + lease, member) end
	end
	for at = 1, #data, 9 do told[unpack_two(data, at)] = {unpack_three(data, at + 2), unpack_three(data, at + 5) * 256 + byte(data, at + 8)} end
	for i = from, from + buckets - 1 do
		local bucket = i % BUCKETS
		local sum, clients = sum_in(bucketed('node:' .. node, bucket))
		local should = told[bucket] or {0, 0}
		if clients ~= should[1] or sum ~= should[2] then
			own[#own + 1] = bucket
		elseif work > 0 then
			local last, least = last_compared(bucket)
			if last > time or time - last >= due then
				local found, spent = compare(bucket, least)
				wrong, work = wrong + found, work - spent
				call('HSET', prefix .. 'compared', bucket, string.format('%.0f %.0f', time, threshold))
			end
		end
	end
	answer = standing(time)
	answer[4] = wrong
	for _, bucket in ipairs(own) do answer[#answer + 1] = bucket end
	return answer
end

-- incarnation threshold former: with `former` not "" the node comes back, and only if its name has no other owner whose lease goes on.
-- {2}, or {1, whether the lowest threshold fell, number of the last news}
function operations.join()
	local time, former = now(), ARGV[6]
	local owner = call('HGET', prefix .. 'incarnations', node)
	local ends = tonumber(call('ZSCORE', KEYS[1], node))
	if former ~= '' and owner and owner ~= '' and owner ~= former and ends and ends >= time then return {2} end
	local before = lowest()
	call('HSET', prefix .. 'incarnations', node, ARGV[4])
	call('ZADD', KEYS[1], time + lease, node)
	call('ZADD', prefix .. 'thresholds', ARGV[5], node)
	return {1, (not before or tonumber(ARGV[5]) < before) and 1 or 0, last_news()}
end

-- from: adds to `near` what belongs there after the lowest threshold fell. {the bucket to go on at}
function operations.fill()
	local bucket, work = ARGV[4] + 0, 0
	now()
	threshold = lowest() or 1
	while bucket < BUCKETS and work < A_STEP do
		local totals, fields = pairs_in(bucketed('totals', bucket))
		for client, total in pairs(totals) do
			if total >= threshold then call('HSET', bucketed('near', bucket), client, total) end
		end
		bucket, work = bucket + 1, work + fields
	end
	return {bucket}
end

-- from: who is near. {the bucket to go on at, (client total)...}
function operations.near()
	local bucket, found = ARGV[4] + 0, {}
	while bucket < BUCKETS and #found < A_STEP do
		for client, total in pairs(pairs_in(bucketed('near', bucket))) do
			if #client == 17 then found[#found + 1] = client .. pack(math.max(total, 0)) end
		end
		bucket = bucket + 1
	end
	return {bucket, table.concat(found)}
end

-- from: all words about bans that hold. What is over goes. {the bucket to go on at, (client lifted seconds turn)...}
function operations.bans()
	local bucket, found, time = ARGV[4] + 0, {}, now()
	while bucket < BUCKETS and #found < A_STEP do
		local key = bucketed('bans', bucket)
		local list = call('HGETALL', key)
		for i = 1, #list, 2 do
			local word = ban_in(list[i + 1], time)
			if word and #list[i] == 17 then
				found[#found + 1] = pack_ban(list[i], word, time)
			else
				call('HDEL', key, list[i])
			end
		end
		bucket = bucket + 1
	end
	return {bucket, table.concat(found)}
end

-- from only_if_ended: takes back what the node holds. The owner "" is nobody's incarnation: a node that is being forgotten finds that it
-- must join anew. {the bucket to go on at}
function operations.forget()
	local bucket, work = ARGV[4] + 0, 0
	local time = now()
	if ARGV[5] == '1' then
		local ends = tonumber(call('ZSCORE', KEYS[1], node))
		if not ends or ends >= time then return {BUCKETS} end
	end
	call('HSET', prefix .. 'incarnations', node, '')
	while bucket < BUCKETS and work < A_STEP do
		local held, fields = pairs_in(bucketed('node:' .. node, bucket))
		for client, count in pairs(held) do add(bucket, client, -math.max(count, 0)) end
		if fields > 0 then call('DEL', bucketed('node:' .. node, bucket)) end
		bucket, work = bucket + 1, work + fields
	end
	publish()
	if bucket == BUCKETS then
		call('ZREM', KEYS[1], node)
		call('ZREM', prefix .. 'thresholds', node)
		call('HDEL', prefix .. 'incarnations', node)
	end
	return {bucket}
end

-- The nodes whose lease ended, at most 16.
function operations.ended()
	return call('ZRANGEBYSCORE', KEYS[1], '-inf', now() - 1, 'LIMIT', 0, 16)
end

return operations[ARGV[1]]()
