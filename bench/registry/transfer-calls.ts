/** How a blob is uploaded: as one body of the last PUT, or as one chunked PATCH before it. */
export type UploadWay = 'put' | 'patch';

/** What `transfer-client.ts` answers. */
export type TransferCalls = {
  /** Makes the bytes of the next upload; another seed gives another blob. Not part of what is measured. */
  readonly make: {
    readonly params: { readonly sizeBytes: number; readonly seed: number };
    readonly result: { readonly digest: string };
  };
  /** Uploads them, from the first request to the acknowledgement. */
  readonly upload: {
    readonly params: { readonly baseUrl: string; readonly repository: string; readonly way: UploadWay };
    readonly result: { readonly seconds: number };
  };
  /** Downloads a blob with so many clients at once, each all of it, from the first request to the last byte. */
  readonly download: {
    readonly params: { readonly url: string; readonly sizeBytes: number; readonly clients: number };
    readonly result: { readonly seconds: number };
  };
};

/** What `slow-readers.py` answers. */
export type SlowReaderCalls = {
  /** Opens connections, asks for the path on each, and waits until each has been answered with 200. */
  readonly open: {
    readonly params: {
      readonly port: number;
      readonly path: string;
      readonly readers: number;
      readonly receiveBufferBytes: number;
    };
    readonly result: Record<string, never>;
  };
  /** Reads from each at this rate. */
  readonly read: {
    readonly params: { readonly seconds: number; readonly bytesPerSecond: number };
    /** `ended`: connections that were closed by the server. */
    readonly result: { readonly bytes: number; readonly ended: number };
  };
};
