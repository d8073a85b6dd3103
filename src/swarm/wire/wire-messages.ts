import { AppError } from '../../core/index.ts';

/** Message ids of BEP 3, BEP 6 (fast extension) and BEP 10 (extension protocol). */
export const MessageId = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  uninterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  port: 9,
  suggest: 13,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  allowedFast: 17,
  extended: 20,
} as const;

/** Length of the handshake of BEP 3. */
export const HANDSHAKE_BYTES = 68;

/** The longest block that WebTorrent and libtorrent serve, and that we ask our own peers for. */
export const BLOCK_BYTES = 128 * 1024;

/** What every BitTorrent client serves (BEP 3). */
export const FOREIGN_BLOCK_BYTES = 16 * 1024;

/** Length, id, piece and offset: what stands before a block. */
export const BLOCK_HEAD_BYTES = 13;

/** Extension handshakes of other clients have a few hundred bytes; our own messages fewer. */
const MAX_EXTENDED_BYTES = 32 * 1024;

/** Messages of extensions that we do not know are skipped up to this length. */
const MAX_UNKNOWN_BYTES = BLOCK_BYTES;

/** A peer sent what the protocol does not have. Its wire is closed; nobody else notices. */
export class WireProtocolError extends AppError {
  readonly code = 'PEER_PROTOCOL';
}

/** Bodies (what follows the id) that have one length only, by message id. */
const fixedBodies = new Map<number, number>([
  [MessageId.choke, 0],
  [MessageId.unchoke, 0],
  [MessageId.interested, 0],
  [MessageId.uninterested, 0],
  [MessageId.have, 4],
  [MessageId.request, 12],
  [MessageId.cancel, 12],
  [MessageId.port, 2],
  [MessageId.suggest, 4],
  [MessageId.haveAll, 0],
  [MessageId.haveNone, 0],
  [MessageId.reject, 12],
  [MessageId.allowedFast, 4],
]);

/**
 * What to do with a message, going by its id and the length of its body: `take` it whole, `skip` it, or fill a `block`.
 * `bitfieldBytes` is the length that the bitfield of this blob has.
 * @throws WireProtocolError when no such message exists in this swarm
 */
export function classify(id: number, bodyBytes: number, bitfieldBytes: number): 'take' | 'skip' | 'block' {
  const [least, most] = bodyRange(id, bitfieldBytes);
  if (bodyBytes < least || bodyBytes > most) {
    const expected = least === most ? `${least}` : `${least} to ${most}`;
    throw new WireProtocolError(`message ${id} with ${bodyBytes} bytes, expected ${expected}`);
  }
  if (id === MessageId.piece) return 'block';
  if (fixedBodies.has(id) || id === MessageId.bitfield || id === MessageId.extended) return 'take';
  return 'skip';
}

function bodyRange(id: number, bitfieldBytes: number): readonly [number, number] {
  const fixed = fixedBodies.get(id);
  if (fixed !== undefined) return [fixed, fixed];
  switch (id) {
    case MessageId.piece:
      return [8, 8 + BLOCK_BYTES];
    case MessageId.bitfield:
      return [bitfieldBytes, bitfieldBytes];
    case MessageId.extended:
      return [1, MAX_EXTENDED_BYTES];
    default:
      return [0, MAX_UNKNOWN_BYTES];
  }
}

/** The longest message of a swarm, from its id on, in bytes: a block, or the bitfield of a huge blob. */
export function longestMessage(bitfieldBytes: number): number {
  return 1 + Math.max(8 + BLOCK_BYTES, bitfieldBytes);
}

/** One message of a few numbers: its length, its id, then each number in four bytes, big-endian. */
export function message(id: number, ...numbers: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(5 + 4 * numbers.length);
  bytes.writeUInt32BE(1 + 4 * numbers.length, 0);
  bytes[4] = id;
  for (let index = 0; index < numbers.length; index++) bytes.writeUInt32BE(numbers[index]!, 5 + 4 * index);
  return bytes;
}

/** What stands before a block of `length` bytes. */
export function blockHead(piece: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(BLOCK_HEAD_BYTES);
  bytes.writeUInt32BE(9 + length, 0);
  bytes[4] = MessageId.piece;
  bytes.writeUInt32BE(piece, 5);
  bytes.writeUInt32BE(offset, 9);
  return bytes;
}
