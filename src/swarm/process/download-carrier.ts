import type { ByteRange } from '../../core/index.ts';

/** The process that a download is in. */
export interface DownloadCarrier {
  /** Where a reader stands; without a range it has gone. */
  moveReader(reader: number, range: ByteRange | undefined): void;
  /** A piece came from elsewhere, and is in the file. */
  supplied(piece: number): void;
  /** Ends the download there; resolves when it has ended, or is too far to be ended. */
  cancel(): Promise<void>;
}
