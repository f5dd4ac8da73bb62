-- ARGV: id, the generation that was presented, now.
local id, generation, now = ARGV[1], ARGV[2], ARGV[3]
local record = record_of(id)
if not record or is_over(record, now) then return nil end
if record[GENERATION] == generation and record[CONFIRMED] == '' then
  record[CONFIRMED] = now
  redis.call('HSET', session_key(id), 'confirmed_at', now)
end
return record
