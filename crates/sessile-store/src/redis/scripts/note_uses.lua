-- ARGV: for each use the session, the token or '', the moment.
for place = 1, #ARGV, 3 do
  local session, token, at = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  local record = record_of(session)
  if record and not is_over(record, at) then
    record[SEEN] = later(record[SEEN], at)
    redis.call('HSET', session_key(session), 'last_seen_at', record[SEEN])
    redis.call('ZADD', over, 'XX', whole(over_at(record)), session)
    local row = token ~= '' and fields_of(token_key(token), TOKEN)
    if row and tonumber(at) < tonumber(row[EXPIRES]) then
      redis.call('HSET', token_key(token), 'last_used_at', row[USED] == '' and at or later(row[USED], at))
    end
  end
end
return 'OK'
