import { copyBytes } from '../../core/index.ts';
import { classify, longestMessage, MessageId, WireProtocolError } from './wire-messages.ts';

/** Takes what a parser finds. Any of these may close the wire, which then calls {@link MessageParser.stop}. */
export interface MessageSink {
  /** A message other than a block. The body is only good during the call. */
  onMessage(id: number, body: Buffer): void;
  /**
   * A block begins. What is returned is filled with its bytes and has exactly its length; without anything the block is
   * skipped. Its end is told either way.
   */
  onBlockStart(piece: number, offset: number, length: number): Buffer | undefined;
  onBlockEnd(): void;
}

const EMPTY = Buffer.alloc(0);

/** Length, id, and for a block its piece and offset. */
const LONGEST_HEAD_BYTES = 13;

/**
 * Parses the messages that follow the handshake, out of chunks cut anywhere. A block's bytes are copied once: from the chunk
 * to where they belong. What has to be gathered otherwise is bounded by {@link classify}.
 */
export class MessageParser {
  readonly #sink: MessageSink;
  readonly #bitfieldBytes: number;
  readonly #longest: number;
  readonly #head = Buffer.alloc(LONGEST_HEAD_BYTES);
  #headLength = 0;
  #headNeeded = 4;
  /** Bytes of the present block or skipped message that have not come yet. */
  #left = 0;
  #inBlock = false;
  #target: Buffer | undefined;
  #targetAt = 0;
  #body: Buffer | undefined;
  #bodyAt = 0;
  #stopped = false;

  constructor(options: { sink: MessageSink; bitfieldBytes: number }) {
    this.#sink = options.sink;
    this.#bitfieldBytes = options.bitfieldBytes;
    this.#longest = longestMessage(options.bitfieldBytes);
  }

  /** Bytes of the present block that have not come yet; 0 between blocks. */
  get blockLeft(): number {
    return this.#inBlock ? this.#left : 0;
  }

  /** Takes the next bytes; keeps nothing of the chunk. @throws WireProtocolError when they are no messages */
  feed(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      if (this.#left > 0) at = this.#pass(chunk, at);
      else if (this.#body !== undefined) at = this.#gather(chunk, at, this.#body);
      else at = this.#readHead(chunk, at);
    }
  }

  /** The rest of the present block goes nowhere: its buffer belongs to somebody else from now on. */
  dropBlock(): void {
    this.#target = undefined;
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#stopped = true;
    this.#target = undefined;
    this.#body = undefined;
  }

  /** Bytes of a block, or of a message that nobody takes. */
  #pass(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    if (this.#target !== undefined) {
      copyBytes(chunk, this.#target, this.#targetAt, at, end);
      this.#targetAt += end - at;
    }
    this.#left -= end - at;
    if (this.#left === 0) this.#endPass();
    return end;
  }

  #endPass(): void {
    this.#target = undefined;
    if (!this.#inBlock) return;
    this.#inBlock = false;
    this.#sink.onBlockEnd();
  }

  #gather(chunk: Buffer, at: number, body: Buffer): number {
    const end = Math.min(chunk.length, at + body.length - this.#bodyAt);
    chunk.copy(body, this.#bodyAt, at, end);
    this.#bodyAt += end - at;
    if (this.#bodyAt === body.length) {
      this.#body = undefined;
      this.#sink.onMessage(this.#head[4]!, body);
    }
    return end;
  }

  #readHead(chunk: Buffer, start: number): number {
    let at = start;
    while (at < chunk.length) {
      this.#head[this.#headLength++] = chunk[at++]!;
      if (this.#headLength < this.#headNeeded) continue;
      if (this.#headLength === 4) {
        this.#checkLength(this.#head.readUInt32BE(0));
      } else if (this.#headLength === 5 && this.#head[4] === MessageId.piece) {
        // Also when it is too short to have a piece and an offset: then this throws.
        classify(MessageId.piece, this.#head.readUInt32BE(0) - 1, this.#bitfieldBytes);
        this.#headNeeded = LONGEST_HEAD_BYTES;
      } else {
        this.#headLength = 0;
        this.#headNeeded = 4;
        return this.#begin(chunk, at);
      }
    }
    return at;
  }

  /** What is too long is refused before it says what it is. */
  #checkLength(length: number): void {
    if (length > this.#longest) throw new WireProtocolError(`message of ${length} bytes, at most ${this.#longest}`);
    if (length > 0) this.#headNeeded = 5;
    else this.#headLength = 0; // A keep-alive has no id.
  }

  /** The head is complete. @returns where the chunk goes on */
  #begin(chunk: Buffer, at: number): number {
    const id = this.#head[4]!;
    const bodyBytes = this.#head.readUInt32BE(0) - 1;
    switch (classify(id, bodyBytes, this.#bitfieldBytes)) {
      case 'block':
        this.#beginBlock(bodyBytes - 8);
        return at;
      case 'skip':
        this.#left = bodyBytes;
        return at;
      case 'take':
        return this.#take(id, bodyBytes, chunk, at);
    }
  }

  #beginBlock(length: number): void {
    const target = this.#sink.onBlockStart(this.#head.readUInt32BE(5), this.#head.readUInt32BE(9), length);
    if (this.#stopped) return;
    if (target !== undefined && target.length !== length) {
      throw new WireProtocolError(`a block of ${length} bytes was given ${target.length} bytes of room`);
    }
    this.#target = target;
    this.#targetAt = 0;
    this.#left = length;
    this.#inBlock = true;
    if (length === 0) this.#endPass();
  }

  #take(id: number, bodyBytes: number, chunk: Buffer, at: number): number {
    const end = at + bodyBytes;
    if (end <= chunk.length) {
      this.#sink.onMessage(id, bodyBytes === 0 ? EMPTY : chunk.subarray(at, end));
      return end;
    }
    this.#body = Buffer.allocUnsafe(bodyBytes);
    this.#bodyAt = 0;
    return at;
  }
}
