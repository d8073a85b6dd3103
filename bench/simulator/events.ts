/** What the numbers of an event mean stands beside each kind. */
/** A client asks its agent for all blobs: host. */
export const ASK = 0;
/** The agent has what it needs to join: host. */
export const START = 1;
/** An announce is through the tracker's queue: host. */
export const AT_TRACKER = 2;
/** The tracker's answer is back: host. */
export const ANSWER = 3;
/** A dial has reached its target: node, target host. */
export const DIALLED = 4;
/** The handshake and bitfield of the other end are in: end. */
export const OPENED = 5;
/** The other end takes requests: end. */
export const UNCHOKED = 6;
/** A request has reached its server: transfer, generation. */
export const REQUESTED = 7;
/** A cancel has: transfer, generation. */
export const CANCELLED = 8;
/** An uplink can send the next piece: host. */
export const UPLINK_FREE = 9;
/** The first block of a piece is in: transfer, generation. */
export const FIRST_BLOCK = 10;
/** The last byte of a piece is in: transfer, generation. */
export const ARRIVED = 11;
/** A piece is hashed and stored: end, piece. */
export const VERIFIED = 12;
/** A suggestion is in: end, piece. */
export const SUGGESTED = 13;
/** HAVEs are looked at, and every 100 ms all timers: host. */
export const TICK = 14;
/** A process dies: host; 1 when it comes back. */
export const KILL = 15;
/** Names of others are in, from a peer that is full: node, host named. */
export const NAMED = 16;
/** Half of the floor has passed: the graph is looked at. */
export const SNAPSHOT = 17;
/** A random agent restarts, and the next one is planned. */
export const CHURN = 18;
