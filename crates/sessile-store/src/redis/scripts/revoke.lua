-- ARGV: scope, session or subject, the session to be kept or '', reason, now, then what this
-- node knows of the feed. Answers who was ended, and where the feed stands.
local scope, whose, kept, reason, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local epoch = epoch_unless_regressed(6)
local ended = {}

-- Told, then done: if the script dies between the two, the call is repeated and tells it again; the other way round an end
-- could happen that no node hears of.
local function finish(id, subject)
  append('ended', id, reason, now)
  remove(id, subject)
  ended[#ended + 1] = id
end

if scope == 'session' then
  local subject = redis.call('HGET', session_key(whose), 'subject')
  if subject then finish(whose, subject) end
elseif scope == 'subject' then
  for _, id in ipairs(redis.call('ZRANGE', subject_key(whose), 0, -1)) do
    if id ~= kept then
      if redis.call('EXISTS', session_key(id)) == 1 then finish(id, whose) else remove(id, whose) end
    end
  end
else
  append('all_ended', '', reason, now)
  ended = end_all()
end
return { ended, standing(epoch) }
