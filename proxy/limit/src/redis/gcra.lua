-- The arithmetic of patchbay_core::limits::Gcra::decide, held to the same table. All numbers are whole and below 2^53.
-- Returns: whether the cost fits, the number to keep, what remains, after what time the cost fits, after what time all is whole.
local function gcra(kept, now, emission, capacity, cost)
  local debt = (kept or now) - now
  if debt < 0 then
    debt = 0
  elseif debt > capacity then
    debt = capacity
  end
  local wanted = debt + emission * cost
  local fits = wanted <= capacity
  local used = fits and wanted or debt
  local retry = wanted - capacity
  if retry < 0 then
    retry = 0
  end
  return fits, now + used, math.floor((capacity - used) / emission), retry, used
end
