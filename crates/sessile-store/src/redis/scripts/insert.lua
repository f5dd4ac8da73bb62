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

put(ARGV)
return answer
