import type { IncomingHttpHeaders } from 'node:http';
import type { Repository } from '../core/index.ts';

/** A request about one upload, as it came from a client whom the registry has let in. */
export interface UploadRequest {
  readonly repository: Repository;
  readonly uploadId: string;
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /**
   * Not read yet. It may be left before its end, as the connection has to carry the answer; it throws when the client hangs
   * up, or sends no byte for too long.
   */
  readonly body: AsyncIterable<Buffer> | undefined;
  /** The request's id in logs. */
  readonly requestId: string;
  /** The name of who sent it; empty for somebody who has not said who they are. */
  readonly callerName: string;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

/** What whoever holds the upload answered; it goes to the client as it is. */
export interface UploadAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body?: Buffer;
}

/** Knows where uploads are that another registry of the same kind holds. */
export interface UploadForwarder {
  /**
   * Has a request answered by the registry that holds its upload; `undefined` when that is this one, or nobody knows.
   * @throws UploadNotFoundError when its registry is lost, UnavailableError when that does not answer now
   */
  forward(request: UploadRequest): Promise<UploadAnswer | undefined>;
}
