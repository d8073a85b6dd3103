import Fastify from 'fastify';
import { Registry } from 'prom-client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { registerRegistry } from '../../src/registry/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { bytesOf, TestClient } from './client.ts';
import { memoryDriver, serveRegistry } from './running-registry.ts';

describe('registerRegistry', () => {
  it('leaves the parsers, errors and other routes of its server alone', async () => {
    const app = Fastify({ forceCloseConnections: true });
    onTestFinished(() => app.close());
    app.setErrorHandler((error, _request, reply) => reply.code(418).send({ host: (error as Error).message }));
    app.addContentTypeParser('*', (_request, _payload, done) => done(new Error('the parser of the host')));
    app.post('/echo', async (request) => request.body);
    app.get('/fail', async () => Promise.reject(new Error('of the host')));
    await registerRegistry(app, { driver: await memoryDriver(), logger: testLogger() });
    const address = await app.listen({ host: '127.0.0.1', port: 0 });
    const client = new TestClient(address);

    const json = { body: '{"a":1}', headers: { 'content-type': 'application/json' } };
    expect(JSON.parse((await client.call('POST', '/echo', json)).body.toString())).toEqual({ a: 1 });
    const failed = await client.call('GET', '/fail');
    expect([failed.status, failed.body.toString()]).toEqual([418, '{"host":"of the host"}']);
    expect(failed.headers.get('docker-distribution-api-version')).toBe(null);
    const image = await client.putImage('a', ['v1']);
    expect((await client.call('GET', '/v2/a/manifests/v1')).body.equals(image.bytes)).toBe(true);
  });

  it('takes a JSON blob of any size as it comes', async () => {
    const { client } = await serveRegistry(await memoryDriver());
    const blob = Buffer.from(JSON.stringify({ text: 'x'.repeat(2_000_000) }));
    const location = await client.begin('a');
    const headers = { 'content-type': 'application/json' };
    const put = await client.call('PUT', `${location}?digest=${hashBytes(blob)}`, { body: blob, headers });
    expect(put.status).toBe(201);
    expect((await client.call('GET', `/v2/a/blobs/${hashBytes(blob)}`)).body.equals(blob)).toBe(true);
  });

  it('answers a Content-Type that is none in the form of the API', async () => {
    const { client } = await serveRegistry(await memoryDriver());
    const headers = { 'content-type': 'nonsense' };
    const answer = await client.call('PATCH', await client.begin('a'), { body: 'x', headers });
    expect([answer.status, ...answer.codes]).toEqual([415, 'UNSUPPORTED']);
  });

  it('takes no writes when it is read-only, and says where to write', async () => {
    const driver = await memoryDriver();
    const writable = await serveRegistry(driver);
    const { digest } = await writable.client.putImage('a', ['v1']);
    const upload = await writable.client.begin('a');
    const readOnly = { message: 'this agent is read-only: push to http://proxy.example:15000' };
    const { client } = await serveRegistry(driver, { readOnly });
    for (const [method, path] of [
      ['POST', '/v2/a/blobs/uploads/'],
      ['PATCH', upload],
      ['PUT', `${upload}?digest=${digest}`],
      ['PUT', '/v2/a/manifests/v1'],
      ['DELETE', '/v2/a/manifests/v1'],
      ['DELETE', `/v2/a/blobs/${digest}`],
    ] as const) {
      const answer = await client.call(method, path, method === 'DELETE' ? {} : { body: 'x' });
      expect([method, answer.status, ...answer.codes]).toEqual([method, 405, 'UNSUPPORTED']);
      expect(answer.body.toString()).toContain(readOnly.message);
      expect(answer.headers.get('allow')).toBe('GET, HEAD');
    }
    expect((await client.call('GET', '/v2/a/manifests/v1')).status).toBe(200);
  });

  it('puts its base URL before every Location', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { baseUrl: 'https://registry.example/hub' });
    const begun = await client.call('POST', '/v2/a/blobs/uploads/');
    expect(begun.headers.get('location')).toMatch(/^https:\/\/registry\.example\/hub\/v2\/a\/blobs\/uploads\//);
  });

  it('takes ids for uploads from whoever composes it', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { newUploadId: () => 'proxy-1_x' } });
    expect(await client.begin('a')).toBe('/v2/a/blobs/uploads/proxy-1_x');
  });

  it('counts and times requests by route, method and status', async () => {
    const metrics = new Registry();
    const { client } = await serveRegistry(await memoryDriver(), { metrics });
    const digest = await client.putBlob('a', bytesOf('metrics', 10));
    await client.call('GET', `/v2/a/blobs/${digest}`);
    await client.call('HEAD', '/v2/a/manifests/none');
    await client.call('GET', '/v2/nothing');
    await expect.poll(() => metrics.metrics()).toContain('route="unknown",method="GET",status="404"} 1');
    const text = await metrics.metrics();
    expect(text).toContain('shoal_registry_requests_total{route="blob",method="GET",status="200"} 1');
    expect(text).toContain('shoal_registry_requests_total{route="upload",method="PUT",status="201"} 1');
    expect(text).toContain('shoal_registry_requests_total{route="manifest",method="HEAD",status="404"} 1');
    expect(text).toContain('shoal_registry_request_duration_seconds_count{route="uploads",method="POST"} 1');
  });
});
