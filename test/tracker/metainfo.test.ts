import { createHash } from 'node:crypto';
import bencode from 'bencode';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  announceKeyOf,
  BlobNotFoundError,
  type Digest,
  decodeMetainfo,
  InvalidDigestError,
  infoHashOf,
  UnavailableError,
} from '../../src/core/index.ts';
import { makeBlob } from './blobs.ts';
import { rawGet } from './foreign-client.ts';
import { OriginStandIn, SECRET, startTracker, TOKEN } from './running-tracker.ts';

const small = makeBlob('small', 5_000);
const large = makeBlob('large', 300_000);
const long = makeBlob('sha512', 100_000, 'sha512');
const authorised = { authorization: `Bearer ${TOKEN}` };

async function startBoth(config: object = {}) {
  const origin = await OriginStandIn.start([small, large, long]);
  return { origin, ...(await startTracker({ originUrls: [origin.url], config })) };
}

describe('GET /v1/blobs/<digest>/metainfo', () => {
  it.each([
    ['a large blob', large],
    ['a blob with a sha512 digest', long],
  ])('answers the metainfo of %s', async (_name, { digest, metainfo }) => {
    const { client } = await startBoth();
    const answer = await client.metainfo(digest);
    expect(decodeMetainfo(answer.metainfo)).toEqual(metainfo);
    expect(answer.blob).toBeUndefined();
  });

  it('sends a small blob along', async () => {
    const { client } = await startBoth();
    expect((await client.metainfo(small.digest)).blob).toEqual(small.bytes);
  });

  it('asks the origin once for many at the same time, and then from memory', async () => {
    const { client, origin, port } = await startBoth();
    const release = origin.hold();
    const answers = Promise.all(Array.from({ length: 40 }, () => client.metainfo(large.digest)));
    await vi.waitUntil(() => origin.asked.length > 0);
    release();
    for (const { metainfo } of await answers) expect(decodeMetainfo(metainfo)).toEqual(large.metainfo);
    await client.metainfo(large.digest);
    expect(origin.asked).toEqual([large.digest]);
    const text = (await rawGet(port, '/metrics')).body.toString();
    const count = (result: string) => {
      return Number(new RegExp(`shoal_tracker_metainfo_requests_total\\{result="${result}"\\} (\\d+)`).exec(text)?.[1]);
    };
    expect(count('hit')).toBeGreaterThanOrEqual(1);
    expect(count('hit') + count('miss')).toBe(41);
  });

  it('says that a blob is not there, each time anew', async () => {
    const { client, origin } = await startBoth();
    const { digest } = makeBlob('missing', 10);
    await expect(client.metainfo(digest)).rejects.toBeInstanceOf(BlobNotFoundError);
    await expect(client.metainfo(digest)).rejects.toBeInstanceOf(BlobNotFoundError);
    expect(origin.asked).toHaveLength(2);
  });

  it('is unavailable without an origin that answers', async () => {
    const { client } = await startTracker({ originUrls: ['http://127.0.0.1:1'] });
    await expect(client.metainfo(large.digest)).rejects.toBeInstanceOf(UnavailableError);
  });

  it('refuses what is no digest', async () => {
    const { client } = await startBoth();
    await expect(client.metainfo('sha256:abc' as Digest)).rejects.toBeInstanceOf(InvalidDigestError);
  });

  it('gives up at the origin when the only caller goes away', async () => {
    const { client, origin } = await startBoth();
    const release = origin.hold();
    onTestFinished(release);
    const away = new AbortController();
    const asked = client.metainfo(large.digest, away.signal);
    await vi.waitUntil(() => origin.asked.length === 1);
    away.abort(new Error('gone'));
    await expect(asked).rejects.toThrow('gone');
    await vi.waitUntil(() => origin.abandoned === 1);
  });

  it('asks for the token', async () => {
    const { url } = await startBoth();
    for (const part of ['metainfo', 'torrent']) {
      expect((await fetch(`${url}/v1/blobs/${large.digest}/${part}`)).status).toBe(401);
    }
  });
});

describe('GET /v1/blobs/<digest>/torrent', () => {
  const key = announceKeyOf(infoHashOf(large.metainfo), SECRET);
  const read = async (response: Response) => {
    const bytes = Buffer.from(await response.arrayBuffer());
    const torrent = bencode.decode(bytes) as { announce: Uint8Array; info: Record<string, unknown> };
    return { bytes, announce: Buffer.from(torrent.announce).toString(), info: torrent.info };
  };

  it('answers a .torrent file that leads back to this tracker', async () => {
    const { url } = await startBoth();
    const response = await fetch(`${url}/v1/blobs/${large.digest}/torrent`, { headers: authorised });
    expect(response.headers.get('content-type')).toBe('application/x-bittorrent');
    expect(response.headers.get('content-disposition')).toContain(`${large.digest.slice(7)}.torrent`);
    const { bytes, announce, info } = await read(response);
    expect(announce).toBe(`${url}/announce/${key}`);
    expect(info['length']).toBe(300_000);
    // The info part stands in the file as it is hashed: a client finds the same info hash.
    const start = bytes.indexOf('4:info') + '4:info'.length;
    const hash = createHash('sha1').update(bytes.subarray(start, -1)).digest('hex');
    expect(hash).toBe(infoHashOf(large.metainfo));
  });

  it('uses the public URL when there is one', async () => {
    const { url } = await startBoth({ publicUrl: 'https://tracker.example/shoal/' });
    const response = await fetch(`${url}/v1/blobs/${large.digest}/torrent`, { headers: authorised });
    expect((await read(response)).announce).toBe(`https://tracker.example/shoal/announce/${key}`);
  });

  it.each(['tracker.example/path', 'user@tracker.example', 'tracker example'])(
    'takes no %j from the Host header',
    async (name) => {
      const { port } = await startBoth();
      const answer = await rawGet(port, `/v1/blobs/${large.digest}/torrent`, {
        headers: { ...authorised, host: name },
      });
      expect(answer.status).toBe(400);
    },
  );

  it('takes a name and an IPv6 address from the Host header', async () => {
    const { port } = await startBoth();
    for (const name of ['tracker.example', 'tracker.example:15003', '[fd00::1]:15003']) {
      const answer = await rawGet(port, `/v1/blobs/${large.digest}/torrent`, {
        headers: { ...authorised, host: name },
      });
      expect(answer.body.toString('latin1')).toContain(`http://${name}/announce/${key}`);
    }
  });
});
