-- ARGV: the fields of the record, the cap.
local id, subject, now = ARGV[1], ARGV[SUBJECT], ARGV[CREATED]
local room = tonumber(ARGV[#FIELDS + 1]) - 1

if redis.call('EXISTS', session_key(id)) == 1 then return { 'taken' } end

local live = {}
for _, other in ipairs(redis.call('ZRANGE', subject_key(subject), 0, -1)) do
  local record = record_of(other)
  if not record or is_over(record, now) then
    remove(other, subject)
  else
    live[#live + 1] = { created = tonumber(record[CREATED]), id = other }
  end
end
table.sort(live, function(a, b)
  if a.created ~= b.created then return a.created < b.created end
  return a.id < b.id
end)

local answer = { 'inserted' }
for place = 1, #live - room do
  local evicted = live[place].id
  append('ended', evicted, 'evicted', now)
  remove(evicted, subject)
  answer[#answer + 1] = evicted
end

redis.call('HSET', session_key(id), unpack(named(FIELDS, ARGV)))
redis.call('ZADD', sessions, 0, id)
redis.call('ZADD', subject_key(subject), 0, id)
redis.call('ZADD', over, whole(over_at(ARGV)), id)

local dropped_at = whole(math.min(tonumber(ARGV[END]) + BACKSTOP, 2 ^ 53))
redis.call('PEXPIREAT', session_key(id), dropped_at)
-- The index of the subject lives as long as the longest of its sessions.
redis.call('PEXPIREAT', subject_key(subject), dropped_at, 'NX')
redis.call('PEXPIREAT', subject_key(subject), dropped_at, 'GT')
return answer
