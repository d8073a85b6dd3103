import type { Descriptor } from '../core/index.ts';
import { mediaTypes } from '../core/index.ts';
import type { RegistryEvent } from '../registry/index.ts';

/** The media type of an envelope of events, as distribution has it since version 3; that of version 2 differs in name only. */
export const EVENTS_MEDIA_TYPE = 'application/vnd.docker.distribution.events.v2+json';

/** Who tells of an event, and how its URLs begin. */
export interface EventSource {
  /** Host and port of this registry, as its operators know it. */
  readonly address: string;
  /** Another one after each start. */
  readonly instanceId: string;
  /** Of the requests that reach this program. */
  readonly scheme: 'http' | 'https';
  /** In the place of scheme and host of the request. */
  readonly baseUrl: string | undefined;
}

/**
 * An event in the JSON of distribution (its `notifications/event.go`, version 2.8): the same names in the same order, and a
 * field without a value is left out. `id` is the same each time that the event is sent.
 */
export function renderEvent(
  event: RegistryEvent,
  id: string,
  { source, includeReferences }: { readonly source: EventSource; readonly includeReferences: boolean },
): string {
  const { request, actor } = event;
  return JSON.stringify({
    id,
    timestamp: new Date(event.timeMs).toISOString(),
    action: event.action,
    target: targetOf(event, source, includeReferences),
    request: {
      id: request.id,
      addr: request.addr,
      host: orNothing(request.host),
      method: request.method,
      useragent: request.userAgent,
    },
    actor: { name: orNothing(actor) },
    source: { addr: source.address, instanceID: source.instanceId },
  });
}

/** Several events as one request has them. */
export function renderEnvelope(events: readonly string[]): string {
  return `{"events":[${events.join(',')}]}`;
}

/** The media type that a receiver is told; `undefined` for what was deleted. */
export function targetMediaType({ action, kind, mediaType }: RegistryEvent): string | undefined {
  if (action === 'delete') return undefined;
  return mediaType ?? (kind === 'blob' ? mediaTypes.octetStream : undefined);
}

function targetOf(event: RegistryEvent, source: EventSource, includeReferences: boolean): object {
  const { repository, digest, tag, action } = event;
  // A deletion says no more than what is gone: a repository, a tag of it, or a digest in it.
  if (action === 'delete') return { digest, repository, tag };
  const size = event.sizeBytes === 0 ? undefined : event.sizeBytes;
  return {
    mediaType: targetMediaType(event),
    size,
    digest,
    length: size,
    repository,
    fromRepository: event.from,
    url: urlOf(event, source),
    tag,
    references: includeReferences ? referencesOf(event.references) : undefined,
  };
}

function urlOf({ kind, repository, digest, request }: RegistryEvent, source: EventSource): string | undefined {
  if (digest === undefined) return undefined;
  const path = `/v2/${repository}/${kind === 'blob' ? 'blobs' : 'manifests'}/${digest}`;
  if (source.baseUrl !== undefined) return source.baseUrl.replace(/\/$/, '') + path;
  // HTTP/1.0 has no Host; a path is what distribution gives too, when it is set up for relative URLs.
  return request.host === '' ? path : `${source.scheme}://${request.host}${path}`;
}

function referencesOf(references: readonly Descriptor[] | undefined): object[] | undefined {
  if (references === undefined || references.length === 0) return undefined;
  return references.map(({ mediaType, sizeBytes, digest }) => ({
    mediaType,
    size: sizeBytes === 0 ? undefined : sizeBytes,
    digest,
  }));
}

function orNothing(text: string): string | undefined {
  return text === '' ? undefined : text;
}
