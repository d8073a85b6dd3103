import { Agent, request } from 'node:http';

/** A request as it goes over the wire: the path is sent as it stands, and no header is added but those of HTTP itself. */
export interface PlainRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: Uint8Array;
  /** Sends the body without saying its length. */
  readonly chunked?: boolean;
}

/** What came back. */
export interface PlainAnswer {
  readonly status: number;
  /** Names in lower case; several of one name joined with ", ". */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** Sends requests to one server, one after the other over one connection as far as the server keeps it. */
export class PlainClient {
  readonly #url: URL;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(url: string) {
    this.#url = new URL(url);
  }

  send({ method, path, headers = {}, body, chunked = false }: PlainRequest): Promise<PlainAnswer> {
    const length = body === undefined || chunked ? {} : { 'content-length': String(body.length) };
    const { hostname, port } = this.#url;
    return new Promise((resolve, reject) => {
      const sent = request(
        { hostname, port, method, path, headers: { ...length, ...headers }, agent: this.#agent },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.once('error', reject);
          response.once('end', () => {
            const names = new Map<string, string>();
            for (let i = 0; i + 1 < response.rawHeaders.length; i += 2) {
              const name = response.rawHeaders[i]!.toLowerCase();
              const before = names.get(name);
              names.set(
                name,
                before === undefined ? response.rawHeaders[i + 1]! : `${before}, ${response.rawHeaders[i + 1]}`,
              );
            }
            resolve({ status: response.statusCode ?? 0, headers: names, body: Buffer.concat(chunks) });
          });
        },
      );
      sent.once('error', reject);
      if (body !== undefined && chunked) sent.write(body);
      sent.end(chunked ? undefined : body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
