/** What both stock clients answer (`stock-webtorrent.ts`, `stock-libtorrent.py`). */
export type StockCalls = {
  /** Opens the client and adds the torrent, without peers. A seeder holds it whole, unchecked. Resolves when it is warm. */
  readonly load: {
    readonly params: {
      /** The `.torrent` file. */
      readonly torrent: string;
      /** Where the blob's file is, or is to be. */
      readonly directory: string;
      readonly seed: boolean;
      /** IPv4 to listen on. */
      readonly host: string;
      readonly port: number;
    };
    readonly result: Record<string, never>;
  };
  /** Dials the peers at that moment of the machine's monotonic clock. Resolves when every piece is checked. */
  readonly start: {
    readonly params: { readonly atMs: number; readonly peers: readonly { host: string; port: number }[] };
    /** From `atMs`. */
    readonly result: { readonly lastByteMs: number };
  };
  readonly progress: {
    readonly params: Record<string, never>;
    /** Of the blob, checked; and payload over all wires. */
    readonly result: { readonly haveBytes: number; readonly receivedBytes: number; readonly sentBytes: number };
  };
};
