import { connect, type Socket } from 'node:net';
import { BenchRunError } from '../lib/errors.ts';

/** What came for one announce. */
export interface RawAnswer {
  readonly status: number;
  /** The first characters of the body. */
  readonly start: string;
  /** Length of the body. */
  readonly bytes: number;
}

interface Waiting {
  readonly resolve: (answer: RawAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** One buffer for all connections of a process: what was read is looked at before anything else is read. */
const readBuffer = Buffer.allocUnsafe(256 * 1024);
const START_CHARACTERS = 64;
const HEAD_END = '\r\n\r\n';

/**
 * One host's HTTP/1.1 connection to the tracker, one announce at a time. Made of a bare socket, because a fleet of 15,000
 * shares the machine with the tracker that it measures: with an HTTP client of the usual kind the load took more CPU than
 * the tracker did. Opened by the first announce, and again after the tracker has closed it. Whoever makes it closes it.
 */
export class AnnounceConnection {
  readonly #port: number;
  readonly #head: string;
  #socket: Socket | undefined;
  #waiting: Waiting | undefined;
  /** The answer that is being read, once its head is there. */
  #answer: RawAnswer | undefined;
  #unread = '';
  #missing = 0;

  constructor(port: number, path: string, token: string) {
    this.#port = port;
    this.#head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\n`;
  }

  /** @throws BenchRunError when the connection fails, or what comes is no answer of known length */
  post(body: string): Promise<RawAnswer> {
    if (this.#waiting !== undefined) throw new BenchRunError('an announce is still under way on this connection');
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket ??= this.#open();
      // ASCII: its length in characters is its length in bytes.
      this.#socket.write(`${this.#head}content-length: ${body.length}${HEAD_END}${body}`, 'latin1');
    });
  }

  close(): void {
    this.#socket?.destroy();
  }

  #open(): Socket {
    const onread = {
      buffer: readBuffer,
      callback: (count: number) => {
        this.#take(count);
        return true;
      },
    };
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true, onread });
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => {
      this.#socket = undefined;
      this.#fail(new Error('the tracker closed the connection'));
    });
    return socket;
  }

  #take(count: number): void {
    if (this.#answer === undefined) this.#takeHead(readBuffer.toString('latin1', 0, count));
    else this.#missing -= count;
    if (this.#answer === undefined || this.#missing > 0) return;
    const [answer, waiting] = [this.#answer, this.#waiting];
    this.#answer = undefined;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }

  #takeHead(text: string): void {
    const read = this.#unread + text;
    const end = read.indexOf(HEAD_END);
    // The start of the body is waited for, too; an answer has more than so much.
    if (end < 0 || read.length < end + HEAD_END.length + START_CHARACTERS) {
      this.#unread = read;
      if (end < 0 || !this.#isWhole(read, end)) return;
    }
    this.#unread = '';
    const bytes = lengthOf(read.slice(0, end));
    const body = read.slice(end + HEAD_END.length);
    if (bytes === undefined) {
      this.#fail(new BenchRunError(`an answer without content-length: ${read.slice(0, end)}`));
      return;
    }
    this.#missing = bytes - body.length;
    this.#answer = { status: Number(read.slice(9, 12)), start: body.slice(0, START_CHARACTERS), bytes };
  }

  #isWhole(read: string, end: number): boolean {
    return read.length - end - HEAD_END.length >= (lengthOf(read.slice(0, end)) ?? 0);
  }

  #fail(cause: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#answer = undefined;
    this.#unread = '';
    this.#socket?.destroy();
    waiting?.reject(new BenchRunError(`announce to port ${this.#port} failed: ${cause.message}`));
  }
}

function lengthOf(head: string): number | undefined {
  const [, digits] = /\r\ncontent-length: (\d+)/i.exec(head) ?? [];
  return digits === undefined ? undefined : Number(digits);
}
