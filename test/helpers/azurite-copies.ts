import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { azuriteAccount } from './azurite.ts';
import type { Interception } from './fault-proxy.ts';

/**
 * Does for a proxy what Azurite answers with 501: Put Block From URL, by a read and a Put Block. Other requests are left to
 * the proxy.
 */
export function putBlocksFromUrls(azuriteUrl: string): Interception {
  const { accountname, accountkey } = azuriteAccount;
  const service = new BlobServiceClient(azuriteUrl, new StorageSharedKeyCredential(accountname, accountkey));
  return async (request, answer) => {
    const from = request.headers['x-ms-copy-source'];
    if (from === undefined || !request.url?.includes('comp=block&')) return false;
    const url = new URL(request.url, azuriteUrl);
    const source = await fetch(String(from), {
      headers: { 'x-ms-range': String(request.headers['x-ms-source-range']), 'x-ms-version': '2021-08-06' },
    });
    if (!source.ok) {
      answer.writeHead(source.status, { 'x-ms-error-code': 'CannotVerifyCopySource' }).end();
      return true;
    }
    const bytes = Buffer.from(await source.arrayBuffer());
    const [, , container = '', ...name] = decodeURIComponent(url.pathname).split('/');
    const blob = service.getContainerClient(container).getBlockBlobClient(name.join('/'));
    await blob.stageBlock(url.searchParams.get('blockid') ?? '', bytes, bytes.length);
    answer.writeHead(201).end();
    return true;
  };
}
