import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** An answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number;
  /** Names in lower case; of several with one name the last. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * A connection on which a test writes what it likes, byte for byte, and reads answers one after the other. Answers are read
 * strictly: one that is not well formed rejects the reading.
 */
export class RawConnection {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #waiting: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const ended = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('error', ended); // A reset is one way to be closed; `closed` and `answer` tell.
    socket.on('close', ended);
    socket.on('end', ended);
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const connection = new RawConnection(socket);
    await once(socket, 'connect');
    return connection;
  }

  /** Writes without waiting for anything. */
  write(data: string | Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(data);
  }

  /** Whether the server has ended or reset the connection. */
  get isClosed(): boolean {
    return this.#ended;
  }

  /** Resolves when the server has ended or reset the connection. */
  async closed(): Promise<void> {
    while (!this.#ended) await this.#more();
  }

  /** The next answer to `method`; `undefined` when the connection ends before its first byte. */
  async answer(method = 'GET'): Promise<RawAnswer | undefined> {
    for (;;) {
      const head = await this.#head();
      if (head === undefined) return undefined;
      // An interim answer (100 Continue) announces another one.
      if (head.status >= 200) return { ...head, body: await this.#body(method, head) };
    }
  }

  destroy(): void {
    this.socket.destroy();
  }

  async #head(): Promise<Omit<RawAnswer, 'body'> | undefined> {
    let end: number;
    for (;;) {
      end = this.#received.indexOf(HEAD_END);
      if (end >= 0) break;
      if (this.#ended && this.#received.length === 0) return undefined;
      await this.#moreOf('the head of an answer');
    }
    const [first = '', ...lines] = this.#take(end + HEAD_END.length)
      .toString('latin1')
      .trimEnd()
      .split('\r\n');
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1];
    if (status === undefined) throw new Error(`no status line: ${first}`);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/.exec(line);
      if (match === null) throw new Error(`no header: ${JSON.stringify(line)}`);
      headers.set(match[1]!.toLowerCase(), match[2]!);
    }
    return { status: Number(status), headers };
  }

  async #body(method: string, { status, headers }: Omit<RawAnswer, 'body'>): Promise<Buffer> {
    if (method === 'HEAD' || status === 204 || status === 304) return Buffer.alloc(0);
    if (headers.get('transfer-encoding') === 'chunked') return this.#chunks();
    const length = headers.get('content-length');
    if (length !== undefined) return this.#exactly(Number(length));
    while (!this.#ended) await this.#more();
    return this.#take(this.#received.length);
  }

  async #chunks(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (;;) {
      let end = this.#received.indexOf('\r\n');
      for (; end < 0; end = this.#received.indexOf('\r\n')) await this.#moreOf('a chunk');
      const size = Number.parseInt(this.#take(end + 2).toString('latin1'), 16);
      chunks.push((await this.#exactly(size + 2)).subarray(0, size));
      if (size === 0) return Buffer.concat(chunks);
    }
  }

  async #exactly(length: number): Promise<Buffer> {
    while (this.#received.length < length) await this.#moreOf('a body');
    return this.#take(length);
  }

  #take(length: number): Buffer {
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }

  async #moreOf(what: string): Promise<void> {
    if (this.#ended)
      throw new Error(`the connection ended in ${what}: ${this.#received.toString('latin1').slice(0, 200)}`);
    await this.#more();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
