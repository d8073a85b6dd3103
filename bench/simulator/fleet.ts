import type { Dispatcher } from '../../src/swarm/dispatcher/dispatcher.ts';
import type { Suggester } from '../../src/swarm/dispatcher/suggester.ts';
import type { Neighbourhood } from '../../src/swarm/neighbourhood/neighbourhood.ts';
import type { SimulationOptions } from './options.ts';

/**
 * All hosts and what each of them holds, as a structure of arrays. Hosts are numbered, agents before origins; a *node* is
 * one blob on one host, `host × blobs + blob`, and has the production code's own dispatcher (or suggester, on an origin) and
 * neighbourhood.
 */
export class Fleet {
  readonly agents: number;
  readonly hosts: number;
  readonly blobs: number;
  readonly nodes: number;
  readonly pieces: number;
  /** A piece, and the last one of a blob, in bytes. */
  readonly pieceBytes: number;
  readonly lastPieceBytes: number;

  // By host.
  /** Whether its process runs. */
  readonly alive: Uint8Array;
  /** In bytes a millisecond. */
  readonly upRate: Float64Array;
  readonly downRate: Float64Array;
  readonly zone: Uint16Array;
  /** When its client asked; NaN before. */
  readonly startedAtMs: Float64Array;
  /** When it had all blobs; NaN before. */
  readonly doneAtMs: Float64Array;
  /** When its first client had a byte to read; NaN before. */
  readonly firstByteAtMs: Float64Array;
  readonly blobsMissing: Uint16Array;

  // By node.
  readonly dispatchers: (Dispatcher | undefined)[];
  readonly suggesters: (Suggester | undefined)[];
  readonly neighbourhoods: (Neighbourhood | undefined)[];
  readonly complete: Uint8Array;
  /** The first missing piece. */
  readonly prefix: Int32Array;
  /** How many pieces are verified, and which, in the order in which they were: what neighbours learn by HAVE. */
  readonly logCount: Int32Array;
  /** Sums over samples of prefix ÷ verified, for streaming. */
  readonly prefixSum: Float64Array;
  readonly prefixSamples: Uint32Array;
  readonly #logPieces: Uint16Array | Int32Array;
  readonly #logTimesUs: Uint32Array;
  readonly #bits: Uint8Array;
  readonly #bitBytes: number;

  constructor(options: SimulationOptions) {
    const { hosts: agents, origins, blobs, blobBytes, pieceLength } = options;
    this.agents = agents;
    this.hosts = agents + origins;
    this.blobs = blobs;
    this.nodes = this.hosts * blobs;
    this.pieces = Math.ceil(blobBytes / pieceLength);
    this.pieceBytes = pieceLength;
    this.lastPieceBytes = blobBytes - (this.pieces - 1) * pieceLength;
    this.alive = new Uint8Array(this.hosts);
    this.upRate = new Float64Array(this.hosts);
    this.downRate = new Float64Array(this.hosts);
    this.zone = new Uint16Array(this.hosts);
    this.startedAtMs = new Float64Array(this.hosts).fill(Number.NaN);
    this.doneAtMs = new Float64Array(this.hosts).fill(Number.NaN);
    this.firstByteAtMs = new Float64Array(this.hosts).fill(Number.NaN);
    this.blobsMissing = new Uint16Array(this.hosts);
    this.dispatchers = new Array(this.nodes).fill(undefined);
    this.suggesters = new Array(this.nodes).fill(undefined);
    this.neighbourhoods = new Array(this.nodes).fill(undefined);
    this.complete = new Uint8Array(this.nodes);
    this.prefix = new Int32Array(this.nodes);
    this.logCount = new Int32Array(this.nodes);
    this.prefixSum = new Float64Array(this.nodes);
    this.prefixSamples = new Uint32Array(this.nodes);
    const logged = agents * blobs * this.pieces;
    this.#logPieces = this.pieces <= 0xffff ? new Uint16Array(logged) : new Int32Array(logged);
    this.#logTimesUs = new Uint32Array(logged);
    this.#bitBytes = (this.pieces + 7) >> 3;
    this.#bits = new Uint8Array(agents * blobs * this.#bitBytes);
  }

  hostOf(node: number): number {
    return (node / this.blobs) | 0;
  }

  isOrigin(host: number): boolean {
    return host >= this.agents;
  }

  bytesOf(piece: number): number {
    return piece === this.pieces - 1 ? this.lastPieceBytes : this.pieceBytes;
  }

  has(node: number, piece: number): boolean {
    if (this.complete[node] === 1) return true;
    return (this.#bits[node * this.#bitBytes + (piece >> 3)]! & (0x80 >> (piece & 7))) !== 0;
  }

  /** How many eighths of the blob a node has; 8 is all of it. */
  eighths(node: number): number {
    return this.complete[node] === 1 ? 8 : this.eighthsOf(this.logCount[node]!);
  }

  eighthsOf(count: number): number {
    return ((8 * count) / this.pieces) | 0;
  }

  /** A piece is verified. Neighbours are told at `toldAtMs`. Must not be there yet. */
  addPiece(node: number, piece: number, toldAtMs: number): void {
    this.#bits[node * this.#bitBytes + (piece >> 3)]! |= 0x80 >> (piece & 7);
    const at = node * this.pieces + this.logCount[node]!++;
    this.#logPieces[at] = piece;
    this.#logTimesUs[at] = toldAtMs * 1000;
    let prefix = this.prefix[node]!;
    while (prefix < this.pieces && this.has(node, prefix)) prefix++;
    this.prefix[node] = prefix;
  }

  /** A node that has everything without having fetched it. */
  fill(node: number): void {
    this.complete[node] = 1;
    this.prefix[node] = this.pieces;
  }

  /** The piece that a node told its neighbours of as its `index`-th. */
  loggedPiece(node: number, index: number): number {
    return this.#logPieces[node * this.pieces + index]!;
  }

  /** When it did, in microseconds. */
  loggedAtUs(node: number, index: number): number {
    return this.#logTimesUs[node * this.pieces + index]!;
  }

  /** The BEP 3 bitfield that a node would send, of its first `count` pieces. */
  bitfield(node: number, count: number): Uint8Array {
    const bits = new Uint8Array(this.#bitBytes);
    for (let index = 0; index < count; index++) {
      const piece = this.loggedPiece(node, index);
      bits[piece >> 3]! |= 0x80 >> (piece & 7);
    }
    return bits;
  }
}
