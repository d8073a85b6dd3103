import { randomBytes } from 'node:crypto';
import { expect, onTestFinished } from 'vitest';
import type { LentBytes } from '../../src/castore/index.ts';
import { lengthOfPiece, makePeerId, type PeerAddress, pieceCount } from '../../src/core/index.ts';
import { type MeetingPoint, Transport, type TransportOptions } from '../../src/swarm/wire/transport.ts';
import { type SessionOwner, WireSession } from '../../src/swarm/wire/wire-session.ts';
import { testLogger } from '../helpers/logger.ts';

/** What a {@link TestOwner} is told, by name and numbers. */
export type OwnerEvent = readonly [name: string, ...rest: readonly (number | boolean | string)[]];

/** Owns sessions of one blob in memory: keeps account of buffers and lent bytes, and of all that it is told. */
export class TestOwner implements SessionOwner {
  readonly events: OwnerEvent[] = [];
  readonly sessions: WireSession[] = [];
  readonly pieces = new Map<number, Buffer>();
  readonly blob: Buffer;
  readonly pieceLength: number;
  /** Buffers that sessions hold, and bytes that are lent. */
  buffersOut = 0;
  lentOut = 0;
  lacks = new Set<number>();
  /** Takes the place of lending from memory at once. */
  lendHook: ((piece: number, offset: number, length: number) => LentBytes | Promise<LentBytes>) | undefined;
  onUnchokedHook: (session: WireSession) => void = () => {};

  constructor(blob: Buffer, pieceLength: number) {
    this.blob = blob;
    this.pieceLength = pieceLength;
  }

  get count(): number {
    return pieceCount(this.blob.length, this.pieceLength);
  }

  /** What it has been told under one name. */
  told(name: string): OwnerEvent[] {
    return this.events.filter((event) => event[0] === name);
  }

  has(piece: number): boolean {
    return !this.lacks.has(piece);
  }

  lend(piece: number, offset: number, length: number): LentBytes | Promise<LentBytes> {
    if (this.lendHook !== undefined) return this.lendHook(piece, offset, length);
    this.lentOut += length;
    const start = piece * this.pieceLength + offset;
    let released = false;
    const release = () => {
      expect(released).toBe(false);
      released = true;
      this.lentOut -= length;
    };
    return { bytes: this.blob.subarray(start, start + length), release };
  }

  pieceBuffer(piece: number): Buffer {
    this.buffersOut++;
    return Buffer.alloc(lengthOfPiece(piece, this.blob.length, this.pieceLength));
  }

  returnBuffer(): void {
    this.buffersOut--;
  }

  onPeerHas(_session: WireSession, piece: number): void {
    this.events.push(['has', piece]);
  }

  onPeerBits(_session: WireSession, bits: Uint8Array): void {
    this.events.push(['bits', Buffer.from(bits).toString('hex')]);
  }

  onPeerHasAll(): void {
    this.events.push(['has-all']);
  }

  onUnchoked(session: WireSession): void {
    this.events.push(['unchoked']);
    this.onUnchokedHook(session);
  }

  onChoked(): void {
    this.events.push(['choked']);
  }

  onSuggested(_session: WireSession, piece: number): void {
    this.events.push(['suggested', piece]);
  }

  onBlock(_session: WireSession, bytes: number, wanted: boolean): void {
    this.events.push(['block', bytes, wanted]);
  }

  onPiece(_session: WireSession, piece: number, buffer: Buffer): void {
    this.buffersOut--;
    this.pieces.set(piece, buffer);
    this.events.push(['piece', piece]);
  }

  onRequestFailed(_session: WireSession, piece: number): void {
    this.events.push(['failed', piece]);
  }

  onServed(_session: WireSession, bytes: number): void {
    this.events.push(['served', bytes]);
  }

  onPeersOffered(_session: WireSession, peers: readonly PeerAddress[]): void {
    this.events.push(['offered', ...peers.map(({ host, port }) => `${host} ${port}`)]);
  }

  onClosed(): void {
    this.events.push(['closed']);
  }
}

/** One host of a test: a transport with one meeting point, and an owner whose sessions start on their own. */
export interface WireHost {
  readonly transport: Transport;
  readonly point: MeetingPoint;
  readonly owner: TestOwner;
  readonly id: string;
}

/** Starts a host that has the whole blob, or nothing of it. Ends with the test. */
export async function startWireHost(options: {
  blob?: Buffer;
  pieceLength?: number;
  id?: string;
  seed: boolean;
  foreign?: boolean;
  background?: boolean;
  transport?: Partial<TransportOptions>;
  /** In place of {@link WireSession.start}. */
  start?: (session: WireSession) => void;
}): Promise<WireHost> {
  const { blob = Buffer.alloc(0), pieceLength = 64 * 1024, id = randomBytes(20).toString('hex'), seed } = options;
  const owner = new TestOwner(blob, pieceLength);
  let point: MeetingPoint | undefined;
  const transport = await Transport.open({
    peerId: makePeerId(),
    host: '127.0.0.1',
    port: 0,
    maxConnections: 2_000,
    find: async (asked) => (asked === id ? point : undefined),
    logger: testLogger(),
    ...options.transport,
  });
  onTestFinished(() => transport.close());
  point = await transport.meet(id, (link) => {
    const metainfo = { length: blob.length, pieceLength };
    const { foreign = false } = options;
    const session = new WireSession({ id: owner.sessions.length, link, origin: false, foreign, metainfo, owner });
    session.background = options.background ?? false;
    owner.sessions.push(session);
    if (options.start !== undefined) options.start(session);
    else session.start(bitfieldOf(owner.count, seed), seed ? owner.count : 0, !seed);
  });
  return { transport, point, owner, id };
}

/** A bitfield with all pieces, or none. */
export function bitfieldOf(pieces: number, all: boolean): Buffer {
  const bits = Buffer.alloc((pieces + 7) >> 3, all ? 0xff : 0);
  if (all && pieces % 8 !== 0) bits[bits.length - 1] = (0xff << (8 - (pieces % 8))) & 0xff;
  return bits;
}

/** Waits until one host has a session with the other, unchoked. */
export async function joined(from: WireHost, to: WireHost): Promise<WireSession> {
  from.point.dial({ host: '127.0.0.1', port: to.transport.port });
  await expect.poll(() => from.owner.told('unchoked').length).toBeGreaterThan(0);
  return from.owner.sessions.at(-1)!;
}
