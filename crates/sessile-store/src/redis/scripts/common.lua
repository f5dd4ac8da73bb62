-- What the verbs share; stands before each of them. KEYS[1] is the store's own hash, and every other key begins as it does,
-- with one hash tag: in a cluster they lie in one slot, so a script is one atomic step there too. KEYS[2] is never there.
--
-- Times are milliseconds as decimal text and are kept as they came. Compared as numbers they are exact up to 2^53.

local store = KEYS[1]
local base = string.sub(store, 1, -6)
local feed, houses = base .. 'feed', base .. 'houses'

-- Sessions and what belongs to them live in a house: a name between the base and theirs, used once. Everybody's sessions end
-- at one stroke when the store moves to a new house; what is left in the old one is cleared bit by bit. A store that has lost
-- the name of its house has lost its sessions, and no house is ever entered again.
local house, sessions, over

local function enter(name)
  house = base .. name .. ':'
  sessions, over = house .. 'sessions', house .. 'over'
end

local function unused()
  local time = redis.call('TIME')
  return time[1] .. '.' .. time[2]
end

local function move()
  local name = unused()
  redis.call('HSET', store, 'house', name)
  enter(name)
end

local lived_in = redis.call('HGET', store, 'house')
if lived_in then enter(lived_in) else move() end

-- Where the store stands in a move of its sessions.
local function phase() return redis.call('HGET', store, 'phase') or 'serving' end

local function refuse() return redis.error_reply('NOTSERVING ' .. phase()) end

local FIELDS = {
  'id', 'subject', 'storage', 'remember', 'created_at', 'authenticated_at', 'last_seen_at', 'absolute_end', 'idle',
  'generation', 'rotated_at', 'confirmed_at', 'client', 'sealed',
}
local SUBJECT, CREATED, SEEN, END, IDLE, GENERATION, ROTATED, CONFIRMED = 2, 5, 7, 8, 9, 10, 11, 12

local TOKEN = { 'id', 'session', 'subject', 'issued_at', 'expires_at', 'last_used_at' }
local EXPIRES, USED = 5, 6

local KEY = { 'id', 'algorithm', 'created_at', 'active_from', 'revoked_at', 'sealed' }
local ACCOUNT = { 'name', 'subject', 'created_at', 'password_set_at', 'disabled_at', 'sealed' }
local EVENT = { 'at', 'name', 'reason', 'subject', 'session', 'client', 'request' }

-- Redis drops what nobody swept this long after its end, by its own clock. Nothing is judged by that.
local BACKSTOP = 7 * 24 * 3600 * 1000

local function whole(number) return string.format('%.0f', number) end

