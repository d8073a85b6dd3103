import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { BadRequestError, type LentRuns, parseRepository, takeLentRuns } from '../../core/index.ts';
import type { CallContext, PutCondition, StorageDriver } from '../storage-driver.ts';
import { answerJson, answerLines } from './answers.ts';
import { type DriverInfo, formatFileInfo, formatInfo } from './protocol.ts';
import type { ServedWriters } from './served-writers.ts';

/** One call as it came in. */
export interface ServedCall {
  readonly driver: StorageDriver;
  readonly info: DriverInfo;
  readonly writers: ServedWriters;
  readonly maxContentBytes: number;
  readonly query: URLSearchParams;
  /** The parts of the path behind `/v1/writers/`. */
  readonly writerId: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Its signal aborts when the client has gone. */
  readonly context: CallContext & { readonly signal: AbortSignal };
}

type Serve = (call: ServedCall) => Promise<void>;

/** What a driver program answers to, by method and path behind `/v1/`; `{id}` is a writer. */
export const servedCalls: ReadonlyMap<string, Serve> = new Map<string, Serve>([
  ['GET info', async ({ response, info }) => answerJson(response, 200, formatInfo(info))],
  [
    'GET health',
    async ({ response, driver, context }) => {
      await driver.stat('/', context).catch(ignoreMissingRoot);
      answerJson(response, 200, '{}');
    },
  ],
  ['GET content', getContent],
  ['PUT content', putContent],
  ['GET stream', stream],
  ['POST writers', openWriter],
  ['GET writers/{id}', async ({ response, writers, writerId }) => answerState(response, await writers.look(writerId))],
  ['PATCH writers/{id}', write],
  [
    'DELETE writers/{id}',
    async ({ response, writers, writerId }) => answerState(response, await writers.cancel(writerId)),
  ],
  [
    'POST writers/{id}/commit',
    async ({ response, writers, writerId }) => answerState(response, await writers.commit(writerId)),
  ],
  [
    'POST writers/{id}/close',
    async ({ response, writers, writerId }) => answerState(response, await writers.close(writerId)),
  ],
  [
    'GET stat',
    async ({ driver, query, context, response }) =>
      answerJson(response, 200, JSON.stringify(formatFileInfo(await driver.stat(pathOf(query), context)))),
  ],
  ['GET list', list],
  ['GET walk', walk],
  [
    'POST move',
    async ({ driver, query, context, response }) => {
      await driver.move(pathOf(query, 'source'), pathOf(query, 'destination'), context);
      answerNothing(response);
    },
  ],
  [
    'DELETE object',
    async ({ driver, query, context, response }) => {
      await driver.delete(pathOf(query), context);
      answerNothing(response);
    },
  ],
  [
    'POST redirect-url',
    async ({ driver, query, context, response }) => {
      const url = await driver.redirectURL(pathOf(query), { method: query.get('method') ?? 'GET' }, context);
      answerJson(response, 200, JSON.stringify({ url: url ?? null }));
    },
  ],
]);

/** Where the bytes of a call's repository are looked for. @throws InvalidRepositoryError */
export function contextOf(query: URLSearchParams, signal: AbortSignal): ServedCall['context'] {
  const repository = query.get('repository');
  return repository === null ? { signal } : { signal, repository: parseRepository(repository) };
}

async function getContent({ driver, query, context, response }: ServedCall): Promise<void> {
  const content = await driver.getContent(pathOf(query), context);
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': content.length });
  response.end(content);
}

async function putContent(call: ServedCall): Promise<void> {
  const { driver, query, context, response } = call;
  const path = pathOf(query);
  const condition = conditionOf(query);
  const content = await readBody(call);
  if (condition === undefined) await driver.putContent(path, content, context);
  else await driver.putContentIf(path, content, condition, context);
  answerNothing(response);
}

