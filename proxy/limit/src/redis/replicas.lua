-- Says that this replica is there, and counts those that are. KEYS: the set. ARGV: this replica, how long one word holds in
-- milliseconds. A word from a clock that ran ahead counts no longer than any other.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local alive = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - alive))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + alive), '+inf')
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', 10 * alive))
return redis.call('ZCARD', KEYS[1])
