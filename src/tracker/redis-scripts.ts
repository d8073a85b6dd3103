/**
 * What {@link RedisPeerStore} runs inside Redis, each script as one step, and time is Redis's own, so that the clocks of
 * several trackers do not matter. The scripts name keys that they learn as they run: this is one Redis, not a Redis Cluster.
 *
 * A host is a hash that expires with the host's stay: `:description`, `:sequence`, and for each of its swarms the state that
 * it reported (`<complete 0/1><eighths> <info hash or ->`). A swarm is one sorted set a group, and one a group and zone,
 * from member to when it expires (milliseconds since 1970). A member is a host's key without its prefix; it is in exactly
 * one of the groups. All keys expire. ZRANDMEMBER is there since Redis 6.2.
 */

const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

const swarmKeys = `
local function swarmKey(swarm, part) return prefix .. '{' .. swarm .. '}:' .. part end
local function groupOf(origin, state)
  if origin == '1' then return 'origins' end
  if string.sub(state, 1, 1) == '1' then return 'complete' end
  return string.sub(state, 2, 2) == '0' and 'fresh' or 'partial'
end
`;

/** Drops members whose time is over, a thousand at a time (Lua's \`unpack\` has a limit). */
const expire = `
local function expire(key)
  local expired
  repeat
    expired = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, 1000)
    if #expired > 0 then redis.call('ZREM', key, unpack(expired)) end
  until #expired < 1000
end
`;

/** \`leave\` takes a member out of a swarm, \`stay\` puts it in or renews it until \`now + ttl\`. */
const changes = `${clock}${swarmKeys}${expire}
local function leave(swarm, member, origin, zone, state)
  local group = groupOf(origin, state)
  redis.call('ZREM', swarmKey(swarm, group), member)
  if zone ~= '' then redis.call('ZREM', swarmKey(swarm, group .. '@' .. zone), member) end
end
local function stayIn(key, member, ttl)
  redis.call('ZADD', key, now + ttl, member)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end
local function stay(swarm, member, origin, zone, state, ttl)
  local group = groupOf(origin, state)
  stayIn(swarmKey(swarm, group), member, ttl)
  if zone ~= '' then stayIn(swarmKey(swarm, group .. '@' .. zone), member, ttl) end
  local infoHash = string.sub(state, 4)
  if infoHash ~= '-' then
    local alias = prefix .. 'alias:' .. infoHash
    if redis.call('PTTL', alias) < ttl then redis.call('SET', alias, swarm, 'PX', ttl) end
  end
  redis.call('ZADD', prefix .. 'swarms', 'GT', now + ttl, swarm)
end
`;

/**
 * A host's report, or one part of a long one; the answer is as \`PeerStore.report\` has it. ARGV: prefix, member, sequence
 * ('' when there is none), since, full (1 or 0), last part (1 or 0), origin (1 or 0), zone ('' when there is none),
 * description, times to live while it downloads, seeds, is idle; then swarm and state in turn, the state '' for a swarm
 * that is left.
 */
