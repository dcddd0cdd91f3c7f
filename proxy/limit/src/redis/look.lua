-- How rates and caps stand. KEYS and ARGV are those of take.lua. Returns "remaining reset" for each, separated by blanks.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_ms = string.format('%.0f', math.floor(now / 1000))
local rates, arg, found = tonumber(ARGV[1]), 5, {}
for i = 1, rates do
  local _, _, left, _, reset =
    gcra(tonumber(redis.call('GET', KEYS[i])), now, tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), 0)
  found[#found + 1] = string.format('%.0f %.0f', left, reset)
  arg = arg + 4
end
for i = rates + 1, #KEYS do
  local left = tonumber(ARGV[arg]) - redis.call('ZCOUNT', KEYS[i], '(' .. now_ms, '+inf')
  found[#found + 1] = string.format('%.0f 0', math.max(left, 0))
  arg = arg + 2
end
return table.concat(found, ' ')
