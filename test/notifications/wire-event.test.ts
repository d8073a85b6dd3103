import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDigest, parseRepository, parseTag } from '../../src/core/index.ts';
import { renderEnvelope, renderEvent } from '../../src/notifications/wire-event.ts';
import type { RegistryEvent } from '../../src/registry/index.ts';
import { eventOf } from './sample-events.ts';

const source = { address: 'host:5000', instanceId: 'instance', scheme: 'http', baseUrl: undefined } as const;
const digest = parseDigest(`sha256:${'1'.repeat(64)}`);
const repository = parseRepository('team/app');
const timeMs = Date.parse('2026-05-04T10:00:00.123Z');
const anyText = fc.string({ unit: 'binary', maxLength: 20 });
const manifestType = 'application/vnd.oci.image.manifest.v1+json';

function render(event: RegistryEvent, more: { includeReferences?: boolean; scheme?: 'https'; baseUrl?: string } = {}) {
  const { includeReferences = false, ...rest } = more;
  return JSON.parse(renderEvent(event, 'event-id', { source: { ...source, ...rest }, includeReferences }));
}

describe('an event as a receiver gets it', () => {
  it('has the fields of distribution, in its order', () => {
    const event = eventOf('request-id', {
      kind: 'manifest',
      mediaType: manifestType,
      sizeBytes: 500,
      tag: parseTag('v1'),
      actor: 'alice',
      timeMs,
      references: [{ mediaType: 'application/x', digest, sizeBytes: 7, nonDistributable: false }],
    });
    const text = renderEvent(event, 'event-id', { source, includeReferences: true });
    const known = `sha256:${'a'.repeat(64)}`;
    expect(text).toBe(
      JSON.stringify({
        id: 'event-id',
        timestamp: '2026-05-04T10:00:00.123Z',
        action: 'push',
        target: {
          mediaType: manifestType,
          size: 500,
          digest: known,
          length: 500,
          repository: 'team/app',
          url: `http://registry.example/v2/team/app/manifests/${known}`,
          tag: 'v1',
          references: [{ mediaType: 'application/x', size: 7, digest }],
        },
        request: { id: 'request-id', addr: '127.0.0.1:1', host: 'registry.example', method: 'PUT', useragent: 'test' },
        actor: { name: 'alice' },
        source: { addr: 'host:5000', instanceID: 'instance' },
      }),
    );
  });

  it('leaves the references out unless they are asked for', () => {
    const references = [{ mediaType: 'application/x', digest, sizeBytes: 7, nonDistributable: false }];
    expect(render(eventOf('1', { references })).target).not.toHaveProperty('references');
    expect(render(eventOf('1', { references: [] }), { includeReferences: true }).target).not.toHaveProperty(
      'references',
    );
  });

  it.each<[string, Partial<RegistryEvent>, object]>([
    ['a manifest', { kind: 'manifest', digest }, { digest, repository }],
    ['a blob', { kind: 'blob', digest }, { digest, repository }],
    ['a tag', { kind: 'tag', tag: parseTag('v1') }, { repository, tag: 'v1' }],
    ['a repository', { kind: 'repository' }, { repository }],
  ])('says of the deletion of %s no more than what is gone', (_what, deed, target) => {
    const { request, timeMs: at, actor } = eventOf('1');
    expect(render({ repository, action: 'delete', kind: 'blob', request, timeMs: at, actor, ...deed }).target).toEqual(
      target,
    );
  });

  it('tells where a blob was mounted from, and gives blobs their media type', () => {
    const { mediaType: _none, ...event } = eventOf('1', { action: 'mount', from: parseRepository('other/app') });
    expect(render(event).target).toMatchObject({ mediaType: 'application/octet-stream', fromRepository: 'other/app' });
  });

  it.each([
    [{}, 'http://registry.example/v2/'],
    [{ scheme: 'https' } as const, 'https://registry.example/v2/'],
    [{ scheme: 'https', baseUrl: 'https://cdn.example:8443/' } as const, 'https://cdn.example:8443/v2/'],
  ])('builds its URL with %s', (settings, start) => {
    expect(render(eventOf('1'), settings).target.url).toBe(`${start}team/app/blobs/sha256:${'a'.repeat(64)}`);
  });

  it('has a path for a URL when the client has named no host', () => {
    const { request } = eventOf('1');
    const rendered = render(eventOf('1', { request: { ...request, host: '' } }));
    expect(rendered.target.url).toBe(`/v2/team/app/blobs/sha256:${'a'.repeat(64)}`);
    expect(rendered.request).not.toHaveProperty('host');
  });

  it('leaves out what is empty, as distribution does', () => {
    const rendered = render(eventOf('1', { sizeBytes: 0, actor: '' }));
    expect(rendered.target).not.toHaveProperty('size');
    expect(rendered.target).not.toHaveProperty('length');
    expect(rendered.actor).toEqual({});
  });

  it('stays JSON, whatever clients say of themselves', () => {
    fc.assert(
      fc.property(anyText, anyText, (userAgent, actor) => {
        const { request } = eventOf('1');
        const event = eventOf('1', { actor, request: { ...request, userAgent } });
        const text = renderEnvelope(
          [0, 1].map((id) => renderEvent(event, String(id), { source, includeReferences: false })),
        );
        const { events } = JSON.parse(text);
        expect(events.map(({ id }: { id: string }) => id)).toEqual(['0', '1']);
        expect(events[1].request.useragent).toBe(userAgent);
      }),
    );
  });
});