export const reportScript = `
local prefix, member, sequence, since = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local origin, zone, description = ARGV[7], ARGV[8], ARGV[9]
${changes}
local key = prefix .. 'host:' .. member
local fields, known, swarms = redis.call('HGETALL', key), {}, {}
for at = 1, #fields, 2 do
  if string.sub(fields[at], 1, 1) == ':' then known[fields[at]] = fields[at + 1] else swarms[fields[at]] = fields[at + 1] end
end
if sequence ~= '' then
  local last = tonumber(known[':sequence'] or '0')
  if tonumber(sequence) < last then return 'late' end
  if ARGV[5] == '0' and (#fields == 0 or last < since) then return 'unknown' end
end
local function forget(swarm, state)
  leave(swarm, member, known[':origin'], known[':zone'], state)
  redis.call('HDEL', key, swarm)
  swarms[swarm] = nil
end
local moved = known[':origin'] and (known[':origin'] ~= origin or known[':zone'] ~= zone)
for swarm, state in pairs(swarms) do
  if ARGV[5] == '1' then forget(swarm, state)
  elseif moved then leave(swarm, member, known[':origin'], known[':zone'], state) end
end
known[':origin'], known[':zone'] = origin, zone
redis.call('HSET', key, ':origin', origin, ':zone', zone, ':description', description)
if sequence ~= '' then redis.call('HSET', key, ':sequence', sequence) end
for at = 13, #ARGV, 2 do
  local swarm, state, old = ARGV[at], ARGV[at + 1], swarms[ARGV[at]]
  if old and (state == '' or groupOf(origin, state) ~= groupOf(origin, old)) then forget(swarm, old) end
  if state ~= '' then
    swarms[swarm] = state
    redis.call('HSET', key, swarm, state)
  end
end
local activity, ttl = 'idle', tonumber(ARGV[12])
for swarm, state in pairs(swarms) do
  if string.sub(state, 1, 1) == '0' then
    activity, ttl = 'downloading', tonumber(ARGV[10])
    break
  end
  if activity == 'idle' and redis.call('EXISTS', swarmKey(swarm, 'asked')) == 1 then
    activity, ttl = 'seeding', tonumber(ARGV[11])
  end
end
-- Parts before the last keep what they brought for as long as any; the last renews all of it.
if ARGV[6] == '1' then
  for swarm, state in pairs(swarms) do stay(swarm, member, origin, zone, state, ttl) end
  if next(swarms) then
    redis.call('ZADD', prefix .. 'hosts', now + ttl, member)
  else
    redis.call('ZREM', prefix .. 'hosts', member)
  end
end
for _, counter in ipairs({ 'hosts', 'swarms' }) do
  if redis.call('PTTL', prefix .. counter) < ttl then redis.call('PEXPIRE', prefix .. counter, ttl) end
end
redis.call('PEXPIRE', key, ttl)
return activity
`;

/** Takes a host out of everything. ARGV: prefix, member. */
export const removeScript = `
local prefix, member = ARGV[1], ARGV[2]
${changes}
local key = prefix .. 'host:' .. member
local origin, zone = redis.call('HGET', key, ':origin'), redis.call('HGET', key, ':zone')
if not origin then return 0 end
local fields = redis.call('HGETALL', key)
for at = 1, #fields, 2 do
  if string.sub(fields[at], 1, 1) ~= ':' then leave(fields[at], member, origin, zone, fields[at + 1]) end
end
redis.call('DEL', key)
redis.call('ZREM', prefix .. 'hosts', member)
return 1
`;

/**
 * ARGV: prefix, swarm, how many of origins, complete, partial and fresh agents, zone ('' when there is none), how many of
 * the zone in each group of agents, for how long the swarm counts as asked for. Answers the four sizes, then a list a
 * group: member, description, state, member, …
 */
export const sampleScript = `
local prefix, swarm = ARGV[1], ARGV[2]
${clock}${swarmKeys}${expire}
local answer, there = { 0, 0, 0, 0 }, 0
local function draw(list, key, count)
  if count <= 0 then return end
  for _, member in ipairs(redis.call('ZRANDMEMBER', key, count)) do
    local found = redis.call('HMGET', prefix .. 'host:' .. member, ':description', swarm)
    if found[1] and found[2] then
      list[#list + 1], list[#list + 2], list[#list + 3] = member, found[1], found[2]
    end
  end
end
for index, group in ipairs({ 'origins', 'complete', 'partial', 'fresh' }) do
  local key, list, count = swarmKey(swarm, group), {}, tonumber(ARGV[index + 2])
  expire(key)
  answer[index] = redis.call('ZCARD', key)
  there = there + answer[index]
  draw(list, key, count)
  if ARGV[7] ~= '' and index > 1 and count > 0 then
    local zoneKey = key .. '@' .. ARGV[7]
    expire(zoneKey)
    draw(list, zoneKey, tonumber(ARGV[8]))
  end
  answer[index + 4] = list
end
if there > 0 then redis.call('SET', swarmKey(swarm, 'asked'), 1, 'PX', ARGV[9]) end
return answer
`;

/** ARGV: the key of a sorted set that only counts. Answers how many members are left. */
export const countedScript = `${clock}
redis.call('ZREMRANGEBYSCORE', ARGV[1], '-inf', now)
return redis.call('ZCARD', ARGV[1])
`;
