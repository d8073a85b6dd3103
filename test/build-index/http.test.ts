import { connect } from 'node:net';
import { Registry } from 'prom-client';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BuildIndexConfigSchema, BuildIndexServer } from '../../src/build-index/index.ts';
import {
  LinkKindSchema,
  NamesAnswerSchema,
  RepositoryBlobAnswerSchema,
  TagBodySchema,
} from '../../src/build-index/protocol.ts';
import { ConfigError, hashBytes, parseRepository, parseTag, UnavailableError } from '../../src/core/index.ts';
import { defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';
import { OriginCluster } from '../../src/origin/client.ts';
import { testLogger } from '../helpers/logger.ts';
import { addImage, CLUSTER_TOKEN, linkImage, startBuildIndex, startOrigin } from './cluster.ts';

const repository = parseRepository('team/app');
const tag = parseTag('v1');
const digest = hashBytes(Buffer.from('x'));
const authorization = `Bearer ${CLUSTER_TOKEN}`;

describe('requests', () => {
  const refused: readonly (readonly [string, string, string, string])[] = [
    ['no repository', 'GET', '/v1/tag?tag=v1', 'BAD_REQUEST'],
    ['no tag', 'GET', '/v1/tag?repository=a', 'BAD_REQUEST'],
    ['two repositories', 'GET', '/v1/tags?repository=a&repository=b', 'BAD_REQUEST'],
    ['a repository that climbs', 'GET', '/v1/tags?repository=a/../b', 'NAME_INVALID'],
    ['an empty repository', 'GET', '/v1/tags?repository=', 'NAME_INVALID'],
    ['a tag that is none', 'GET', '/v1/tag?repository=a&tag=-', 'TAG_INVALID'],
    ['a digest that is none', 'GET', '/v1/blob?repository=a&digest=sha256:abc', 'DIGEST_INVALID'],
    ['no digest', 'GET', '/v1/blob?repository=a', 'BAD_REQUEST'],
    ['a subject that is none', 'GET', '/v1/referrers?repository=a&subject=x', 'DIGEST_INVALID'],
    ['an unknown kind of link', 'PUT', `/v1/link?repository=a&kind=config&digest=${digest}`, 'BAD_REQUEST'],
    ['no kind of link', 'DELETE', `/v1/link?repository=a&digest=${digest}`, 'BAD_REQUEST'],
    ['a limit of nothing', 'GET', '/v1/repositories?limit=0', 'BAD_REQUEST'],
    ['a negative limit', 'GET', '/v1/repositories?limit=-1', 'BAD_REQUEST'],
    ['a limit that is no number', 'GET', '/v1/repositories?limit=1e3', 'BAD_REQUEST'],
    ['an endless limit', 'GET', '/v1/repositories?limit=99999999999999999999', 'BAD_REQUEST'],
    ['an endless name', 'GET', `/v1/repositories?after=${'a'.repeat(600)}`, 'BAD_REQUEST'],
    ['no body', 'PUT', '/v1/tag?repository=a&tag=v1', 'BAD_REQUEST'],
    ['no route', 'GET', '/v1/nothing', 'BAD_REQUEST'],
    ['a method that a route has not', 'DELETE', '/v1/tags?repository=a', 'BAD_REQUEST'],
  ];

  it('are refused with the code of what is wrong', async () => {
    const { baseUrl } = await startBuildIndex();
    for (const [what, method, path, code] of refused) {
      const answer = await fetch(`${baseUrl}${path}`, { method, headers: { authorization } });
      expect([what, answer.status >= 400 && answer.status < 500, await answer.json()]).toMatchObject([
        what,
        true,
        { code },
      ]);
    }
  });

  it.each(['{}', '[]', 'null', '{"digest":7}', `{"digest":"${digest}","more":1}`, '{"digest":"sha256:abc"}', '{'])(
    'with the body %s set no tag',
    async (body) => {
      const { baseUrl } = await startBuildIndex();
      const headers = { authorization, 'content-type': 'application/json' };
      const answer = await fetch(`${baseUrl}/v1/tag?repository=a&tag=v1`, { method: 'PUT', headers, body });
      expect(answer.status).toBe(400);
    },
  );

  it.each([
    ['none', {}],
    ['another one', { authorization: 'Bearer another-token' }],
    ['another scheme', { authorization: `Basic ${CLUSTER_TOKEN}` }],
  ])('without the cluster token are refused: %s', async (_what, headers) => {
    const { baseUrl } = await startBuildIndex();
    for (const path of ['/v1/tag?repository=a&tag=v1', '/v1/repositories', `/v1/blob?repository=a&digest=${digest}`]) {
      const answer = await fetch(`${baseUrl}${path}`, { headers });
      expect([answer.status, await answer.json()]).toMatchObject([401, { code: 'UNAUTHORIZED' }]);
    }
  });

  it('are counted by route and result', async () => {
    const { client, metrics, origin } = await startBuildIndex();
    await linkImage(client, repository, addImage(origin, 'one', { layers: 1 }));
    await client.getTag(repository, tag).catch(() => {});
    const text = await metrics.metrics();
    expect(text).toContain('shoal_build_index_requests_total{route="PUT /v1/link",result="ok"} 3');
    expect(text).toContain('shoal_build_index_requests_total{route="GET /v1/tag",result="TAG_NOT_FOUND"} 1');
    expect(text).toContain('shoal_build_index_request_seconds_count{route="GET /v1/tag"} 1');
  });
});

/** A driver whose `stat` waits until it is let go, or its signal aborts. */
function holding(driver: StorageDriver) {
  const { promise: entered, resolve: enter } = Promise.withResolvers<AbortSignal>();
  const held = new Proxy(driver, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (key !== 'stat') return typeof value === 'function' ? value.bind(target) : value;
      return async (_path: string, context: { signal: AbortSignal }) => {
        enter(context.signal);
        await new Promise((_resolve, reject) => {
          context.signal.addEventListener('abort', () => reject(context.signal.reason as Error), { once: true });
        });
      };
    },
  });
  return { held, entered };
}