async function stream({ driver, query, context, response }: ServedCall): Promise<void> {
  const length = query.get('length');
  const range = { offset: numberOf(query.get('offset') ?? '0'), ...(length !== null && { length: numberOf(length) }) };
  const source = await driver.reader(pathOf(query), range, context);
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  // On an error both destroy the response: the connection ends without a last chunk, and the client sees that.
  const lent = takeLentRuns(source);
  if (lent === undefined) await pipeline(source, response);
  else await sendLent(lent, response);
}

/** Sends bytes from memory that is used again: one part is on its way while the next is read. */
async function sendLent(runs: LentRuns, response: ServerResponse): Promise<void> {
  const closed = new Promise<void>((resolve) => response.once('close', resolve));
  for await (const run of runs) {
    // Each part is given back by its own write, whatever becomes of that.
    const sent = run.map((part) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const release = () => {
        part.release();
        resolve();
      };
      response.write(part.bytes, release);
      return promise;
    });
    await Promise.race([Promise.all(sent), closed]);
    if (response.destroyed) return;
  }
  response.end();
}

async function openWriter({ driver, writers, query, context, response }: ServedCall): Promise<void> {
  const path = pathOf(query);
  writers.requireRoom(path);
  const writer = await driver.writer(path, { append: query.get('append') === 'true' }, context);
  if (context.signal.aborted) {
    // Nobody will ever learn its id.
    await writer.close();
    return;
  }
  answerState(response, writers.add(writer, path), 201);
}

async function write({ writers, writerId, request, response }: ServedCall): Promise<void> {
  const offset = numberOf(request.headers['x-offset']?.toString() ?? '');
  if (!Number.isSafeInteger(offset)) throw new BadRequestError('expected a header X-Offset with a number of bytes');
  answerState(response, await writers.write(writerId, offset, request));
}

async function list({ driver, query, context, response }: ServedCall): Promise<void> {
  const [after, limit] = [query.get('after'), query.get('limit')];
  const page = { ...(after !== null && { after }), ...(limit !== null && { limit: numberOf(limit) }) };
  await answerLines(response, driver.list(pathOf(query), page, context), (path) => ({ path }));
}

async function walk({ driver, query, context, response }: ServedCall): Promise<void> {
  const startAfter = query.get('startAfter');
  const options = startAfter === null ? {} : { startAfter };
  await answerLines(response, driver.walk(pathOf(query), options, context), formatFileInfo);
}

/** The whole body, which has to say how long it is: what was cut on the way must not be put. @throws BadRequestError */
async function readBody({ request, maxContentBytes }: ServedCall): Promise<Buffer> {
  const length = Number(request.headers['content-length'] ?? Number.NaN);
  if (!Number.isSafeInteger(length) || length > maxContentBytes) {
    throw new BadRequestError(
      `expected a Content-Length of ${maxContentBytes} at most, got ${length}; larger objects go through a writer`,
    );
  }
  const body = Buffer.allocUnsafeSlow(length);
  let received = 0;
  for await (const chunk of request) received += (chunk as Buffer).copy(body, received);
  if (received !== length) throw new BadRequestError(`expected a body of ${length} bytes, got ${received}`);
  return body;
}

function conditionOf(query: URLSearchParams): PutCondition | undefined {
  const ifMatch = query.get('ifMatch');
  if (ifMatch !== null) return { ifMatch };
  return query.get('ifAbsent') === 'true' ? { ifAbsent: true } : undefined;
}

/** The driver checks it. */
function pathOf(query: URLSearchParams, name = 'path'): string {
  return query.get(name) ?? '';
}

/** What is no number stays none, and the driver says so. */
function numberOf(text: string): number {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
}

function answerNothing(response: ServerResponse): void {
  response.writeHead(204).end();
}

function answerState(response: ServerResponse, state: object, status = 200): void {
  answerJson(response, status, JSON.stringify(state));
}

function ignoreMissingRoot(error: unknown): void {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'PATH_NOT_FOUND') throw error;
}
