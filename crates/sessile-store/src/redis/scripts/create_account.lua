-- ARGV: the fields of the account.
local name, subject = ARGV[1], ARGV[2]
if redis.call('EXISTS', base .. 'account:' .. name) == 1 then return 'name' end
if redis.call('EXISTS', base .. 'account_of:' .. subject) == 1 then return 'subject' end
redis.call('HSET', base .. 'account:' .. name, unpack(named(ACCOUNT, ARGV)))
redis.call('SET', base .. 'account_of:' .. subject, name)
redis.call('ZADD', base .. 'accounts', 0, name)
return 'created'
