import { connect, Socket } from 'node:net';
import type { PeerAddress } from '../../core/index.ts';

/** A socket together with how its bytes are had: from a buffer that is used again for the next read. */
export interface SharedSocket {
  readonly socket: Socket;
  /** Hands over what comes in. A chunk is only good during the call. Called once, before the socket is resumed. */
  onBytes(listener: (chunk: Buffer) => void): void;
}

/**
 * Room for one read, shared by all sockets of a process: each chunk is taken before the next is read. Node would allocate
 * as much for every read, which costs twice what all the rest of receiving does.
 */
export function makeReadBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(64 * 1024);
}

/** Dials; the socket is being connected. The caller closes it. */
export function dialShared({ host, port }: PeerAddress, buffer: Buffer): SharedSocket {
  const reads = new SharedReads(buffer);
  return { socket: connect({ host, port, onread: reads.options }), onBytes: (listener) => reads.listen(listener) };
}

/**
 * Takes over an accepted socket that has not been read yet: Node has `onread` for dialled ones only, so the connection is
 * moved to a new socket object. The old one must not be used any more. Where Node does not let go of the connection, the
 * socket stays what it is.
 */
export function adoptShared(accepted: Socket, buffer: Buffer): SharedSocket {
  const reads = new SharedReads(buffer);
  const old = accepted as AcceptedSocket;
  const { _handle: handle, _server: server } = old;
  if (handle === null || handle === undefined || server === null || server === undefined) {
    return { socket: accepted, onBytes: (listener) => void accepted.on('data', listener) };
  }
  old._handle = null;
  old._server = null;
  const options = { handle, onread: reads.options, readable: true, writable: true, manualStart: true };
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]) as AcceptedSocket;
  // The server counts its connections, and ends when the last has told it that it closed.
  socket._server = server;
  return { socket, onBytes: (listener) => reads.listen(listener) };
}

class SharedReads {
  readonly options: { buffer: Buffer; callback: (bytes: number, buffer: Uint8Array) => boolean };
  #listener: (chunk: Buffer) => void = () => {};

  constructor(buffer: Buffer) {
    const callback = (bytes: number) => {
      this.#listener(buffer.subarray(0, bytes));
      return true;
    };
    this.options = { buffer, callback };
  }

  listen(listener: (chunk: Buffer) => void): void {
    this.#listener = listener;
  }
}

/** Members of Node's sockets that have no public name. */
type AcceptedSocket = Socket & { _handle?: object | null; _server?: object | null };
