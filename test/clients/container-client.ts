import type { Digest } from '../../src/core/index.ts';
import type { ImageContent } from './image-layouts.ts';
import type { IsolatedHost } from './isolated-host.ts';

/**
 * A container client on an isolated host, as people run it: how a registry is reached (TLS, plain HTTP, certificates) is in the
 * host's files, not among its options. Image names are `registry/repository:tag`. Every method rejects with what the client
 * said when it fails.
 */
export interface ContainerClient {
  readonly name: string;
  /** Makes the image with the tag `v1` of an OCI layout known under a name, without a registry. */
  load(layout: string, name: string): Promise<void>;
  /** Gives an image that the client has a further name. */
  tag(name: string, further: string): Promise<void>;
  /** @returns the digest of the manifest that the client has pushed */
  push(name: string): Promise<Digest>;
  /** @returns the digest that the client was given for the name: of the manifest, or of the index that it chose from */
  pull(name: string, platform?: string): Promise<Digest>;
  /** The image as the client has it, from its own bytes. */
  content(name: string): Promise<ImageContent>;
  /** Forgets an image, with its bytes. */
  remove(name: string): Promise<void>;
  login(registry: string, user: string, password: string): Promise<void>;
  logout(registry: string): Promise<void>;
}

/** A client, and what it needs before it can be used. */
export interface ClientKind {
  readonly name: string;
  /** Beside skopeo, which writes what others load and reads what they keep. */
  readonly programs: readonly string[];
  /** Starts its daemon, when it has one. */
  start(host: IsolatedHost): Promise<ContainerClient>;
}

/** The first digest behind a label. @throws Error with the text when there is none */
export function digestIn(text: string, label = ''): Digest {
  const match = new RegExp(`${label}(sha256:[0-9a-f]{64})`).exec(text);
  if (match === null) throw new Error(`no ${label}sha256:… in:\n${text}`);
  return match[1] as Digest;
}
