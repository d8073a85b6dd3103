import Type, { type Static } from 'typebox';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Garbage collection in the background of a registry. */
export const GcConfigSchema = Type.Object(
  {
    enabled: Type.Boolean({ default: false, description: 'Whether garbage is collected while the registry runs.' }),
    intervalMs: Type.Integer({
      default: DAY_MS,
      minimum: MINUTE_MS,
      // The longest that a timer of Node waits.
      maximum: 2 ** 31 - 1,
      unit: 'milliseconds',
      description: 'Time from the end of one collection to the begin of the next.',
    }),
    graceMs: Type.Integer({
      default: DAY_MS,
      minimum: 0,
      unit: 'milliseconds',
      description: 'What was written within this time is left alone; longer than the longest push.',
    }),
    quarantineMs: Type.Integer({
      default: DAY_MS,
      minimum: 15 * MINUTE_MS,
      unit: 'milliseconds',
      description: 'How long something stays in quarantine before it is deleted; longer than any request takes.',
    }),
    untagged: Type.Boolean({ default: false, description: 'Whether manifests go that no tag leads to.' }),
    maxOperationsPerSecond: Type.Integer({
      default: 500,
      minimum: 1,
      unit: 'operations a second',
      description: 'Calls of the storage driver, so that pushes and pulls have the rest.',
    }),
  },
  { additionalProperties: false, description: 'Garbage collection (docs/garbage-collection.md).' },
);
export type GcConfig = Static<typeof GcConfigSchema>;
