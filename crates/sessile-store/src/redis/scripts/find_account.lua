-- ARGV: name.
return fields_of(base .. 'account:' .. ARGV[1], ACCOUNT)
