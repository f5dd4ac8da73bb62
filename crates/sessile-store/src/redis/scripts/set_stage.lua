-- ARGV: the expected phase and move, the next phase and move, an epoch in case one begins.
local before, next_phase, next_of = phase(), ARGV[3], ARGV[4]
local before_of = redis.call('HGET', store, 'move') or ''
if before ~= ARGV[1] or before_of ~= ARGV[2] then return { 'otherwise', before, before_of } end

if before == 'serving' and next_phase == 'filling' then
  if redis.call('ZCARD', sessions) > 0 or redis.call('ZCARD', base .. 'accounts') > 0 then return { 'not_empty', '', '' } end
  remove_keys()
elseif before == 'filling' then
  redis.call('HSET', store, 'epoch', ARGV[5])
  if next_of == '' then
    end_all()
    for _, name in ipairs(redis.call('ZRANGE', base .. 'accounts', 0, -1)) do remove_account(name) end
    remove_keys()
  end
end
redis.call('HSET', store, 'phase', next_phase, 'move', next_of)
return { 'changed', '', '' }
