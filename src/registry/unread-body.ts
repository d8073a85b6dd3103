import type { IncomingMessage } from 'node:http';

/** How long a client may go on sending a body that nobody reads any more; to read the answer takes it less. */
const LINGER_MS = 5_000;

/**
 * Ends a connection whose request was answered before the end of its body, such as a chunk at the wrong place. What still
 * comes is thrown away for a moment, because a connection that is cut at once takes the answer along (RFC 9112,
 * section 9.6); a client that has not ended its body by then loses the connection instead of keeping it for ever.
 */
export function endUnreadBody(request: IncomingMessage, idleTimeoutMs: number): void {
  if (request.complete || request.destroyed) return;
  const timer = setTimeout(() => request.socket.destroy(), Math.min(LINGER_MS, idleTimeoutMs));
  const stop = () => clearTimeout(timer);
  request.once('end', stop).once('close', stop);
  // The connection that is cut has nothing to report.
  request.on('error', stop);
  request.resume();
}
