/** What one end of a pair answers (`shoal-peer.ts`). */
export type PairCalls = {
  /** Opens a store and a swarm in this folder, and offers the blob to whoever knows the address. */
  readonly seed: {
    readonly params: PeerParams & { readonly file: string };
    readonly result: { readonly peerId: string; readonly port: number };
  };
  /** Opens a store and a swarm in this folder, and waits. */
  readonly open: { readonly params: PeerParams; readonly result: Record<string, never> };
  /** Fetches the blob at that moment of the machine's monotonic clock. */
  readonly fetch: {
    readonly params: { readonly atMs: number; readonly peerId: string; readonly host: string; readonly port: number };
    /** From `atMs`: until the blob's digest had matched, and until it was synced. */
    readonly result: { readonly verifiedMs: number; readonly committedMs: number };
  };
};

export interface PeerParams {
  /** The folder with the `src` to be measured. */
  readonly checkout: string;
  readonly directory: string;
  readonly host: string;
  /** A file with the blob's encoded metainfo. */
  readonly metainfoFile: string;
}
