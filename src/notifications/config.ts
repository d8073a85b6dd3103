import Type, { type Static } from 'typebox';
import { ConfigError } from '../core/index.ts';

/** One receiver of notifications. */
const NotificationEndpointSchema = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
      description:
        'Names its queue, its metrics and its lines in the log; each name once. Renaming it empties its queue.',
    }),
    url: Type.String({
      pattern: '^https?://[^/?#@\\s]+(/[^#\\s]*)?(\\?[^#\\s]*)?$',
      description: 'Where events are posted to. No user and password: a header from a file takes them.',
    }),
    headers: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'Headers of every request; none that hold secrets.',
    }),
    headerFiles: Type.Record(Type.String(), Type.String({ minLength: 1 }), {
      default: {},
      description: 'Headers whose value is a secret: the name, and the file that holds the whole value.',
    }),
    timeoutMs: Type.Integer({
      default: 5_000,
      minimum: 10,
      maximum: 300_000,
      unit: 'milliseconds',
      description: 'How long one request may take, from the connection to the answer.',
    }),
    initialBackoffMs: Type.Integer({
      default: 1_000,
      minimum: 1,
      unit: 'milliseconds',
      description: 'Wait after the first failure; it doubles with each further one.',
    }),
    maxBackoffMs: Type.Integer({
      default: 60_000,
      minimum: 1,
      unit: 'milliseconds',
      description: 'Longest wait between two tries; there is no last try.',
    }),
    maxRefusals: Type.Integer({
      default: 10,
      minimum: 0,
      maximum: 1_000,
      description: 'An event that is refused (4xx) this often by itself is dropped; 0 tries it for ever.',
    }),
    batchSize: Type.Integer({
      default: 50,
      minimum: 1,
      maximum: 1_000,
      description: 'Events in one request at most; 1 for receivers that look at the first one only.',
    }),
    includeReferences: Type.Boolean({
      default: false,
      description: 'Whether events of manifests list what the manifest consists of.',
    }),
    ignore: Type.Object(
      {
        mediaTypes: Type.Array(Type.String({ minLength: 1 }), {
          default: [],
          maxItems: 100,
          description: 'Media types of targets that are not told.',
        }),
        actions: Type.Array(Type.Enum(['push', 'pull', 'mount', 'delete']), {
          default: [],
          maxItems: 4,
          description: 'Actions that are not told.',
        }),
      },
      { additionalProperties: false, description: 'What this receiver is not told.' },
    ),
    disabled: Type.Boolean({
      default: false,
      description: 'Whether nothing is queued for it, and nothing sent; what is queued already stays.',
    }),
  },
  { additionalProperties: false, description: 'A receiver of notifications.' },
);
export type NotificationEndpointConfig = Static<typeof NotificationEndpointSchema>;

/** Whom to tell of pushes, pulls, mounts and deletions. */
export const NotificationsConfigSchema = Type.Object(
  {
    directory: Type.String({ minLength: 1, description: 'Folder of the queue on local disk; one program at a time.' }),
    baseUrl: Type.Optional(
      Type.String({
        pattern: '^https?://[^/?#@\\s]+/?$',
        description:
          'What the URLs in events begin with. Without it: the host that the client asked for, with `https` when this program ' +
          'has TLS itself.',
      }),
    ),
    maxQueuedEvents: Type.Integer({
      default: 100_000,
      minimum: 1,
      maximum: 10_000_000,
      description: 'Events that may wait for one endpoint; beyond it the oldest are dropped.',
    }),
    maxQueuedBytes: Type.Integer({
      default: 256 * 1024 ** 2,
      minimum: 64 * 1024,
      unit: 'bytes',
      description: 'What the events that wait for one endpoint may have together; beyond it the oldest are dropped.',
    }),
    maxAgeMs: Type.Optional(
      Type.Integer({
        minimum: 1_000,
        unit: 'milliseconds',
        description: 'Events that are older are dropped instead of sent. Without it none is too old.',
      }),
    ),
    endpoints: Type.Array(NotificationEndpointSchema, {
      default: [],
      maxItems: 32,
      description: 'The receivers; each has a queue of its own.',
    }),
  },
  { additionalProperties: false, description: 'Whom to tell of pushes, pulls, mounts and deletions.' },
);
export type NotificationsConfig = Static<typeof NotificationsConfigSchema>;

/** What the schema cannot say. @throws ConfigError */
export function checkEndpoints(endpoints: readonly NotificationEndpointConfig[]): void {
  const seen = new Set<string>();
  for (const { name, initialBackoffMs, maxBackoffMs } of endpoints) {
    if (seen.has(name)) throw new ConfigError(`notifications.endpoints: the name ${name} is there twice`, { name });
    seen.add(name);
    if (initialBackoffMs <= maxBackoffMs) continue;
    throw new ConfigError(
      `notifications.endpoints: ${name} has an initialBackoffMs of ${initialBackoffMs}, expected no more than its ` +
        `maxBackoffMs of ${maxBackoffMs}`,
      { name },
    );
  }
}
