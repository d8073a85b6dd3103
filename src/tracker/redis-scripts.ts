/**
 * What {@link RedisPeerStore} runs inside Redis, each call on the keys of one swarm: a swarm is changed and read as one
 * step, and time is Redis's own, so that the clocks of several trackers do not matter.
 *
 * A swarm is a hash from peer id to what the peer reported, and one sorted set a group, from peer id to when it expires
 * (milliseconds since 1970). A peer id is in exactly one of the sets. All keys expire with the last peer.
 * ZRANDMEMBER is there since Redis 6.2.
 */

const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** Drops those whose time is over, a thousand at a time (Lua's \`unpack\` has a limit). KEYS: hash, sets of the groups. */
const expire = `${clock}
for group = 2, 4 do
  local expired
  repeat
    expired = redis.call('ZRANGEBYSCORE', KEYS[group], '-inf', now, 'LIMIT', 0, 1000)
    if #expired > 0 then
      redis.call('HDEL', KEYS[1], unpack(expired))
      redis.call('ZREM', KEYS[group], unpack(expired))
    end
  until #expired < 1000
end
`;

/** ARGV: peer id, its group (2 to 4), what it reported, time to live in milliseconds. */
export const putScript = `${expire}
local id, own, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
for group = 2, 4 do
  if group ~= own then redis.call('ZREM', KEYS[group], id) end
end
redis.call('ZADD', KEYS[own], now + ttl, id)
redis.call('HSET', KEYS[1], id, ARGV[3])
for key = 1, 4 do
  if redis.call('PTTL', KEYS[key]) < ttl then redis.call('PEXPIRE', KEYS[key], ttl) end
end
return 1
`;

/** ARGV: peer id. Redis removes a key that is empty by itself. */
export const removeScript = `
redis.call('HDEL', KEYS[1], ARGV[1])
for group = 2, 4 do redis.call('ZREM', KEYS[group], ARGV[1]) end
return 1
`;

/** ARGV: how many peers of each group. Answers a list a group: peer id, what it reported, peer id, … */
export const sampleScript = `${expire}
local answer = {}
for group = 2, 4 do
  local found, count = {}, tonumber(ARGV[group - 1])
  if count > 0 then
    for _, id in ipairs(redis.call('ZRANDMEMBER', KEYS[group], count)) do
      local report = redis.call('HGET', KEYS[1], id)
      if report then
        found[#found + 1] = id
        found[#found + 1] = report
      end
    end
  end
  answer[group - 1] = found
end
return answer
`;

/**
 * KEYS: a sorted set that only counts. ARGV: time to live in milliseconds, then members. A member stays as long as the
 * longest stay that it was counted for.
 */
export const countScript = `${clock}
local ttl = tonumber(ARGV[1])
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], 'GT', now + ttl, ARGV[index]) end
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
return 1
`;

/** KEYS: a sorted set that only counts. Answers how many members are left. */
export const countedScript = `${clock}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZCARD', KEYS[1])
`;
