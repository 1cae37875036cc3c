-- One turn of a partition, see passage.Store.Exchange.
-- KEYS[1]  the hash that holds the partition's open passes
-- ARGV     at, to ('' for no change), owner, horizon, life of the key in
--          milliseconds, number of puts, of drops, of wants,
--          then the puts (field, value)..., the drops (field)..., the wants (field)...
-- The field '@' holds "<offset> <horizon> <owner>"; it lies in the same hash as the
-- records, so that no eviction can take one without the other.
-- A value begins with the time of its latest read in 16 digits.
-- Returns nothing at all if the state is not the one expected.
local key, chunk = KEYS[1], 1000
local at, to, owner, horizon, life = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local puts, drops, wants = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local stamp, holder = string.match(redis.call('HGET', key, '@') or '', '^(%d+) %d+ (.+)$')
if holder ~= owner or (stamp ~= at and (to == '' or stamp ~= to)) then
  return {0}
end
local first = 9
local drop = first + 2 * puts
local want = drop + drops
if to ~= '' and stamp == at then
  for i = first, drop - 1, chunk do
    redis.call('HSET', key, unpack(ARGV, i, math.min(i + chunk, drop) - 1))
  end
  for i = drop, want - 1, chunk do
    local upto = math.min(i + chunk, want) - 1
    local held, old = redis.call('HMGET', key, unpack(ARGV, i, upto)), {}
    for j, value in ipairs(held) do
      if value and string.sub(value, 1, 16) < horizon then
        old[#old + 1] = ARGV[i + j - 1]
      end
    end
    if #old > 0 then
      redis.call('HDEL', key, unpack(old))
    end
  end
  redis.call('HSET', key, '@', to .. ' ' .. horizon .. ' ' .. owner)
  redis.call('PEXPIRE', key, life)
end
local out = {1}
for i = want, want + wants - 1, chunk do
  local held = redis.call('HMGET', key, unpack(ARGV, i, math.min(i + chunk, want + wants) - 1))
  for _, value in ipairs(held) do
    out[#out + 1] = value
  end
end
return out
