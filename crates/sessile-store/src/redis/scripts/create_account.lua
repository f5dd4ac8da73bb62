-- ARGV: the fields of the account.
local name, subject = ARGV[1], ARGV[2]
if redis.call('EXISTS', base .. 'account:' .. name) == 1 then return 'name' end
if redis.call('EXISTS', base .. 'account_of:' .. subject) == 1 then return 'subject' end
put_account(ARGV)
return 'created'
