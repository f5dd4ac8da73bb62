-- ARGV: the witness to keep if there is none.
redis.call('HSETNX', store, 'witness', ARGV[1])
return redis.call('HGET', store, 'witness')
