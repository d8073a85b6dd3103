import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { azuriteAccount } from '../helpers/azurite.ts';

/** What a test does with a request on its way to Azurite; `true` when it has been dealt with. */
export type Interception = (request: IncomingMessage, response: ServerResponse) => Promise<boolean> | boolean;

/** A proxy in front of Azurite. */
export interface AzureProxy {
  readonly serviceUrl: string;
  /** What is done with requests before they are passed on. */
  intercept: Interception | undefined;
  /** What is done with an answer: passes on so many bytes of the body, then cuts the connection. */
  cutBodyAfter: number | undefined;
  close(): Promise<void>;
}

/**
 * Stands in front of Azurite, to break connections, and to do what Azurite does not: Put Block From URL, which it answers with
 * 501, is done here by a read and a Put Block.
 */
export async function startAzureProxy(azuriteUrl: string): Promise<AzureProxy> {
  const { accountname, accountkey } = azuriteAccount;
  const service = new BlobServiceClient(azuriteUrl, new StorageSharedKeyCredential(accountname, accountkey));
  const target = new URL(azuriteUrl);
  const server = createServer((incoming, response) => {
    handle(incoming, response).catch(() => response.destroy());
  });

  const handle = async (incoming: IncomingMessage, response: ServerResponse) => {
    if (proxy.intercept !== undefined && (await proxy.intercept(incoming, response))) return;
    if (incoming.headers['x-ms-copy-source'] !== undefined && incoming.url?.includes('comp=block&')) {
      await putBlockFromUrl(incoming, response);
      return;
    }
    pass(incoming, response);
  };

  const putBlockFromUrl = async (incoming: IncomingMessage, response: ServerResponse) => {
    const url = new URL(incoming.url ?? '', azuriteUrl);
    const source = await fetch(String(incoming.headers['x-ms-copy-source']), {
      headers: { 'x-ms-range': String(incoming.headers['x-ms-source-range']), 'x-ms-version': '2021-08-06' },
    });
    if (!source.ok) {
      response.writeHead(source.status, { 'x-ms-error-code': 'CannotVerifyCopySource' }).end();
      return;
    }
    const bytes = Buffer.from(await source.arrayBuffer());
    const [, , container = '', ...name] = decodeURIComponent(url.pathname).split('/');
    const blob = service.getContainerClient(container).getBlockBlobClient(name.join('/'));
    await blob.stageBlock(url.searchParams.get('blockid') ?? '', bytes, bytes.length);
    response.writeHead(201).end();
  };

  const pass = (incoming: IncomingMessage, response: ServerResponse) => {
    const { method, url, headers } = incoming;
    const outgoing = send({ host: target.hostname, port: target.port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (proxy.cutBodyAfter !== undefined && method === 'GET') {
        let left = proxy.cutBodyAfter;
        answer.on('data', (chunk: Buffer) => {
          response.write(chunk.subarray(0, left), () => {
            if (left <= 0) response.destroy();
          });
          left -= chunk.length;
        });
        answer.on('end', () => response.end());
      } else answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  };

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const proxy: AzureProxy = {
    serviceUrl: `http://127.0.0.1:${port}${target.pathname}`,
    intercept: undefined,
    cutBodyAfter: undefined,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return proxy;
}