local function padded(number) return string.rep('0', 20 - #number) .. number end

local function later(one, other)
  if tonumber(one) >= tonumber(other) then return one end
  return other
end

local function session_key(id) return house .. 'session:' .. id end
local function tokens_key(session) return house .. 'tokens:' .. session end
local function token_key(id) return house .. 'token:' .. id end
local function subject_key(subject) return house .. 'subject:' .. subject end

local function fields_of(key, names)
  local values = redis.call('HMGET', key, unpack(names))
  if values[1] then return values end
  return nil
end

local function record_of(id) return fields_of(session_key(id), FIELDS) end

local function is_over(record, now)
  now = tonumber(now)
  return now >= tonumber(record[END]) or now - tonumber(record[SEEN]) >= tonumber(record[IDLE])
end

local function over_at(record)
  return math.min(tonumber(record[END]), tonumber(record[SEEN]) + tonumber(record[IDLE]))
end

local function named(names, values, from)
  local both = {}
  for place, name in ipairs(names) do
    both[2 * place - 1], both[2 * place] = name, values[(from or 1) + place - 1]
  end
  return both
end

local function remove(id, subject)
  redis.call('DEL', session_key(id))
  for _, member in ipairs(redis.call('ZRANGE', tokens_key(id), 0, -1)) do
    redis.call('DEL', token_key(string.sub(member, 22)))
  end
  redis.call('DEL', tokens_key(id))
  redis.call('ZREM', sessions, id)
  redis.call('ZREM', over, id)
  if subject then redis.call('ZREM', subject_key(subject), id) end
end

-- Writes a record whose id is free.
local function put(values)
  local id, subject = values[1], values[SUBJECT]
  redis.call('HSET', session_key(id), unpack(named(FIELDS, values)))
  redis.call('ZADD', sessions, 0, id)
  redis.call('ZADD', subject_key(subject), 0, id)
  redis.call('ZADD', over, whole(over_at(values)), id)

  local dropped_at = whole(math.min(tonumber(values[END]) + BACKSTOP, 2 ^ 53))
  redis.call('PEXPIREAT', session_key(id), dropped_at)
  -- The index of the subject lives as long as the longest of its sessions.
  redis.call('PEXPIREAT', subject_key(subject), dropped_at, 'NX')
  redis.call('PEXPIREAT', subject_key(subject), dropped_at, 'GT')
end

-- Writes a row whose id is free, beside its record.
local function put_token(values, record)
  local id, session = values[1], values[2]
  redis.call('HSET', token_key(id), unpack(named(TOKEN, values)))
  redis.call('ZADD', tokens_key(session), 0, padded(values[4]) .. ':' .. id)
  local dropped_at = whole(math.min(tonumber(record[END]) + BACKSTOP, 2 ^ 53))
  redis.call('PEXPIREAT', token_key(id), dropped_at)
  redis.call('PEXPIREAT', tokens_key(session), dropped_at)
end

local function put_account(values)
  redis.call('HSET', base .. 'account:' .. values[1], unpack(named(ACCOUNT, values)))
  redis.call('SET', base .. 'account_of:' .. values[2], values[1])
  redis.call('ZADD', base .. 'accounts', 0, values[1])
end

local function put_key(values)
  redis.call('HSET', base .. 'key:' .. values[1], unpack(named(KEY, values)))
  redis.call('RPUSH', base .. 'keys', values[1])
end

local function rows_of(session)
  local rows = {}
  for _, member in ipairs(redis.call('ZRANGE', tokens_key(session), 0, -1)) do
    rows[#rows + 1] = fields_of(token_key(string.sub(member, 22)), TOKEN)
  end
  return rows
end

local function remove_account(name)
  local subject = redis.call('HGET', base .. 'account:' .. name, 'subject')
  redis.call('DEL', base .. 'account:' .. name)
  if subject then redis.call('DEL', base .. 'account_of:' .. subject) end
  redis.call('ZREM', base .. 'accounts', name)
end

local function remove_keys()
  for _, id in ipairs(redis.call('LRANGE', base .. 'keys', 0, -1)) do redis.call('DEL', base .. 'key:' .. id) end
  redis.call('DEL', base .. 'keys')
end

local function end_all()
  local ended = redis.call('ZRANGE', sessions, 0, -1)
  if #ended > 0 then
    redis.call('RPUSH', houses, redis.call('HGET', store, 'house'))
    move()
  end
  return ended
end

local function head() return redis.call('HGET', store, 'head') or '0' end

-- The mark of an entry is the server's time at its writing: of two histories that came to the same number, it tells which.
local function append(kind, session, reason, at)
  local seq, mark = whole(redis.call('HINCRBY', store, 'head', 1)), unused()
  redis.call('XADD', feed, 'MAXLEN', '~', FEED_KEEP_ENTRIES, seq .. '-0',
    'at', at, 'kind', kind, 'session', session, 'reason', reason, 'mark', mark)
  redis.call('HSET', store, 'mark', mark, 'at', at)
end

-- The mark of an entry; nil if that is forgotten. The newest is never.
local function mark_of(seq)
  if seq == head() then return redis.call('HGET', store, 'mark') end
  local entry = redis.call('XRANGE', feed, seq .. '-0', seq .. '-0')[1]
  return entry and entry[2][10]
end

-- What a node is told about where the feed stands, to remember it by.
local function standing(epoch) return epoch, head(), redis.call('HGET', store, 'mark') or '' end

local function begin_anew(epoch, reason, at)
  end_all()
  redis.call('HSET', store, 'epoch', epoch)
  redis.call('DEL', feed)
  append('all_ended', '', reason, at)
end

-- A store without an epoch is new, or has lost everything: either way a new history begins.
local function epoch_or(fresh)
  local epoch = redis.call('HGET', store, 'epoch')
  if epoch then return epoch end
  redis.call('HSET', store, 'epoch', fresh)
  return fresh
end

-- A node says what it knows of the feed: four arguments from `from` on, a fresh epoch in case one is needed, then the epoch,
-- head and mark it was last told. If the history is the same but has come less far, or has gone on differently from there,
-- the store lost writes, and revocations may be among them: everything ends, before anybody reads or writes on.
local function epoch_unless_regressed(from)
  local fresh, known_epoch, known_head, known_mark = ARGV[from], ARGV[from + 1], ARGV[from + 2], ARGV[from + 3]
  local epoch = epoch_or(fresh)
  if epoch ~= known_epoch then return epoch end
  local mark = mark_of(known_head)
  if tonumber(head()) >= tonumber(known_head) and (not mark or mark == known_mark) then return epoch end
  begin_anew(fresh, 'store_regressed', redis.call('HGET', store, 'at') or '0')
  return fresh
end
