import type { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Clock, KeyedMutex, Repository } from '../core/index.ts';
import type { CallContext, StorageDriver } from '../driver/index.ts';
import type { Caller } from './access.ts';
import type { RegistryDeed } from './events.ts';
import type { LentBody } from './lent-answer.ts';
import type { UploadForwarder } from './upload-forwarder.ts';
import type { UploadStore } from './upload-store.ts';

/** What all handlers share. */
export interface RegistryParts {
  readonly driver: StorageDriver;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly uploads: UploadStore;
  /** Lets one request at a time change the index under one fallback tag. */
  readonly fallbackTags: KeyedMutex;
  /** Stands before every `Location`; empty for relative ones. */
  readonly baseUrl: string;
  /** Whether whole blobs are hashed while they are sent, because the driver does not verify what it gives. */
  readonly verifyReads: boolean;
  /** Whether an index may name manifests that are not in its repository. */
  readonly indexes: 'strict' | 'lenient';
  /** A body without a byte for this long is given up. */
  readonly idleTimeoutMs: number;
  /** Clients are asked to send no shorter chunks than this, but for the last. */
  readonly chunkMinLengthBytes: number | undefined;
  /** Answers requests on uploads that another registry of the same kind holds. */
  readonly uploadForwarder: UploadForwarder | undefined;
}

/** One request with its answer, and what handlers need of both. */
export interface Exchange extends RegistryParts {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly request: FastifyRequest;
  /** For headers that an error has to carry; whoever sets them throws that error. */
  readonly reply: FastifyReply;
  /** Aborted when the client goes away before its answer is complete. */
  readonly signal: AbortSignal;
  readonly caller: Caller;
}

/** What a handler answers; one place sends it. An error is thrown instead (see error-mapper.ts). */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number | string[]>>;
  /** An object goes as JSON; a stream is destroyed by the sender when the client leaves. */
  readonly body?: Buffer | Readable | object;
  /** In the place of `body`. */
  readonly lent?: LentBody;
  /** What a client is to tell its user (see warning.ts). */
  readonly warnings?: readonly string[];
  /** What was done, when others may want to know of it. */
  readonly deed?: RegistryDeed;
}

/** What goes with every driver call of this request. */
export function callContext(exchange: Exchange, repository?: Repository): CallContext {
  return repository === undefined ? { signal: exchange.signal } : { signal: exchange.signal, repository };
}

/** A signal that ends when the client goes away before its answer is complete. */
export function clientSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const leave = () => {
    if (!reply.raw.writableFinished) controller.abort(new ClientGoneError('the client went away'));
  };
  if (reply.raw.destroyed) leave();
  else reply.raw.once('close', leave);
  return controller.signal;
}

/** Why calls for a request were given up: nobody waits for their result any more. Never answered, never logged as a fault. */
class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';
}

/** The URL of something that a request has made. */
export function locationOf(parts: RegistryParts, path: string): string {
  return `${parts.baseUrl}${path}`;
}

/** The value of a request header; several of the same name count as one list. */
export function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
