import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** Message ids of BEP 3, BEP 6 and BEP 10 that the tests need. */
export const messages = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  uninterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  suggest: 13,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  extended: 20,
} as const;

/** One message: length, id, payload. */
export function frame(id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(payload.length + 1, 0);
  head[4] = id;
  return Buffer.concat([head, payload]);
}

/** Big-endian numbers as a payload. */
export function numbers(...values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => {
    buffer.writeUInt32BE(value >>> 0, 4 * index);
  });
  return buffer;
}

/** What a peer says that it can: the fast extension (BEP 6), the extension protocol (BEP 10). */
export interface Abilities {
  readonly fast?: boolean;
  readonly extended?: boolean;
}

/** The handshake of BEP 3; without anything else said, with the fast extension. */
export function handshake(infoHash: string, peerId: Buffer, { fast = true, extended = false }: Abilities = {}): Buffer {
  const reserved = Buffer.from([0, 0, 0, 0, 0, extended ? 0x10 : 0, 0, fast ? 4 : 0]);
  return Buffer.concat([
    Buffer.from('\x13BitTorrent protocol', 'latin1'),
    reserved,
    Buffer.from(infoHash, 'hex'),
    peerId,
  ]);
}

/** A BitTorrent peer of our own on a raw socket: does what it is told, right or wrong. Ends with the test. */
export class RawPeer {
  readonly socket: Socket;
  readonly peerId: Buffer;
  readonly received: { id: number; payload: Buffer }[] = [];
  onMessage: (id: number, payload: Buffer) => void = () => {};
  #buffer = Buffer.alloc(0);
  #greeted = false;
  #waiting: (() => void)[] = [];

  constructor(socket: Socket, peerId: Buffer = randomBytes(20)) {
    this.socket = socket;
    this.peerId = peerId;
    socket.on('error', () => {});
    socket.on('data', (chunk) => this.#onData(chunk as Buffer));
    socket.on('close', () => this.#wake());
    onTestFinished(() => void socket.destroy());
  }

  /** Dials a port of this machine and sends a handshake. */
  static async dial(port: number, infoHash: string, abilities: Abilities = {}): Promise<RawPeer> {
    const peer = new RawPeer(connect({ port, host: '127.0.0.1' }));
    await once(peer.socket, 'connect');
    peer.socket.write(handshake(infoHash, peer.peerId, abilities));
    return peer;
  }

  /** Listens, and does what `onPeer` says with each connection, after the handshakes. */
  static async listen(infoHash: string, onPeer: (peer: RawPeer) => void): Promise<{ port: number; peerId: Buffer }> {
    const peerId = randomBytes(20);
    const server = createServer((socket) => {
      const peer = new RawPeer(socket, peerId);
      socket.write(handshake(infoHash, peerId));
      onPeer(peer);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    return { port: (server.address() as { port: number }).port, peerId };
  }

  get closed(): boolean {
    return this.socket.closed;
  }

  send(id: number, payload?: Buffer): void {
    this.socket.write(frame(id, payload));
  }

  /** Waits for a message of a kind. Rejects when the other end closes first. */
  async expect(id: number): Promise<Buffer> {
    for (;;) {
      const found = this.received.find((message) => message.id === id);
      if (found !== undefined) return found.payload;
      if (this.closed) throw new Error(`the wire closed before message ${id} came`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Waits until the other end has closed the wire. */
  async expectClose(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #onData(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    if (!this.#greeted) {
      if (this.#buffer.length < 68) return;
      this.#greeted = true;
      this.#buffer = this.#buffer.subarray(68);
    }
    while (this.#buffer.length >= 4) {
      const length = this.#buffer.readUInt32BE(0);
      if (this.#buffer.length < 4 + length) break;
      if (length > 0) {
        const message = { id: this.#buffer[4]!, payload: Buffer.from(this.#buffer.subarray(5, 4 + length)) };
        this.received.push(message);
        this.onMessage(message.id, message.payload);
      }
      this.#buffer = this.#buffer.subarray(4 + length);
    }
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** A seeder that answers every request with bytes of its own choice. */
export async function startSeeder(options: {
  infoHash: string;
  block: (piece: number, offset: number, length: number) => Buffer;
}): Promise<{ port: number; peerId: Buffer; served: () => number; server: Server }> {
  const peerId = randomBytes(20);
  let served = 0;
  const server = createServer((socket) => {
    const peer = new RawPeer(socket, peerId);
    socket.write(handshake(options.infoHash, peerId));
    peer.send(messages.haveAll);
    peer.send(messages.unchoke);
    peer.onMessage = (id, payload) => {
      if (id !== messages.request) return;
      const [piece, offset, length] = [payload.readUInt32BE(0), payload.readUInt32BE(4), payload.readUInt32BE(8)];
      served++;
      peer.send(messages.piece, Buffer.concat([numbers(piece, offset), options.block(piece, offset, length)]));
    };
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { port: (server.address() as { port: number }).port, peerId, served: () => served, server };
}