describe('answers', () => {
  const forms: readonly (readonly [string, TSchema])[] = [
    ['/v1/tag?repository=team/app&tag=v1', TagBodySchema],
    ['/v1/tags?repository=team/app', NamesAnswerSchema],
    ['/v1/repositories', NamesAnswerSchema],
    ['/v1/blob?repository=team/app', RepositoryBlobAnswerSchema],
    ['/v1/referrers?repository=team/app', NamesAnswerSchema],
  ];

  it('have the forms that the protocol gives', async () => {
    const { client, baseUrl, origin } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    await client.putTag(repository, tag, image.manifest);
    for (const [path, schema] of forms) {
      const url = new URL(path, baseUrl);
      url.searchParams.set('digest', image.manifest);
      url.searchParams.set('subject', image.manifest);
      const body: unknown = await (await fetch(url, { headers: { authorization } })).json();
      expect([path, body, Value.Check(schema, body)]).toEqual([path, body, true]);
    }
  });
});

/** A kind of link that the protocol has and the query does not read, or the other way round, fails here. */
describe('kinds of links', () => {
  it.each(['layer', 'revision', 'config', ''])('are read as the protocol lists them: %j', async (kind) => {
    const { baseUrl } = await startBuildIndex();
    const url = `${baseUrl}/v1/link?repository=a&kind=${kind}&digest=${digest}`;
    const { status } = await fetch(url, { method: 'PUT', headers: { authorization } });
    expect(status === 204).toBe(Value.Check(LinkKindSchema, kind));
  });
});

describe('a call under way', () => {
  it('ends when the caller hangs up', async () => {
    let entered: Promise<AbortSignal> | undefined;
    const { server } = await startBuildIndex({
      wrap: (driver) => {
        const holder = holding(driver);
        entered = holder.entered;
        return holder.held;
      },
    });
    const socket = connect(server.port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    const head = `GET /v1/blob?repository=a&digest=${digest} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n\r\n`;
    socket.write(head);
    const signal = await entered!;
    expect(signal.aborted).toBe(false);
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => resolve());
    socket.destroy();
    await aborted;
  });

  it('ends when the server closes, and is answered', async () => {
    let entered: Promise<AbortSignal> | undefined;
    const { server, client } = await startBuildIndex({
      wrap: (driver) => {
        const holder = holding(driver);
        entered = holder.entered;
        return holder.held;
      },
    });
    const call = expect(client.statBlob(repository, digest)).rejects.toThrow(UnavailableError);
    await entered;
    await server.close();
    await call;
  });
});

describe('the server', () => {
  it('names the port that is taken', async () => {
    const { server } = await startBuildIndex();
    const origin = await startOrigin();
    const origins = new OriginCluster({ baseUrls: [origin.baseUrl], clusterToken: CLUSTER_TOKEN });
    onTestFinished(() => origins.close());
    const backend = await defaultDriverFactory().create('inmemory', {});
    onTestFinished(() => backend.close());
    const start = BuildIndexServer.start(
      {
        listen: { host: '127.0.0.1', port: server.port },
        backend: { driver: 'inmemory', parameters: {} },
        origins: [],
        indexes: 'strict',
      },
      { logger: testLogger(), metrics: new Registry(), clusterToken: CLUSTER_TOKEN, backend, origins },
    );
    await expect(start).rejects.toThrow(ConfigError);
    await expect(start).rejects.toThrow(String(server.port));
  });

  it('has defaults for all of its settings', () => {
    expect(Value.Default(BuildIndexConfigSchema, {})).toEqual({
      listen: { host: 'localhost', port: 15004 },
      backend: { driver: 'filesystem', parameters: {} },
      indexes: 'strict',
      origins: [],
    });
  });

  it.each([
    { origin: [] },
    { origins: ['ftp://x'] },
    { origins: ['http://x/path'] },
    { listen: { host: 'localhost', port: 70_000 } },
    { backend: { driver: '', parameters: {} } },
  ])('refuses the settings %j', (fault) => {
    const good = {
      listen: { host: 'x', port: 1 },
      backend: { driver: 'x', parameters: {} },
      origins: ['http://x:1'],
      indexes: 'strict',
    };
    expect(Value.Check(BuildIndexConfigSchema, good)).toBe(true);
    expect(Value.Check(BuildIndexConfigSchema, { ...good, ...fault })).toBe(false);
  });

  it('tells whether it is alive and ready, without a token', async () => {
    const { baseUrl } = await startBuildIndex();
    for (const path of ['/healthz', '/readyz', '/metrics']) expect((await fetch(baseUrl + path)).status).toBe(200);
  });
});
