return { phase(), redis.call('HGET', store, 'move') or '' }
