-- Takes from all rates and all caps of a request, or from none.
-- KEYS: those of the rates, then those of the caps.
-- ARGV: how many rates; the lease; how long it holds and how soon to come again when a cap is reached, in milliseconds and
-- microseconds; then for each rate emission, capacity, cost and whether it is a dry run; then for each cap its maximum and
-- whether it is a dry run.
-- Returns: "1 tightest remaining reset would_deny now" or "0 denied retry 0 would_deny now"; -1 is none.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_ms = string.format('%.0f', math.floor(now / 1000))
local rates, lease, hold, crowded = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local denied, wait, tightest, least, whole = -1, 0, -1, 0, 0
local would, bit, arg = 0, 1, 5
local kept, tats, lives, stale = {}, {}, {}, {}

if rates > 0 then
  kept = redis.call('MGET', unpack(KEYS, 1, rates))
end
for i = 1, rates do
  local cost = tonumber(ARGV[arg + 2])
  local fits, tat, left, retry, reset =
    gcra(tonumber(kept[i]), now, tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), cost)
  if ARGV[arg + 3] == '1' then
    if not fits then
      would = would + bit
    end
  else
    if tightest < 0 or left < least then
      tightest, least, whole = i - 1, left, reset
    end
    if not fits and retry > wait then
      denied, wait = i - 1, retry
    end
  end
  if fits and cost > 0 then
    tats[i], lives[i] = tat, math.ceil(reset / 1000)
  end
  arg, bit = arg + 4, bit * 2
end

for i = rates + 1, #KEYS do
  local max = tonumber(ARGV[arg])
  local count = redis.call('ZCARD', KEYS[i])
  if count >= max and count > 0 then
    -- Leases that nobody gave back are counted only now; they are removed when something is written.
    count = redis.call('ZCOUNT', KEYS[i], '(' .. now_ms, '+inf')
    stale[i] = true
  end
  if count >= max then
    if ARGV[arg + 1] == '1' then
      would = would + bit
    elseif crowded > wait then
      denied, wait = i - 1, crowded
    end
  end
  arg, bit = arg + 2, bit * 2
end

if denied >= 0 then
  return string.format('0 %.0f %.0f 0 %.0f %.0f', denied, wait, would, now)
end
for i = 1, rates do
  if tats[i] then
    redis.call('SET', KEYS[i], string.format('%.0f', tats[i]), 'PX', string.format('%.0f', lives[i]))
  end
end
for i = rates + 1, #KEYS do
  if stale[i] then
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now_ms)
  end
  redis.call('ZADD', KEYS[i], string.format('%.0f', now_ms + hold), lease)
  -- The key lives at least as long as its longest lease, and is touched only now and then.
  if redis.call('PTTL', KEYS[i]) < hold then
    redis.call('PEXPIRE', KEYS[i], string.format('%.0f', 2 * hold))
  end
end
return string.format('1 %.0f %.0f %.0f %.0f %.0f', tightest, least, whole, would, now)
