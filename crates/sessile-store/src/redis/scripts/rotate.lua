-- ARGV: id, the expected generation, now.
local id, expected, now = ARGV[1], ARGV[2], ARGV[3]
local record = record_of(id)
if not record then return { 'gone' } end
if record[GENERATION] ~= expected or is_over(record, now) then return { 'superseded', record } end

record[GENERATION] = whole(tonumber(expected) + 1)
record[ROTATED] = later(record[ROTATED], now)
record[CONFIRMED] = ''
record[SEEN] = later(record[SEEN], now)
redis.call('HSET', session_key(id), 'generation', record[GENERATION], 'rotated_at', record[ROTATED],
  'confirmed_at', record[CONFIRMED], 'last_seen_at', record[SEEN])
redis.call('ZADD', over, 'XX', whole(over_at(record)), id)
return { 'rotated', record }
