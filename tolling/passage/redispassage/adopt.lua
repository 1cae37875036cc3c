-- Takes over a partition's open passes, see passage.Store.Adopt.
-- KEYS[1]  the hash that holds them; ARGV  offset, new owner.
-- Returns the horizon, or nothing if the state does not stand at the offset.
local offset, horizon = string.match(redis.call('HGET', KEYS[1], '@') or '', '^(%d+) (%d+) ')
if offset ~= ARGV[1] then
  return false
end
redis.call('HSET', KEYS[1], '@', offset .. ' ' .. horizon .. ' ' .. ARGV[2])
return horizon
