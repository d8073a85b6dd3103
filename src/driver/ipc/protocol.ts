import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import type { Capabilities, FileInfo } from '../storage-driver.ts';

/** The major number of the protocol (docs/driver-protocol.md); both sides have to have the same. */
export const PROTOCOL = 1;

/** The version that this side speaks. Minor versions differ in nothing that is not in the capabilities. */
export const PROTOCOL_VERSION = '1.0';

/** What a driver program is told by its environment. */
export const environmentNames = {
  socket: 'REGISTRY_STORAGE_SOCKET',
  protocol: 'REGISTRY_STORAGE_PROTOCOL',
  token: 'REGISTRY_STORAGE_TOKEN',
} as const;

/** What a storage may be called, in `registry-storage-<name>` and in what the program says of itself. */
export const driverNamePattern = /^[a-z0-9][a-z0-9-]*$/;

/** A line that is longer is not one of the protocol; no path or fact comes near it. */
export const MAX_LINE_BYTES = 64 * 1024;

const InfoSchema = Type.Object({
  protocol: Type.Literal(PROTOCOL),
  version: Type.String({ pattern: `^${PROTOCOL}\\.` }),
  name: Type.String({ pattern: driverNamePattern.source, maxLength: 64 }),
  capabilities: Type.Object({
    write: Type.Optional(Type.Boolean()),
    anyPath: Type.Optional(Type.Boolean()),
    verifiesBlobs: Type.Optional(Type.Boolean()),
    redirect: Type.Optional(Type.Boolean()),
    conditionalPut: Type.Optional(Type.Boolean()),
  }),
  writerIdleSeconds: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
});

/** What a driver program says of itself: in its first line, and as the answer to `GET /v1/info`. */
export interface DriverInfo {
  readonly version: string;
  readonly name: string;
  readonly capabilities: Capabilities;
  /** A writer that nobody calls for this long is closed. */
  readonly writerIdleSeconds: number | undefined;
}

/**
 * Reads what a driver program says of itself; fields that this version does not know are left aside.
 * @returns the info, or a text that says what is wrong with it
 */
export function readInfo(value: unknown): DriverInfo | string {
  const { protocol } = (value ?? {}) as { readonly protocol?: unknown };
  if (typeof protocol === 'number' && protocol !== PROTOCOL) {
    return `it speaks version ${protocol} of the protocol, expected ${PROTOCOL}`;
  }
  const [fault] = Value.Errors(InfoSchema, value);
  if (fault !== undefined) {
    const place = fault.instancePath === '' ? '' : `"${fault.instancePath.slice(1).replaceAll('/', '.')}" `;
    return `${place}${fault.message}`;
  }
  const { version, name, capabilities, writerIdleSeconds } = value as Static<typeof InfoSchema>;
  return {
    version,
    name,
    capabilities: {
      write: capabilities.write ?? true,
      anyPath: capabilities.anyPath ?? true,
      verifiesBlobs: capabilities.verifiesBlobs ?? false,
      redirect: capabilities.redirect ?? false,
      conditionalPut: capabilities.conditionalPut ?? false,
    },
    writerIdleSeconds,
  };
}

/** The info as it crosses the socket. */
export function formatInfo(info: DriverInfo): string {
  return JSON.stringify({ protocol: PROTOCOL, ...info });
}

const FileInfoSchema = Type.Object({
  path: Type.String(),
  size: Type.Integer({ minimum: 0 }),
  modTimeMs: Type.Number(),
  isDirectory: Type.Boolean(),
  revision: Type.Optional(Type.String()),
});

/** Facts about an object as they cross the socket. */
export function formatFileInfo({ path, size, modTime, isDirectory, revision }: FileInfo): object {
  return { path, size, modTimeMs: modTime.getTime(), isDirectory, revision };
}

/** Reads facts about an object; `undefined` when it is something else. */
export function readFileInfo(value: unknown): FileInfo | undefined {
  if (!Value.Check(FileInfoSchema, value)) return undefined;
  const { path, size, modTimeMs, isDirectory, revision } = value;
  const info = { path, size, modTime: new Date(modTimeMs), isDirectory };
  return revision === undefined ? info : { ...info, revision };
}

const WriterStateSchema = Type.Object({
  id: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{1,128}$' })),
  size: Type.Integer({ minimum: 0 }),
  revision: Type.Optional(Type.String()),
});

/** Where a writer stands after a call of it. */
export type WriterState = Static<typeof WriterStateSchema>;

/** Reads where a writer stands; `undefined` when it is something else. */
export function readWriterState(value: unknown): WriterState | undefined {
  return Value.Check(WriterStateSchema, value) ? value : undefined;
}
