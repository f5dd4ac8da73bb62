-- ARGV: the fields of the row, how many rows a session may have.
local id, session, issued = ARGV[1], ARGV[2], ARGV[4]
local most = tonumber(ARGV[#TOKEN + 1])
if redis.call('EXISTS', token_key(id)) == 1 then return 'taken' end
local record = record_of(session)
if not record or is_over(record, issued) then return 'gone' end

put_token(ARGV, record)
for _, member in ipairs(redis.call('ZRANGE', tokens_key(session), 0, -most - 1)) do
  redis.call('DEL', token_key(string.sub(member, 22)))
  redis.call('ZREM', tokens_key(session), member)
end
return 'added'
