import type { Descriptor, Digest, Repository, Tag } from '../core/index.ts';

/** What a request has done, as far as others may want to know. */
export interface RegistryDeed {
  readonly action: 'push' | 'pull' | 'mount' | 'delete';
  readonly repository: Repository;
  readonly kind: 'manifest' | 'blob' | 'tag' | 'repository';
  /** Missing for a tag or a repository that was deleted. */
  readonly digest?: Digest;
  readonly mediaType?: string;
  readonly sizeBytes?: number;
  /** The tag that a manifest was pulled or pushed by, or that was deleted. */
  readonly tag?: Tag;
  /** Where a blob was mounted from. */
  readonly from?: Repository;
  /** What a pushed manifest consists of. */
  readonly references?: readonly Descriptor[];
}

/** A deed, with who did it. */
export interface RegistryEvent extends RegistryDeed {
  /** When it was done, in milliseconds since 1970. */
  readonly timeMs: number;
  /** The caller's name; empty for somebody who has not said who they are. */
  readonly actor: string;
  readonly request: {
    readonly id: string;
    /** Address and port of the client. */
    readonly addr: string;
    /** The `Host` that the client asked for. */
    readonly host: string;
    readonly method: string;
    readonly userAgent: string;
  };
}

/** Whom a registry tells of what was done. It never holds up an answer: `publish` returns at once and never throws. */
export interface EventSink {
  publish(event: RegistryEvent): void;
}
