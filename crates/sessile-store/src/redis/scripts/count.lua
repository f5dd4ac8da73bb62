return redis.call('ZCARD', sessions)
